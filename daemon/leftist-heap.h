/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A leftist heap of nodes that its user embeds: insert and remove, of the first or any
 * other, are O(log n) in the worst case, and nothing is allocated.
 *
 * Keys are compared modulo 2^64, so that a counter may go round; those in one heap lie
 * less than 2^63 apart.
 */
#ifndef VGPU_LEFTIST_HEAP_H
#define VGPU_LEFTIST_HEAP_H

#include <stdbool.h>
#include <stdint.h>

typedef struct HeapNode HeapNode;

struct HeapNode {
    HeapNode *parent, *left, *right;
    uint64_t key;
    uint64_t order;   /* decides between equal keys */
    unsigned to_leaf; /* the shortest way down to a missing child, in nodes */
};

/* A heap is the pointer to its first node: NULL when it is empty. */

/* heap_insert() - @n is in no heap, and its key and order are set */
void heap_insert(HeapNode **heap, HeapNode *n);

/* heap_remove() - @n is in this heap */
void heap_remove(HeapNode **heap, HeapNode *n);

/* heap_second() - the one that is next after the first, @n; NULL when there is none */
HeapNode *heap_second(const HeapNode *n);

#endif

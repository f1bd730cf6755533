/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "leftist-heap.h"

static bool is_before(const HeapNode *a, const HeapNode *b)
{
    return a->key == b->key ? a->order < b->order : (int64_t) (a->key - b->key) < 0;
}

static unsigned to_leaf(const HeapNode *n)
{
    return n ? n->to_leaf : 0;
}

/* The right child is the one that has less below it. Returns whether @n has now more or
 * less below it than it knew. */
static bool settle(HeapNode *n)
{
    unsigned before = n->to_leaf;

    if (to_leaf(n->left) < to_leaf(n->right)) {
        HeapNode *left = n->left;

        n->left = n->right;
        n->right = left;
    }
    n->to_leaf = to_leaf(n->right) + 1;
    return n->to_leaf != before;
}

/* Goes down to the right only, where it is never deeper than log2 of the nodes. */
static HeapNode *merge(HeapNode *a, HeapNode *b)
{
    if (!a || !b)
        return a ? a : b;
    if (is_before(b, a))
        return merge(b, a);

    a->right = merge(a->right, b);
    a->right->parent = a;
    (void) settle(a);
    return a;
}

void heap_insert(HeapNode **heap, HeapNode *n)
{
    n->parent = n->left = n->right = NULL;
    n->to_leaf = 1;
    *heap = merge(*heap, n);
    (*heap)->parent = NULL;
}

void heap_remove(HeapNode **heap, HeapNode *n)
{
    HeapNode *parent = n->parent, *below = merge(n->left, n->right);

    if (below)
        below->parent = parent;
    if (!parent)
        *heap = below;
    else if (parent->left == n)
        parent->left = below;
    else
        parent->right = below;

    while (parent && settle(parent))
        parent = parent->parent;
}

HeapNode *heap_second(const HeapNode *n)
{
    if (!n->left || !n->right)
        return n->left ? n->left : n->right;
    return is_before(n->left, n->right) ? n->left : n->right;
}

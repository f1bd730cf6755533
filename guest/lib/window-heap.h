/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An allocator of ranges of numbers: first fit, in order of address. The ranges that it hands out
 * are parts of those that were added to it.
 *
 * Its records of the blocks are not in the range that it hands out: that range is the data window,
 * where the host can write.
 */
#ifndef VGPU_GUEST_WINDOW_HEAP_H
#define VGPU_GUEST_WINDOW_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* The offset and the size of each block are multiples of this: a cache line. */
#define HEAP_UNIT 64u

typedef struct heap_block {
    struct heap_block *previous, *next; /* in order of address; they cover all that was added */
    uint64_t offset, size;
    bool used;
} heap_block;

typedef struct heap {
    heap_block *first;
} heap;

/* heap_init() - make a heap of one free block. @offset and @size are multiples of HEAP_UNIT, and
 * @size is not 0. Returns 0 or -ENOMEM. */
int heap_init(heap *h, uint64_t offset, uint64_t size);

/* heap_init_empty() - make a heap that has nothing to give */
void heap_init_empty(heap *h);

/* heap_add() - give the heap a range to hand out, of which it has no part yet. Both numbers are
 * multiples of HEAP_UNIT, and @size is not 0. Returns 0 or -ENOMEM. */
int heap_add(heap *h, uint64_t offset, uint64_t size);

/* heap_remove() - take a range from the heap that is free. Returns 0, -EINVAL when a part of it is
 * not, or -ENOMEM. */
int heap_remove(heap *h, uint64_t offset, uint64_t size);

/* heap_find_free() - the free block that has this offset. Returns false when it is in use or no
 * part of the heap. */
bool heap_find_free(const heap *h, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end);

/* heap_destroy() - forget all blocks. The heap may be all zero. */
void heap_destroy(heap *h);

/* heap_alloc() - take the first free range that is large enough. @size is not 0, and @alignment is
 * a power of two. Returns 0, -ENOSPC, or -ENOMEM when there is no memory for the heap's own
 * records. */
int heap_alloc(heap *h, uint64_t size, uint64_t alignment, uint64_t *ret_offset);

/* heap_free() - give back what heap_alloc() returned. Returns 0, or -EINVAL for anything else. */
int heap_free(heap *h, uint64_t offset);

/* heap_largest() - the size of the largest free block, possibly 0 */
uint64_t heap_largest(const heap *h);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "window-heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int heap_init(heap *h, uint64_t offset, uint64_t size)
{
    heap_block *block = malloc(sizeof(*block));

    assert(offset % HEAP_UNIT == 0 && size % HEAP_UNIT == 0 && size > 0);
    if (!block)
        return -ENOMEM;

    *block = (heap_block){.offset = offset, .size = size};
    h->first = block;
    return 0;
}

void heap_destroy(heap *h)
{
    while (h->first) {
        heap_block *next = h->first->next;

        free(h->first);
        h->first = next;
    }
}

/* Make @block end after @size bytes. What is left becomes a free block. */
static int block_split(heap_block *block, uint64_t size)
{
    heap_block *rest;

    assert(size > 0 && size <= block->size && !block->used);
    if (size == block->size)
        return 0;

    rest = malloc(sizeof(*rest));
    if (!rest)
        return -ENOMEM;

    *rest = (heap_block){
        .previous = block,
        .next = block->next,
        .offset = block->offset + size,
        .size = block->size - size,
    };
    if (rest->next)
        rest->next->previous = rest;
    block->next = rest;
    block->size = size;
    return 0;
}

/* Merge @block with the next one if both are free. */
static void block_merge_next(heap_block *block)
{
    heap_block *next = block->next;

    if (!next || next->used || block->used)
        return;

    assert(next->offset == block->offset + block->size);
    block->size += next->size;
    block->next = next->next;
    if (block->next)
        block->next->previous = block;
    free(next);
}

/* How many bytes there are from the beginning of @block to the first aligned address in it. */
static uint64_t block_gap(const heap_block *block, uint64_t alignment)
{
    return -block->offset & (alignment - 1);
}

static bool block_fits(const heap_block *block, uint64_t size, uint64_t alignment)
{
    uint64_t gap = block_gap(block, alignment);

    return !block->used && gap <= block->size && size <= block->size - gap;
}

int heap_alloc(heap *h, uint64_t size, uint64_t alignment, uint64_t *ret_offset)
{
    heap_block *block = h->first;
    uint64_t gap;

    if (size > UINT64_MAX - HEAP_UNIT)
        return -ENOSPC;
    size = (size + HEAP_UNIT - 1) & ~(uint64_t) (HEAP_UNIT - 1);
    if (alignment < HEAP_UNIT)
        alignment = HEAP_UNIT;

    while (block && !block_fits(block, size, alignment))
        block = block->next;
    if (!block)
        return -ENOSPC;

    gap = block_gap(block, alignment);
    if (gap > 0) {
        if (block_split(block, gap) < 0)
            return -ENOMEM;
        block = block->next;
    }
    if (block_split(block, size) < 0) {
        if (gap > 0)
            block_merge_next(block->previous);
        return -ENOMEM;
    }

    block->used = true;
    *ret_offset = block->offset;
    return 0;
}

int heap_free(heap *h, uint64_t offset)
{
    heap_block *block = h->first;

    while (block && block->offset < offset)
        block = block->next;
    if (!block || block->offset != offset || !block->used)
        return -EINVAL;

    block->used = false;
    block_merge_next(block);
    if (block->previous)
        block_merge_next(block->previous);
    return 0;
}

uint64_t heap_largest(const heap *h)
{
    uint64_t largest = 0;

    for (const heap_block *block = h->first; block; block = block->next)
        if (!block->used && block->size > largest)
            largest = block->size;
    return largest;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "window-heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void heap_init_empty(heap *h)
{
    h->first = NULL;
}

int heap_init(heap *h, uint64_t offset, uint64_t size)
{
    heap_init_empty(h);
    return heap_add(h, offset, size);
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

    if (!next || next->used || block->used || next->offset != block->offset + block->size)
        return;

    block->size += next->size;
    block->next = next->next;
    if (block->next)
        block->next->previous = block;
    free(next);
}

int heap_add(heap *h, uint64_t offset, uint64_t size)
{
    heap_block *block = malloc(sizeof(*block)), *previous = NULL, *next = h->first;

    assert(offset % HEAP_UNIT == 0 && size % HEAP_UNIT == 0 && size > 0);
    if (!block)
        return -ENOMEM;

    while (next && next->offset < offset) {
        previous = next;
        next = next->next;
    }
    assert(!previous || previous->offset + previous->size <= offset);
    assert(!next || offset + size <= next->offset);

    *block = (heap_block){.previous = previous, .next = next, .offset = offset, .size = size};
    if (next)
        next->previous = block;
    if (previous)
        previous->next = block;
    else
        h->first = block;
    block_merge_next(block);
    if (previous)
        block_merge_next(previous);
    return 0;
}

static heap_block *find_block(const heap *h, uint64_t offset)
{
    heap_block *block = h->first;

    while (block && block->offset + block->size <= offset)
        block = block->next;
    return block && block->offset <= offset ? block : NULL;
}

bool heap_find_free(const heap *h, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end)
{
    const heap_block *block = find_block(h, offset);

    if (!block || block->used)
        return false;
    *ret_begin = block->offset;
    *ret_end = block->offset + block->size;
    return true;
}

int heap_remove(heap *h, uint64_t offset, uint64_t size)
{
    heap_block *block = find_block(h, offset);

    assert(offset % HEAP_UNIT == 0 && size % HEAP_UNIT == 0 && size > 0);
    if (!block || block->used || offset + size > block->offset + block->size)
        return -EINVAL;

    if (offset > block->offset) {
        if (block_split(block, offset - block->offset) < 0)
            return -ENOMEM;
        block = block->next;
    }
    if (block_split(block, size) < 0) {
        if (block->previous)
            block_merge_next(block->previous);
        return -ENOMEM;
    }

    if (block->next)
        block->next->previous = block->previous;
    if (block->previous)
        block->previous->next = block->next;
    else
        h->first = block->next;
    free(block);
    return 0;
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

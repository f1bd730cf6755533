/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory-map.h"

#include <search.h>
#include <stdlib.h>

/* A tree by address (tsearch()); pieces do not overlap. Reserved ranges are in a tree of their own,
 * as others lie over them. */
static pthread_rwlock_t map_lock = PTHREAD_RWLOCK_INITIALIZER;
static void *map_pieces, *map_reserved;

static void **map_tree(MemoryKind kind)
{
    return kind == MEMORY_RESERVED ? &map_reserved : &map_pieces;
}

/* Ranges that have a byte in common are the same to the tree. */
static int map_compare(const void *a, const void *b)
{
    const MemoryPiece *x = a, *y = b;

    if (x->address + x->size <= y->address)
        return -1;
    return x->address >= y->address + y->size;
}

CUresult memory_map_add(const MemoryPiece *piece)
{
    MemoryPiece *copy = malloc(sizeof(*copy));
    void *found;

    if (!copy)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *copy = *piece;
    copy->id = libcuda_next_id();
    if (copy->size == 0)
        copy->size = 1;
    pthread_rwlock_wrlock(&map_lock);
    found = tsearch(copy, map_tree(piece->kind), map_compare);
    pthread_rwlock_unlock(&map_lock);
    if (found && *(MemoryPiece **) found == copy)
        return CUDA_SUCCESS;
    free(copy);
    return found ? CUDA_ERROR_UNKNOWN : CUDA_ERROR_OUT_OF_MEMORY;
}

static bool map_look(void *const *tree, uint64_t address, MemoryPiece *ret)
{
    const MemoryPiece key = {.address = address, .size = 1};
    void *found;

    pthread_rwlock_rdlock(&map_lock);
    found = tfind(&key, tree, map_compare);
    if (found)
        *ret = **(MemoryPiece **) found;
    pthread_rwlock_unlock(&map_lock);
    return found != NULL;
}

bool memory_map_find(uint64_t address, MemoryPiece *ret)
{
    return address != 0 &&
           (map_look(&map_pieces, address, ret) || map_look(&map_reserved, address, ret));
}

bool memory_map_take(uint64_t address, MemoryKind kind, MemoryPiece *ret)
{
    const MemoryPiece key = {.address = address, .size = 1};
    void **tree = map_tree(kind), *found;
    MemoryPiece *piece = NULL;

    pthread_rwlock_wrlock(&map_lock);
    found = tfind(&key, tree, map_compare);
    if (found)
        piece = *(MemoryPiece **) found;
    if (piece && (piece->address != address || piece->kind != kind))
        piece = NULL;
    if (piece)
        tdelete(piece, tree, map_compare);
    pthread_rwlock_unlock(&map_lock);
    if (!piece)
        return false;
    *ret = *piece;
    free(piece);
    return true;
}

/* ---- The end of a context ----------------------------------------------------------------------
 */

typedef struct MapSearch {
    const LibContext *context;
    MemoryPiece *found;
} MapSearch;

static void map_visit(const void *node, VISIT visit, void *data)
{
    MapSearch *search = data;
    MemoryPiece *piece = *(MemoryPiece *const *) node;

    if ((visit == postorder || visit == leaf) && piece->context == search->context &&
        memory_is_device(piece) && piece->kind != MEMORY_MAPPED)
        search->found = piece;
}

void memory_map_drop_context(const LibContext *c)
{
    MapSearch search = {.context = c};

    pthread_rwlock_wrlock(&map_lock);
    do {
        search.found = NULL;
        twalk_r(map_pieces, map_visit, &search);
        if (search.found)
            tdelete(search.found, &map_pieces, map_compare);
        free(search.found);
    } while (search.found);
    pthread_rwlock_unlock(&map_lock);
}

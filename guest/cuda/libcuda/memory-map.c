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

/* Another process's memory has one address, however often it is opened. */
static bool map_is_again(MemoryPiece *found, const MemoryPiece *piece)
{
    if (piece->kind != MEMORY_TAKEN || found->kind != MEMORY_TAKEN ||
        found->address != piece->address || found->context != piece->context)
        return false;
    found->n_opens++;
    return true;
}

CUresult memory_map_add(const MemoryPiece *piece)
{
    MemoryPiece *copy = malloc(sizeof(*copy));
    bool is_added, is_again;
    void *found;

    if (!copy)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *copy = *piece;
    copy->id = libcuda_next_id();
    if (copy->size == 0)
        copy->size = 1;
    pthread_rwlock_wrlock(&map_lock);
    found = tsearch(copy, map_tree(piece->kind), map_compare);
    is_added = found && *(MemoryPiece **) found == copy;
    is_again = found && !is_added && map_is_again(*(MemoryPiece **) found, copy);
    pthread_rwlock_unlock(&map_lock);
    if (is_added)
        return CUDA_SUCCESS;
    free(copy);
    return is_again ? CUDA_SUCCESS : found ? CUDA_ERROR_UNKNOWN : CUDA_ERROR_OUT_OF_MEMORY;
}

/* One that has a byte of these, with the lock held */
static MemoryPiece *map_at(void *const *tree, uint64_t address, uint64_t size)
{
    const MemoryPiece key = {.address = address, .size = size};
    void *found = tfind(&key, tree, map_compare);

    return found ? *(MemoryPiece **) found : NULL;
}

static bool map_look(void *const *tree, uint64_t address, uint64_t size, MemoryPiece *ret)
{
    const MemoryPiece *found;

    pthread_rwlock_rdlock(&map_lock);
    found = map_at(tree, address, size);
    if (found)
        *ret = *found;
    pthread_rwlock_unlock(&map_lock);
    return found != NULL;
}

bool memory_map_find(uint64_t address, MemoryPiece *ret)
{
    return address != 0 &&
           (map_look(&map_pieces, address, 1, ret) || map_look(&map_reserved, address, 1, ret));
}

bool memory_map_find_reserved(uint64_t address, MemoryPiece *ret)
{
    return address != 0 && map_look(&map_reserved, address, 1, ret);
}

bool memory_map_touches(uint64_t address, uint64_t size, MemoryPiece *ret)
{
    return map_look(&map_pieces, address, size, ret) || map_look(&map_reserved, address, size, ret);
}

bool memory_map_take(uint64_t address, MemoryKind kind, MemoryPiece *ret)
{
    void **tree = map_tree(kind);
    MemoryPiece *piece;
    bool is_there;

    pthread_rwlock_wrlock(&map_lock);
    piece = map_at(tree, address, 1);
    is_there = piece && piece->address == address && piece->kind == kind;
    if (is_there)
        *ret = *piece;
    if (is_there && piece->n_opens > 0) {
        piece->n_opens--;
    } else if (is_there) {
        tdelete(piece, tree, map_compare);
        free(piece);
    }
    pthread_rwlock_unlock(&map_lock);
    return is_there;
}

/* With no memory for it the program cannot free it any more. */
void memory_map_put_back(const MemoryPiece *piece)
{
    MemoryPiece *copy = malloc(sizeof(*copy));
    void *found;

    if (!copy)
        return;
    *copy = *piece;
    pthread_rwlock_wrlock(&map_lock);
    found = tsearch(copy, map_tree(piece->kind), map_compare);
    pthread_rwlock_unlock(&map_lock);
    if (!found || *(MemoryPiece **) found != copy)
        free(copy);
}

void memory_map_allow(uint64_t address, uint64_t size, unsigned flags)
{
    const uint64_t end = address + size;
    MemoryPiece *piece;

    pthread_rwlock_wrlock(&map_lock);
    while (address < end && (piece = map_at(&map_pieces, address, 1)) &&
           piece->kind == MEMORY_MAPPED) {
        piece->flags = flags;
        address = piece->address + piece->size;
    }
    pthread_rwlock_unlock(&map_lock);
}

bool memory_map_sync(uint64_t address, MemorySync sync)
{
    MemoryPiece *piece;

    pthread_rwlock_wrlock(&map_lock);
    piece = map_at(&map_pieces, address, 1);
    if (piece)
        piece->sync = sync;
    pthread_rwlock_unlock(&map_lock);
    return piece != NULL;
}

/* ---- The end of a context, or of a module ------------------------------------------------------
 */

typedef struct MapSearch {
    const LibContext *context; /* that ends; NULL: a module does */
    const void *module;
    MemoryPiece *found;
} MapSearch;

static bool map_ends(const MapSearch *search, const MemoryPiece *piece)
{
    if (search->context)
        return piece->context == search->context && memory_is_device(piece);
    return piece->kind == MEMORY_GLOBAL && piece->object == search->module;
}

static void map_visit(const void *node, VISIT visit, void *data)
{
    MapSearch *search = data;
    MemoryPiece *piece = *(MemoryPiece *const *) node;

    if ((visit == postorder || visit == leaf) && map_ends(search, piece))
        search->found = piece;
}

static void map_drop(MapSearch search)
{
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

void memory_map_drop_context(const LibContext *c)
{
    map_drop((MapSearch){.context = c});
}

void memory_map_drop_module(const void *module)
{
    map_drop((MapSearch){.module = module});
}

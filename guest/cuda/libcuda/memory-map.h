/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What lies where: all memory that CUDA has given to the program, by address. */
#ifndef VGPU_LIBCUDA_MEMORY_MAP_H
#define VGPU_LIBCUDA_MEMORY_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "libcuda.h"

typedef enum MemoryKind {
    MEMORY_DEVICE,     /* cuMemAlloc */
    MEMORY_ASYNC,      /* cuMemAllocAsync, from a pool */
    MEMORY_MAPPED,     /* cuMemMap */
    MEMORY_RESERVED,   /* cuMemAddressReserve; MAPPED memory lies over it, in a map of its own */
    MEMORY_GLOBAL,     /* a module's variable */
    MEMORY_TAKEN,      /* another process's, by IPC */
    MEMORY_GRAPH,      /* a graph's */
    MEMORY_HOST,       /* cuMemHostAlloc: in the window */
    MEMORY_MANAGED,    /* cuMemAllocManaged: in the window */
    MEMORY_REGISTERED, /* cuMemHostRegister: at another address in the window */
    MEMORY_ALIAS,      /* that other address; @object is the program's own */
} MemoryKind;

/* CU_POINTER_ATTRIBUTE_SYNC_MEMOPS: has the program asked for it? */
typedef enum MemorySync {
    MEMORY_SYNC_UNSAID,
    MEMORY_SYNC_ON, /* copies and sets that are not asynchronous wait for their end */
    MEMORY_SYNC_OFF,
} MemorySync;

/* One piece. Copied to whoever asks; @object is the owner's business. */
typedef struct MemoryPiece {
    uint64_t address;
    uint64_t size;
    MemoryKind kind;
    unsigned flags; /* of the function that made it; MAPPED: who may access it (ACCESS_*) */
    MemorySync sync;
    unsigned n_opens; /* TAKEN: beyond the first */
    LibContext *context;
    uint64_t device; /* where kernels have it */
    uint64_t id;     /* CU_POINTER_ATTRIBUTE_BUFFER_ID */
    void *object;
} MemoryPiece;

/* memory_map_add() - @piece's id is chosen here. TAKEN memory that is there already counts once
 * more. Returns CUDA_SUCCESS, or _OUT_OF_MEMORY; another piece that is there already is the
 * library's own error */
CUresult memory_map_add(const MemoryPiece *piece);

/* memory_map_find() - the piece that holds the byte at @address. Returns false where there is none
 */
bool memory_map_find(uint64_t address, MemoryPiece *ret);

/* memory_map_find_reserved() - the same, of reserved addresses, whatever is mapped there */
bool memory_map_find_reserved(uint64_t address, MemoryPiece *ret);

/* memory_map_touches() - has a piece any of these bytes? @ret: one that has */
bool memory_map_touches(uint64_t address, uint64_t size, MemoryPiece *ret);

/* memory_map_take() - the piece that begins at @address, and is of that kind, out of the map; but
 * TAKEN memory that was opened more than once stays */
bool memory_map_take(uint64_t address, MemoryKind kind, MemoryPiece *ret);

/* memory_map_allow() - who may access the MAPPED pieces of which these bytes are */
void memory_map_allow(uint64_t address, uint64_t size, unsigned flags);

/* memory_map_sync() - of the piece that holds the byte at @address. Returns false where there is
 * none */
bool memory_map_sync(uint64_t address, MemorySync sync);

/* memory_map_put_back() - one that was taken, and could not be ended */
void memory_map_put_back(const MemoryPiece *piece);

/* memory_map_drop_context() - all pieces of a context that ends; not the program's own pages, or
 * what lies in the window */
void memory_map_drop_context(const LibContext *c);

/* memory_map_drop_module() - the variables of a module that ends */
void memory_map_drop_module(const void *module);

/* memory_is_device() - does a piece lie in the device's memory? */
static inline bool memory_is_device(const MemoryPiece *piece)
{
    return piece->kind < MEMORY_HOST;
}

/* memory_has() - does the piece hold these bytes? Of memory that is mapped piece by piece the
 * executor knows. */
static inline bool memory_has(const MemoryPiece *piece, uint64_t address, uint64_t size)
{
    return piece->kind == MEMORY_MAPPED || piece->kind == MEMORY_RESERVED ||
           size <= piece->size - (address - piece->address);
}

#endif

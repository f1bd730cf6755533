/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory that the fake device can reach, by its own addresses.
 *
 *   the device's own    at 0x2ac1_0000_0000 and on, as a driver gives them to a process in the old
 *                       mmap layout; the process cannot touch these addresses, for the bytes
 *                       are elsewhere
 *   pools'             at 0x302000000 and on, in the same way
 *   reserved            above these, at the process's own addresses
 *   pinned              far from any address of the host, so that a mix-up is noticed
 *   registered          at the host's own address where a session's window lies, or when it is a
 *                       multiple of 2 MiB; else far away as pinned memory
 *
 * All but fake_resolve() and fake_reach() are called with the lock held.
 */
#ifndef FAKE_MEMORY_H
#define FAKE_MEMORY_H

#include "fake-driver.h"

#define FAKE_GRANULE (UINT64_C(2) << 20)
#define FAKE_BLOCK_ALIGNMENT 512u
#define FAKE_DEVICES_MAX 8

typedef enum FakeMemoryKind {
    FAKE_PINNED,
    FAKE_REGISTERED,
    FAKE_ALLOCATED, /* cuMemAlloc, cuMemAllocAsync, a module's globals */
    FAKE_RESERVED,  /* a range of addresses: fake-address.c says what can be touched */
    FAKE_TAKEN,     /* another process's (fake-share.c) */
} FakeMemoryKind;

typedef struct FakeMemory {
    CUdeviceptr address;
    unsigned char *bytes; /* where the process has them */
    size_t size;
    FakeMemoryKind kind;
    CUcontext context;
    bool is_managed;        /* a module's variable */
    bool freeing;           /* cuMemFreeAsync() is on its way */
    CUmemoryPool pool;      /* whose memory it is, or NULL */
    unsigned char *granule; /* FAKE_RESERVED: FAKE_GRANULE_* of each */
    unsigned n_opens;       /* FAKE_TAKEN */
    uint32_t source_pid;    /* FAKE_TAKEN: whose */
    CUdeviceptr source_address;
} FakeMemory;

enum { FAKE_GRANULE_EMPTY, FAKE_GRANULE_MAPPED, FAKE_GRANULE_READ };

/* fake_resolve() - the process's address of the device's, checked; misuse when there is none */
void *fake_resolve(CUdeviceptr address, size_t size, size_t alignment, const char *what);
/* fake_reach() - the same for a kernel of a guest: NULL where the device would fault */
void *fake_reach(CUdeviceptr address, size_t size);

/* fake_memory_find() - @size bytes in one piece of memory, or NULL */
unsigned char *fake_memory_find(CUdeviceptr address, size_t size);
/* fake_memory_check() - misuse unless they are there */
unsigned char *fake_memory_check(CUdeviceptr address, size_t size, size_t alignment,
                                 const char *what);
/* fake_memory_is_pinned() - @size bytes of the host's, pinned or registered? */
bool fake_memory_is_pinned(const void *host, size_t size);
FakeMemory *fake_memory_at(CUdeviceptr address);     /* that begins there, or NULL */
FakeMemory *fake_memory_around(CUdeviceptr address); /* that has this byte, or NULL */
/* fake_memory_next() - all there is, one after the other; begins with NULL, ends with it */
FakeMemory *fake_memory_next(const FakeMemory *memory);
void fake_memory_add(const FakeMemory *memory);
void fake_memory_remove(FakeMemory *memory);
/* fake_memory_is_left() - is any left of that context? */
bool fake_memory_is_left(CUcontext context);
/* fake_memory_end() - end all memory of that context */
void fake_memory_end(CUcontext context);
void fake_memory_stop(void);

/* fake_memory_alloc() - 512-byte aligned. CUDA_SUCCESS, or _OUT_OF_MEMORY */
CUresult fake_memory_alloc(CUcontext context, size_t size, CUdeviceptr *ret);
void fake_memory_free(FakeMemory *memory);
/* fake_memory_give() - the bytes of an allocation that is in no list any more */
void fake_memory_give(const FakeMemory *memory);
/* fake_pool_trim() - the program has waited: pools give back what they may not keep (fake-pool.c)
 */
void fake_pool_trim(void);
/* fake_pool_keep() - an allocation that is in no list any more is its pool's. @known: the driver
 * knows that it is free */
void fake_pool_keep(const FakeMemory *memory, bool known);
void fake_pool_stop(void);

/* The device's own addresses, in granules (fake-arena.c) */
bool fake_arena_take(CUdevice device, uint64_t granules, CUdeviceptr *ret);
/* fake_arena_take_addresses() - without memory behind them */
bool fake_arena_take_addresses(uint64_t granules, CUdeviceptr *ret);
/* fake_arena_take_pooled() - the same, where pools have their memory */
bool fake_arena_take_pooled(uint64_t granules, CUdeviceptr *ret);
void fake_arena_give(CUdevice device, CUdeviceptr address, uint64_t granules);
void fake_arena_give_addresses(CUdeviceptr address, uint64_t granules);
unsigned char *fake_arena_bytes(CUdeviceptr address);
/* fake_arena_open() - make it, unless that is done: before the process is kept from making files */
void fake_arena_open(void);

#define FAKE_PATH_MAX 320u

/* fake_arena_path() - the file that has the bytes of a process's arena. Returns false where the
 * plan has no place for it */
bool fake_arena_path(uint32_t pid, char ret[static FAKE_PATH_MAX]);

/* fake_arena_offset() - where in the file the bytes of an address lie */
uint64_t fake_arena_offset(CUdeviceptr address);
bool fake_arena_has(CUdeviceptr address);
void fake_arena_stop(void);

/* What the device has, of all processes (fake-total.c): bytes */
bool fake_total_take(CUdevice device, uint64_t bytes);
void fake_total_give(CUdevice device, uint64_t bytes);
uint64_t fake_total(void);
uint64_t fake_total_free(CUdevice device);
uint64_t fake_total_own(CUdevice device); /* what this process has taken */
void fake_total_stop(void);

/* 128 GiB above where pools have their memory (fake-arena.c) */
#define FAKE_RESERVED_BEGIN UINT64_C(0x2302000000)
#define FAKE_RESERVED_ELSE UINT64_C(0x2e0000000000)

/* fake_address_reach() - may the device touch these bytes of a reserved range? (fake-address.c) */
bool fake_address_reach(const FakeMemory *memory, CUdeviceptr address, size_t size);
void fake_address_end(FakeMemory *memory);
/* fake_taken_end() - give up another process's memory (fake-share.c) */
void fake_taken_end(FakeMemory *memory);
/* fake_physicals_end() - after the ranges */
void fake_physicals_end(CUcontext context);

#endif

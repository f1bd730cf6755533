/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ranges of addresses that the fake device gives memory from, in granules of 2 MiB, the lowest
 * free ones first: its own, and one for pools. The process has nothing at these addresses: to touch
 * one is to crash, as with a real device. The bytes lie elsewhere, the same distance from each
 * other, its own in a file that other processes can map.
 */
#include "fake-memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENA_BEGIN UINT64_C(0x2ac100000000)
#define ARENA_SIZE (UINT64_C(1) << 37)
#define ARENA_TRIES 16u
#define GRANULES (ARENA_SIZE / FAKE_GRANULE)
/* As a driver has it in each process */
#define POOLS_BEGIN UINT64_C(0x302000000)

typedef struct Arena {
    CUdeviceptr begin;
    unsigned char *bytes;
    int fd;
    bool taken[GRANULES];
} Arena;

static Arena arena, pools;

static void *arena_map(uint64_t address)
{
    return mmap((void *) (uintptr_t) address, ARENA_SIZE, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (address ? MAP_FIXED_NOREPLACE : 0),
                -1, 0);
}

/* @fd: a file for the bytes, which is the arena's from now on */
static void arena_place(Arena *a, void *at, int fd)
{
    if (fd < 0 || ftruncate(fd, ARENA_SIZE) != 0)
        fake_misuse("no memory of the host");
    a->bytes = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    a->fd = fd;
    if (at == MAP_FAILED || a->bytes == MAP_FAILED)
        fake_misuse("no room for the device's addresses");
    madvise(a->bytes, ARENA_SIZE, MADV_DONTDUMP);
    a->begin = (CUdeviceptr) (uintptr_t) at;
}

bool fake_arena_path(uint32_t pid, char ret[static FAKE_PATH_MAX])
{
    const char *directory = fake_plan()->share;

    snprintf(ret, FAKE_PATH_MAX, "%s/arena.%u", directory, pid);
    return directory[0] != '\0';
}

static int arena_file(void)
{
    char path[FAKE_PATH_MAX];

    if (fake_arena_path((uint32_t) getpid(), path))
        return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return memfd_create("fake-cuda-arena", MFD_CLOEXEC);
}

void fake_arena_open(void)
{
    void *p = MAP_FAILED;

    if (arena.begin)
        return;
    for (unsigned i = 0; p == MAP_FAILED && i < ARENA_TRIES; i++)
        p = arena_map(ARENA_BEGIN + i * ARENA_SIZE);
    arena_place(&arena, p, arena_file());
}

/* Where a sanitizer has its own memory there, pools are where the rest is. */
static Arena *arena_of_pools(void)
{
    void *p;

    if (pools.begin)
        return &pools;
    p = arena_map(POOLS_BEGIN);
    if (p == MAP_FAILED) {
        fake_arena_open();
        return &arena;
    }
    arena_place(&pools, p, memfd_create("fake-cuda-pools", MFD_CLOEXEC));
    return &pools;
}

static bool arena_has(const Arena *a, CUdeviceptr address)
{
    return a->begin && address >= a->begin && address - a->begin < ARENA_SIZE;
}

static Arena *arena_at(CUdeviceptr address)
{
    return arena_has(&pools, address) ? &pools : &arena;
}

static bool take(Arena *a, uint64_t n, CUdeviceptr *ret)
{
    uint64_t found = 0;

    for (uint64_t i = 0; i < GRANULES; i++) {
        found = a->taken[i] ? 0 : found + 1;
        if (found < n)
            continue;
        for (uint64_t j = i + 1 - n; j <= i; j++)
            a->taken[j] = true;
        *ret = a->begin + (i + 1 - n) * FAKE_GRANULE;
        return true;
    }
    return false;
}

bool fake_arena_take_addresses(uint64_t granules, CUdeviceptr *ret)
{
    fake_arena_open();
    return take(&arena, granules, ret);
}

bool fake_arena_take_pooled(uint64_t granules, CUdeviceptr *ret)
{
    return take(arena_of_pools(), granules, ret);
}

bool fake_arena_take(CUdevice device, uint64_t granules, CUdeviceptr *ret)
{
    fake_arena_open();
    if (granules > GRANULES || !fake_total_take(device, granules * FAKE_GRANULE))
        return false;
    if (take(&arena, granules, ret))
        return true;
    fake_total_give(device, granules * FAKE_GRANULE);
    return false;
}

void fake_arena_give_addresses(CUdeviceptr address, uint64_t granules)
{
    Arena *a = arena_at(address);
    uint64_t first = (address - a->begin) / FAKE_GRANULE;

    for (uint64_t i = first; i < first + granules; i++)
        a->taken[i] = false;
}

void fake_arena_give(CUdevice device, CUdeviceptr address, uint64_t granules)
{
    fake_arena_give_addresses(address, granules);
    madvise(fake_arena_bytes(address), granules * FAKE_GRANULE, MADV_REMOVE);
    fake_total_give(device, granules * FAKE_GRANULE);
}

bool fake_arena_has(CUdeviceptr address)
{
    return arena_has(&arena, address) || arena_has(&pools, address);
}

unsigned char *fake_arena_bytes(CUdeviceptr address)
{
    const Arena *a = arena_at(address);

    return a->bytes + (address - a->begin);
}

static void arena_close(Arena *a)
{
    if (!a->begin)
        return;
    munmap((void *) (uintptr_t) a->begin, ARENA_SIZE);
    munmap(a->bytes, ARENA_SIZE);
    close(a->fd);
    a->begin = 0;
}

uint64_t fake_arena_offset(CUdeviceptr address)
{
    return address - arena.begin;
}

void fake_arena_stop(void)
{
    arena_close(&arena);
    arena_close(&pools);
}

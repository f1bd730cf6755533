/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The range of addresses that the fake device gives its own memory from, in granules of 2 MiB, the
 * lowest free ones first. The process has nothing at these addresses: to touch one is to crash, as
 * with a real device. The bytes lie elsewhere, the same distance from each other, in a file that
 * other processes can map.
 */
#include "fake-memory.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENA_BEGIN UINT64_C(0x2ac100000000)
#define ARENA_SIZE (UINT64_C(1) << 37)
#define ARENA_TRIES 16u
#define GRANULES (ARENA_SIZE / FAKE_GRANULE)

static struct {
    CUdeviceptr begin;
    unsigned char *bytes;
    int fd;
    bool taken[GRANULES];
} arena;

static void arena_open(void)
{
    void *p = MAP_FAILED;

    if (arena.begin)
        return;
    for (unsigned i = 0; p == MAP_FAILED && i < ARENA_TRIES; i++)
        p = mmap((void *) (uintptr_t) (ARENA_BEGIN + i * ARENA_SIZE), ARENA_SIZE, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    arena.fd = memfd_create("fake-cuda-arena", MFD_CLOEXEC);
    if (arena.fd < 0 || ftruncate(arena.fd, ARENA_SIZE) != 0)
        fake_misuse("no memory of the host");
    arena.bytes =
        mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, arena.fd, 0);
    if (p == MAP_FAILED || arena.bytes == MAP_FAILED)
        fake_misuse("no room for the device's addresses");
    madvise(arena.bytes, ARENA_SIZE, MADV_DONTDUMP);
    arena.begin = (CUdeviceptr) (uintptr_t) p;
}

static bool take(uint64_t n, uint64_t alignment, CUdeviceptr *ret)
{
    uint64_t step = alignment > FAKE_GRANULE ? alignment / FAKE_GRANULE : 1, found = 0;

    arena_open();
    /* Multiples of the alignment, not of its distance from the beginning */
    for (uint64_t i = 0; i < GRANULES; i++) {
        if (found == 0 && step > 1 && (arena.begin / FAKE_GRANULE + i) % step != 0)
            continue;
        found = arena.taken[i] ? 0 : found + 1;
        if (found < n)
            continue;
        for (uint64_t j = i + 1 - n; j <= i; j++)
            arena.taken[j] = true;
        *ret = arena.begin + (i + 1 - n) * FAKE_GRANULE;
        return true;
    }
    return false;
}

bool fake_arena_take_addresses(uint64_t granules, uint64_t alignment, CUdeviceptr *ret)
{
    return take(granules, alignment, ret);
}

bool fake_arena_take(CUdevice device, uint64_t granules, CUdeviceptr *ret)
{
    if (granules > GRANULES || !fake_total_take(device, granules * FAKE_GRANULE))
        return false;
    if (take(granules, FAKE_GRANULE, ret))
        return true;
    fake_total_give(device, granules * FAKE_GRANULE);
    return false;
}

void fake_arena_give_addresses(CUdeviceptr address, uint64_t granules)
{
    uint64_t first = (address - arena.begin) / FAKE_GRANULE;

    for (uint64_t i = first; i < first + granules; i++)
        arena.taken[i] = false;
}

void fake_arena_give(CUdevice device, CUdeviceptr address, uint64_t granules)
{
    fake_arena_give_addresses(address, granules);
    madvise(fake_arena_bytes(address), granules * FAKE_GRANULE, MADV_REMOVE);
    fake_total_give(device, granules * FAKE_GRANULE);
}

bool fake_arena_has(CUdeviceptr address)
{
    return arena.begin && address >= arena.begin && address - arena.begin < ARENA_SIZE;
}

unsigned char *fake_arena_bytes(CUdeviceptr address)
{
    return arena.bytes + (address - arena.begin);
}

int fake_arena_file(CUdeviceptr address, uint64_t *ret_offset)
{
    *ret_offset = address - arena.begin;
    return arena.fd;
}

void fake_arena_stop(void)
{
    if (!arena.begin)
        return;
    munmap((void *) (uintptr_t) arena.begin, ARENA_SIZE);
    munmap(arena.bytes, ARENA_SIZE);
    close(arena.fd);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "address-space.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* A child inherits both, the mappings and these. The second never changes after the first. */
static bool reserved, pools_reserved;

static int reserve(uint64_t address, uint64_t size)
{
    void *wanted = (void *) (uintptr_t) address;
    void *memory = mmap(wanted, (size_t) size, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (memory == MAP_FAILED)
        return errno == EEXIST ? -EADDRINUSE : -errno;
    if (memory != wanted) {
        munmap(memory, (size_t) size);
        return -EADDRINUSE;
    }
    return 0;
}

int address_space_reserve(void)
{
    int r = 0;

    pthread_mutex_lock(&lock);
    if (!reserved) {
        r = reserve(DEVICE_RANGE_BEGIN, DEVICE_RANGE_END - DEVICE_RANGE_BEGIN);
        if (r == 0)
            pools_reserved = reserve(POOL_RANGE_BEGIN, POOL_RANGE_END - POOL_RANGE_BEGIN) == 0;
        reserved = r == 0;
    }
    pthread_mutex_unlock(&lock);
    return r;
}

static bool is_between(uint64_t begin, uint64_t end, uint64_t address, uint64_t size)
{
    return address >= begin && address <= end && size <= end - address;
}

bool address_space_has(uint64_t address, uint64_t size)
{
    return is_between(DEVICE_RANGE_BEGIN, DEVICE_RANGE_END, address, size) ||
           (pools_reserved && is_between(POOL_RANGE_BEGIN, POOL_RANGE_END, address, size));
}

bool address_space_kept(unsigned i, uint64_t *ret_begin, uint64_t *ret_end)
{
    if (i > 1 || (i == 1 && !pools_reserved))
        return false;
    *ret_begin = i == 0 ? DEVICE_RANGE_BEGIN : POOL_RANGE_BEGIN;
    *ret_end = i == 0 ? DEVICE_RANGE_END : POOL_RANGE_END;
    return true;
}

/* The pages of a range. Returns false when there is no such range. */
static bool to_pages(uint64_t *address, uint64_t *size)
{
    uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), end;

    if (*size == 0 || *size > UINT64_MAX - page || *address > UINT64_MAX - page - *size)
        return false;
    end = (*address + *size + page - 1) & ~(page - 1);
    *address &= ~(page - 1);
    *size = end - *address;
    return true;
}

int address_space_take(uint64_t address, uint64_t size)
{
    return to_pages(&address, &size) ? reserve(address, size) : -EINVAL;
}

void address_space_give(uint64_t address, uint64_t size)
{
    if (to_pages(&address, &size))
        munmap((void *) (uintptr_t) address, (size_t) size);
}

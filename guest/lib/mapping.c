/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mapping.h"

#include <errno.h>
#include <sys/mman.h>

int mapping_create(void *at, uint64_t size, int fd, uint64_t offset, void **ret)
{
    const int flags = MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0);
    void *memory = mmap(at, (size_t) size, PROT_READ | PROT_WRITE, flags, fd, (off_t) offset);

    if (memory == MAP_FAILED)
        return -errno;
    if (at && memory != at) { /* a kernel before 4.17 takes the address for a wish */
        munmap(memory, (size_t) size);
        return -EEXIST;
    }
    *ret = memory;
    return 0;
}

int mapping_replace(void *at, uint64_t size, int fd, uint64_t offset)
{
    void *memory =
        mmap(at, (size_t) size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t) offset);

    return memory == MAP_FAILED ? -errno : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mapped-window.h"

#include "cleanup.h"

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

int mapped_window_new(uint32_t id, int fd, MappedWindow **ret)
{
    CLEANUP_FREE MappedWindow *w = NULL;
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;
    void *memory;

    /* Operands are checked against the size, so the size must not change. */
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return -EINVAL;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size < 0 || (uint64_t) st.st_size < VGPU_WINDOW_SIZE_MIN ||
        (uint64_t) st.st_size > VGPU_WINDOW_SIZE_MAX)
        return -EINVAL;

    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    memory = mmap(NULL, (size_t) st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;

    w->id = id;
    w->memory = memory;
    w->size = (uint64_t) st.st_size;
    memory_guard_add(&w->guard, memory, (size_t) st.st_size);
    *ret = TAKE_PTR(w);
    return 0;
}

MappedWindow *mapped_window_free(MappedWindow *w)
{
    if (!w)
        return NULL;

    assert(w->n_operations == 0);
    memory_guard_remove(&w->guard);
    munmap(w->memory, w->size);
    free(w);
    return NULL;
}

bool mapped_window_is_lost(MappedWindow *w)
{
    if (!memory_guard_is_lost(&w->guard))
        return false;

    if (!w->told)
        warnx("window %u: its VM took memory of it away", w->id);
    w->told = true;
    return true;
}

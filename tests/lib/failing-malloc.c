/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "failing-malloc.h"

FailingMalloc *failing_malloc_new(void)
{
    int fd = memfd_create("failing-malloc", MFD_CLOEXEC);
    FailingMalloc *f = MAP_FAILED;
    char path[48];

    if (fd < 0)
        return NULL;
    if (ftruncate(fd, sizeof(*f)) == 0)
        f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (f == MAP_FAILED) {
        close(fd);
        return NULL;
    }

    /* The descriptor stays open: the programs find the memory through it. */
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int) getpid(), fd);
    setenv(FAILING_MALLOC_ENVIRONMENT, path, 1);
    return f;
}

void failing_malloc_arm(FailingMalloc *f, pid_t pid, uint32_t n)
{
    __atomic_store_n(&f->fail_at, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->count, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->n_failed, 0, __ATOMIC_SEQ_CST);
    f->where[0] = '\0';
    if (f->pid != pid)
        f->n_blocks = 0;
    __atomic_store_n(&f->pid, pid, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->fail_at, n, __ATOMIC_SEQ_CST);
}

bool failing_malloc_disarm(FailingMalloc *f)
{
    __atomic_store_n(&f->fail_at, 0, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&f->n_failed, __ATOMIC_SEQ_CST) > 0;
}

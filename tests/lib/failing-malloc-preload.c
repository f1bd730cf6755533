/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* failing-malloc.so: the half of failing-malloc.h in the program that is tested. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "failing-malloc.h"

#define FRAMES_MAX 24

/* The C library's own, by the names under which it exports them for this purpose. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static FailingMalloc *control;

/* Before main(), and before the first allocation that may fail. */
__attribute__((constructor)) static void find_control(void)
{
    const char *path = getenv(FAILING_MALLOC_ENVIRONMENT);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *frames[1], *found;

    if (fd < 0)
        return;
    found = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    /* The first backtrace loads a library, which allocates. */
    (void) backtrace(frames, 1);
    if (found != MAP_FAILED)
        control = found;
}

static void describe_caller(void)
{
    void *frames[FRAMES_MAX];
    int n = backtrace(frames, FRAMES_MAX);
    size_t at = 0;

    /* Behind this function and the one that stands in for malloc(). */
    for (int i = 2; i < n && at < sizeof(control->where); i++) {
        Dl_info info;
        const char *module, *name;

        if (dladdr(frames[i], &info) == 0)
            continue;
        module = strrchr(info.dli_fname, '/');
        module = module ? module + 1 : info.dli_fname;
        name = info.dli_sname ? info.dli_sname : "";
        at += (size_t) snprintf(control->where + at, sizeof(control->where) - at, "%s+%#zx %s\n",
                                module, (size_t) ((char *) frames[i] - (char *) info.dli_fbase),
                                name);
    }
}

static bool is_meant(void)
{
    pid_t pid = control ? __atomic_load_n(&control->pid, __ATOMIC_SEQ_CST) : 0;

    return pid > 0 && pid == getpid();
}

static bool fails(void)
{
    uint32_t n;

    if (!is_meant())
        return false;
    n = __atomic_load_n(&control->fail_at, __ATOMIC_SEQ_CST);
    if (__atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST) != n)
        return false;

    describe_caller();
    __atomic_store_n(&control->n_failed, 1, __ATOMIC_SEQ_CST);
    errno = ENOMEM;
    return true;
}

static void *count_block(void *p)
{
    if (p && is_meant())
        control->n_blocks++;
    return p;
}

void *malloc(size_t size)
{
    return fails() ? NULL : count_block(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : count_block(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
    if (fails())
        return NULL;
    return p ? __libc_realloc(p, size) : count_block(__libc_realloc(p, size));
}

void free(void *p)
{
    if (p && is_meant())
        control->n_blocks--;
    __libc_free(p);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An allocator of which one allocation fails.
 *
 * failing-malloc.so is preloaded into a program (VGPU_TEST_PRELOAD, mediator.h) and stands in front
 * of the C library's malloc(), calloc() and realloc(). The test steers it through memory that both
 * map. The allocations of one process are counted, from the moment when the test arms it; the n-th
 * returns NULL, and all others work. With sanitizers, which bring an allocator of their own, it has
 * no effect.
 */
#ifndef VGPU_TEST_FAILING_MALLOC_H
#define VGPU_TEST_FAILING_MALLOC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Where the program finds the memory; failing_malloc_new() sets it. */
#define FAILING_MALLOC_ENVIRONMENT "VGPU_FAILING_MALLOC"

typedef struct FailingMalloc {
    pid_t pid;         /* whose allocations count; 0: nobody's */
    uint32_t fail_at;  /* the allocation that fails, 1 is the next; 0: none */
    uint32_t count;    /* allocations since it was armed */
    uint32_t n_failed; /* 0 or 1 */
    int64_t n_blocks;  /* allocated less freed, since process @pid was armed first */
    char where[2000]; /* the backtrace of the one that failed, a line a frame: MODULE+OFFSET NAME */
} FailingMalloc;

/* failing_malloc_new() - the memory for the programs that are started from now on; NULL: there is
 * none */
FailingMalloc *failing_malloc_new(void);

/* failing_malloc_arm() - the @n-th allocation of process @pid from now on fails; @n 0: they are
 * only counted */
void failing_malloc_arm(FailingMalloc *f, pid_t pid, uint32_t n);

/* failing_malloc_disarm() - nothing fails any more; returns whether something did */
bool failing_malloc_disarm(FailingMalloc *f);

#endif

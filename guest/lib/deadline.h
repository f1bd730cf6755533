/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Points in time, and ways to wait until one of them. */
#ifndef VGPU_GUEST_DEADLINE_H
#define VGPU_GUEST_DEADLINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

/* Nanoseconds of CLOCK_MONOTONIC; UINT64_MAX is never. */
typedef uint64_t deadline;

#define DEADLINE_NEVER UINT64_MAX

/* @timeout_ms as in vgpu.h: 0 is now, negative is never. */
deadline deadline_after(int timeout_ms);

/* Nanoseconds from @now to @d, 0 when that has passed. */
uint64_t deadline_left(deadline d, uint64_t now);

/* Make a condition, and wait for it until @d. @lock is held, but free during the wait. Waiting
 * returns 0, sometimes for no reason, or -ETIMEDOUT. */
void deadline_cond_init(pthread_cond_t *cond);
int deadline_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, deadline d);

/*
 * Looks again at something, at first at once and then with pauses that grow with
 * the time it has taken. Start with all members 0.
 */
typedef struct backoff {
    uint64_t start;
    unsigned int spins;
} backoff;

/*
 * backoff_pause() - pause before the next look
 * @max_ns: the longest pause
 *
 * Returns false, without a pause, once @d has passed.
 */
bool backoff_pause(backoff *b, deadline d, uint64_t max_ns);

#endif

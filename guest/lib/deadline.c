/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deadline.h"

#include <time.h>

/* How many looks there are without a pause. Each look is an exit to the host and takes a few
 * microseconds; together they last about as long as an idle host needs for a small request. */
#define SPINS 16

deadline deadline_after(int timeout_ms)
{
    if (timeout_ms < 0)
        return DEADLINE_NEVER;
    if (timeout_ms == 0)
        return 0;

    return now_nsec() + (uint64_t) timeout_ms * NSEC_PER_MSEC;
}

uint64_t deadline_left(deadline d, uint64_t now)
{
    return d > now ? d - now : 0;
}

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){
        .tv_sec = (time_t) (ns / NSEC_PER_SEC),
        .tv_nsec = (long) (ns % NSEC_PER_SEC),
    };
}

void deadline_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

int deadline_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, deadline d)
{
    struct timespec ts = to_timespec(d);

    if (d == DEADLINE_NEVER)
        return -pthread_cond_wait(cond, lock);
    return -pthread_cond_timedwait(cond, lock, &ts);
}

bool backoff_pause(backoff *b, deadline d, uint64_t max_ns)
{
    uint64_t now = now_nsec();
    uint64_t left = deadline_left(d, now);
    uint64_t pause;
    struct timespec ts;

    if (left == 0)
        return false;

    if (b->start == 0)
        b->start = now;
    if (b->spins < SPINS) {
        b->spins++;
        return true;
    }

    /* A quarter of the wait so far: so a wait ends at most a quarter later than it could. */
    pause = (now - b->start) / 4;
    if (pause < NSEC_PER_USEC)
        pause = NSEC_PER_USEC;
    if (pause > max_ns)
        pause = max_ns;
    if (pause > left)
        pause = left;

    ts = to_timespec(pause);
    nanosleep(&ts, NULL); /* a signal may cut it short: the next look is early then */
    return true;
}

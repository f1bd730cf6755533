/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deadline.h"

#include <time.h>

/* Looks without any pause. Each is an exit to the host, a few microseconds: about as long as an
 * idle host needs for a small request. */
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

    /* A quarter of the time so far: whatever the length of the wait, it ends at most that late. */
    pause = (now - b->start) / 4;
    if (pause < NSEC_PER_USEC)
        pause = NSEC_PER_USEC;
    if (pause > max_ns)
        pause = max_ns;
    if (pause > left)
        pause = left;

    ts = (struct timespec){
        .tv_sec = (time_t) (pause / NSEC_PER_SEC),
        .tv_nsec = (long) (pause % NSEC_PER_SEC),
    };
    nanosleep(&ts, NULL); /* when a signal cuts it short, the next look is early: no harm */
    return true;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "busy-poll.h"

#include <sched.h>
#include <time.h>

static uint64_t now_nsec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * UINT64_C(1000000000) + (uint64_t) ts.tv_nsec;
}

void busy_poll_init(BusyPoll *p, unsigned limit_usec)
{
    *p = (BusyPoll){.limit_nsec = UINT64_C(1000) * limit_usec};
}

bool busy_poll_begin(BusyPoll *p)
{
    if (p->limit_nsec == 0)
        return false;

    p->begin_nsec = now_nsec();
    return p->pays;
}

bool busy_poll_pause(const BusyPoll *p)
{
    sched_yield();
    return now_nsec() - p->begin_nsec < p->limit_nsec;
}

void busy_poll_end(BusyPoll *p)
{
    if (p->limit_nsec > 0)
        p->pays = now_nsec() - p->begin_nsec < p->limit_nsec;
}

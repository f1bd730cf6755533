/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "busy-poll.h"
#include "clock.h"

#include <sched.h>
#include <time.h>

void busy_poll_init(BusyPoll *p, unsigned limit_usec)
{
    *p = (BusyPoll){.limit_nsec = UINT64_C(1000) * limit_usec};
}

void busy_poll_begin(BusyPoll *p)
{
    if (p->limit_nsec > 0)
        p->begin_nsec = now_nsec();
}

static bool is_young(const BusyPoll *p)
{
    return now_nsec() - p->begin_nsec < p->limit_nsec;
}

bool busy_poll_go_on(const BusyPoll *p)
{
    if (!p->pays || !is_young(p))
        return false;

    sched_yield();
    return true;
}

void busy_poll_end(BusyPoll *p)
{
    p->pays = p->limit_nsec > 0 && is_young(p);
}

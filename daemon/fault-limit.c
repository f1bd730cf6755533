/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault-limit.h"

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Doubled for each wait before it, but not beyond the most, unless the first is longer already. */
static uint64_t fault_record_wait(const FaultRecord *f, const FaultLimit *limit)
{
    uint64_t wait = limit->wait_usec;

    for (unsigned i = 0; i < f->waits && wait < FAULT_WAIT_MAX_USEC; i++)
        wait = wait * 2 < FAULT_WAIT_MAX_USEC ? wait * 2 : FAULT_WAIT_MAX_USEC;
    return wait;
}

uint64_t fault_record_add(FaultRecord *f, const FaultLimit *limit, uint64_t now_usec)
{
    uint64_t first, wait;

    f->times[f->n++ % FAULT_LIMIT_MAX] = now_usec;
    if (limit->max == 0 || f->n < limit->max)
        return 0;
    first = f->times[(f->n - limit->max) % FAULT_LIMIT_MAX];
    if (now_usec - first > limit->interval_usec)
        return 0;

    if (now_usec > add_saturated(f->end_usec, FAULT_WAIT_MAX_USEC))
        f->waits = 0;
    wait = fault_record_wait(f, limit);
    f->waits++;
    f->n = 0;
    f->end_usec = add_saturated(now_usec, wait);
    return wait;
}

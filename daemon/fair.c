/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "fair.h"

/* Virtual time in a microsecond's use at weight 1. One client alone, of weight 1 and with
 * 64 requests in service, goes through 2^63 in 40 hours; a single request of 2^32
 * microseconds is 2^52. */
#define UNIT (UINT64_C(1) << 20)

static bool is_later(uint64_t a, uint64_t b)
{
    return (int64_t) (a - b) > 0;
}

static void set_used(FairAccount *a, uint64_t used)
{
    a->used = used;
    if (is_later(used, a->level->latest))
        a->level->latest = used;
}

static uint64_t virtual_time(const FairAccount *a, uint64_t usec)
{
    if (usec < 1)
        usec = 1;
    if (usec > UINT32_MAX)
        usec = UINT32_MAX;
    return (usec * UNIT + a->weight / 2) / a->weight;
}

void fair_estimate_add(FairEstimate *e, uint64_t usec)
{
    if (usec < 1)
        usec = 1;
    if (usec > UINT32_MAX)
        usec = UINT32_MAX;
    e->eighths = e->eighths == 0 ? usec * 8 : e->eighths + usec - e->eighths / 8;
}

/* An account is never later than its level's latest: what seems to be is one so old that
 * the clock has gone round since. */
static uint64_t owed(const FairAccount *a)
{
    uint64_t beyond;

    if (!a->level)
        return 0;
    beyond = a->used - a->level->now;
    return beyond <= a->level->latest - a->level->now ? beyond : 0;
}

uint64_t fair_begin(FairAccount *a, FairLevel *level)
{
    uint64_t used = level->now + owed(a);

    a->level = level;
    set_used(a, used);
    return used;
}

uint64_t fair_next(FairAccount *a, FairLevel *level)
{
    return a->level == level ? a->used : fair_begin(a, level);
}

uint64_t fair_charge(FairAccount *a, FairLevel *level, uint64_t tag, const FairEstimate *others)
{
    const FairEstimate *e = a->estimate.eighths > 0 ? &a->estimate : others;
    uint64_t charge = virtual_time(a, e->eighths / 8);

    if (is_later(tag, level->now))
        level->now = tag;
    if (is_later(level->now, level->latest))
        level->latest = level->now;
    (void) fair_next(a, level);
    set_used(a, a->used + charge);
    return charge;
}

void fair_correct(FairAccount *a, uint64_t charged, uint64_t usec)
{
    set_used(a, a->used + virtual_time(a, usec) - charged);
}

void fair_refund(FairAccount *a, uint64_t charged)
{
    set_used(a, a->used - charged);
}

void fair_idle(FairLevel *level)
{
    level->now = level->latest;
}

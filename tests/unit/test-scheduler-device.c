/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test-scheduler-device.h"
#include "test.h"

static uint32_t case_seed;
static uint64_t random_state;

void random_seed(uint32_t seed)
{
    case_seed = seed;
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

/* xorshift64* (Vigna, 2016) */
uint32_t random_below(uint32_t n)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t) ((random_state * UINT64_C(0x2545f4914f6cdd1d)) >> 32) % n;
}

void require_(bool condition, const char *text, const char *file, int line)
{
    if (condition)
        return;
    print_error("%s: with the seed %u\n", text, case_seed);
    _fail(file, line);
}

void device_init(Device *d, unsigned places)
{
    *d = (Device){.now_usec = 1};
    scheduler_init(&d->scheduler, &d->next_arrival, places, UINT32_MAX);
}

void device_push(Device *d, SchedClient *c, Job *j, unsigned priority, uint64_t usec)
{
    j->usec = usec;
    require(scheduler_push(&d->scheduler, c, &j->sched, priority, d->now_usec) == 0);
}

Job *device_pick(Device *d)
{
    Job *j = (Job *) scheduler_pick(&d->scheduler, d->now_usec);
    unsigned i = 0;

    if (!j)
        return NULL;
    while (d->place[i])
        i++;
    d->place[i] = j;
    j->ends_usec = d->now_usec + j->usec;
    return j;
}

Job *device_wait(Device *d)
{
    Job **first = NULL, *j;

    for (unsigned i = 0; i < DEVICE_PLACES_MAX; i++)
        if (d->place[i] && (!first || d->place[i]->ends_usec < (*first)->ends_usec))
            first = &d->place[i];
    if (!first)
        return NULL;

    j = *first;
    *first = NULL;
    d->now_usec = j->ends_usec;
    sched_request_complete(&j->sched, j->usec);
    return j;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking before sleeping: who waits for the other process looks again and again for a
 * short while, because a wake-up costs more than most requests. That pays only while
 * news comes soon, so each wait is measured, and after one that was longer than the limit
 * the next begins asleep. (KVM's halt polling follows the same rule.) So whoever has
 * nothing to do looks once in vain and then sleeps.
 */
#ifndef VGPU_BUSY_POLL_H
#define VGPU_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

#define BUSY_POLL_MAX_USEC 1000u

typedef struct BusyPoll {
    uint64_t limit_nsec; /* 0: never look */
    uint64_t begin_nsec; /* of this wait */
    bool pays;           /* the last wait was short */
} BusyPoll;

/* busy_poll_init() - @limit_usec: up to BUSY_POLL_MAX_USEC */
void busy_poll_init(BusyPoll *p, unsigned limit_usec);

/* busy_poll_begin() - a wait begins */
void busy_poll_begin(BusyPoll *p);

/*
 * busy_poll_go_on() - is it worth to look once more?
 *
 * Lets others of this CPU go ahead first. Returns false when it is time to sleep.
 */
bool busy_poll_go_on(const BusyPoll *p);

/* busy_poll_end() - there is news, found awake or asleep */
void busy_poll_end(BusyPoll *p);

#endif

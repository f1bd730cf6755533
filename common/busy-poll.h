/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking before sleeping. A process that waits for another one looks for news again and
 * again for a short while, because a wake-up costs more than most requests. That pays only
 * while news comes soon. So each wait is measured, and after a wait that was longer than
 * the limit, the next one begins asleep. (KVM's halt polling follows the same rule.) A
 * process that has nothing to do thus looks in vain once, and then sleeps.
 */
#ifndef VGPU_BUSY_POLL_H
#define VGPU_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

#define BUSY_POLL_MAX_USEC 1000u

typedef struct BusyPoll {
    uint64_t limit_nsec; /* 0: never look */
    uint64_t begin_nsec; /* when this wait began */
    bool pays;           /* the last wait was short */
} BusyPoll;

/* busy_poll_init() - @limit_usec: up to BUSY_POLL_MAX_USEC */
void busy_poll_init(BusyPoll *p, unsigned limit_usec);

/* busy_poll_begin() - a wait begins */
void busy_poll_begin(BusyPoll *p);

/*
 * busy_poll_go_on() - is it worth looking once more?
 *
 * Lets other threads on this CPU run first. Returns false when it is time to sleep.
 */
bool busy_poll_go_on(const BusyPoll *p);

/* busy_poll_end() - news has come, whether the wait was awake or asleep */
void busy_poll_end(BusyPoll *p);

#endif

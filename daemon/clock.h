/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clocks, in microseconds. sd_event_now() is what is right for timers: it stands still
 * while the loop works, and these go on. */
#ifndef VGPU_CLOCK_H
#define VGPU_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_usec(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t) ts.tv_sec * UINT64_C(1000000) + (uint64_t) ts.tv_nsec / 1000;
}

/* now_usec() - CLOCK_MONOTONIC */
static inline uint64_t now_usec(void)
{
    return clock_usec(CLOCK_MONOTONIC);
}

#endif

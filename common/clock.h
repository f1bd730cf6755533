/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The clocks. In a program with an sd-event loop, sd_event_now() is what is right for
 * timers: it stands still while the loop works, and these go on.
 */
#ifndef VGPU_CLOCK_H
#define VGPU_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC UINT64_C(1000000000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)

static inline uint64_t clock_nsec(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t) ts.tv_sec * NSEC_PER_SEC + (uint64_t) ts.tv_nsec;
}

static inline uint64_t clock_usec(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

/* now_nsec(), now_usec() - CLOCK_MONOTONIC */
static inline uint64_t now_nsec(void)
{
    return clock_nsec(CLOCK_MONOTONIC);
}

static inline uint64_t now_usec(void)
{
    return clock_usec(CLOCK_MONOTONIC);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log-limit.h"

#include <stddef.h>

#include "clock.h"

#define WINDOW_USEC UINT64_C(30000000)

void log_limit_init(LogLimit *limit, unsigned max, LogLimit *parent)
{
    *limit = (LogLimit){.max = max, .parent = parent, .since_usec = now_usec()};
}

void log_limit_close(LogLimit *limit)
{
    *limit = (LogLimit){.lines = 1, .since_usec = UINT64_MAX - WINDOW_USEC};
}

LogVerdict log_limit_take(LogLimit *limit)
{
    uint64_t now = now_usec();

    if (now >= limit->since_usec + WINDOW_USEC) {
        limit->since_usec = now;
        limit->lines = 0;
    }
    if (limit->lines > limit->max)
        return LOG_VERDICT_NOTHING;
    if (limit->lines++ == limit->max)
        return LOG_VERDICT_LAST;
    return limit->parent ? log_limit_take(limit->parent) : LOG_VERDICT_LINE;
}

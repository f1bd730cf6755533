/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many lines somebody else may cause: some in each half minute, so that nobody fills the
 * journal. A limit may stand below another, as a process below its user: then a line needs room
 * in both.
 */
#ifndef VGPU_LOG_LIMIT_H
#define VGPU_LOG_LIMIT_H

#include <stdint.h>

typedef struct LogLimit LogLimit;

struct LogLimit {
    LogLimit *parent; /* NULL: there is none above it. Lives as long as it stands here */
    unsigned max;
    unsigned lines;      /* since then, those without room too */
    uint64_t since_usec; /* now_usec() */
};

typedef enum LogVerdict {
    LOG_VERDICT_LINE,    /* log it */
    LOG_VERDICT_LAST,    /* say instead that lines are left out from here on */
    LOG_VERDICT_NOTHING, /* that was said */
} LogVerdict;

/* log_limit_init() - room for @max lines in each half minute */
void log_limit_init(LogLimit *limit, unsigned max, LogLimit *parent);

/* log_limit_take() - is there room for one more line? */
LogVerdict log_limit_take(LogLimit *limit);

/* log_limit_close() - there is no room from now on; the parent may go */
void log_limit_close(LogLimit *limit);

#endif

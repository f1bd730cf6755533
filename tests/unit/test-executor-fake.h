/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the executor over the fake driver share. */
#ifndef TEST_EXECUTOR_FAKE_H
#define TEST_EXECUTOR_FAKE_H

#include "test-executor-start.h"

#define SLOTS 4u

/* CUresults that the tests let the fake driver return */
enum {
    OUT_OF_MEMORY = 2,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
};

/* fake_options() - SLOTS slots over the fake driver, which is told @fake (may be NULL) */
ClientOptions fake_options(const char *fake);

/* start() - start it and read its HELLO */
Client *start(const char *fake);

/* send_scalar() - ask for @tag + 1 */
void send_scalar(Client *c, uint64_t tag, uint32_t priority);

/* send_scalars() - @n of them at once, so that they are submitted in a row; tags from 0 on */
void send_scalars(Client *c, unsigned n);

/* assert_sum() - the right answer to send_scalar() */
void assert_sum(const ClientResponse *r);

/* A file into which the fake driver writes a line for each call */
typedef struct Trace {
    char path[32];
    char plan[48]; /* what the fake driver is to be told */
} Trace;

Trace trace_new(void);
/* trace_count() - the lines that begin so */
unsigned trace_count(const Trace *t, const char *begin);
void trace_remove(const Trace *t);

#endif

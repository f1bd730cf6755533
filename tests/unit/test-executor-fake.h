/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the executor over the fake driver share. */
#ifndef TEST_EXECUTOR_FAKE_H
#define TEST_EXECUTOR_FAKE_H

#include "test-executor-start.h"

#define MESSAGE_MAX (sizeof(ExecutorHeader) + EXECUTOR_PAYLOAD_MAX)
#define SLOTS 4u

/* fake_options() - SLOTS slots over the fake driver, which is told @fake (may be NULL) */
ClientOptions fake_options(const char *fake);

/* start() - start it and read its HELLO */
Client *start(const char *fake);

/* assert_good_end() - hang up; it ends well; frees @c */
void assert_good_end(Client *c);

/* send_scalar() - ask for @tag + 1 */
void send_scalar(Client *c, uint64_t tag, uint32_t priority);

/* send_scalars() - @n of them, tags from 0 on, in one write: they are submitted in a row */
void send_scalars(Client *c, unsigned n);

/* assert_sum() - the right answer to send_scalar() */
void assert_sum(const ClientResponse *r);

/* receive() - the next response, which must come */
ClientResponse receive(Client *c);

#endif

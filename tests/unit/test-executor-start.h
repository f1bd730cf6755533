/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the tests of the executor start it, over any backend, and how they expect it to end. */
#ifndef TEST_EXECUTOR_START_H
#define TEST_EXECUTOR_START_H

#include "test-executor-client.h"

/*
 * options_for_backend() - what to start
 * @which: "gpu", "fake" (the fake driver, which is told VGPU_FAKE_PLAN), or cpu and what begins so
 *
 * Without VGPU_EXECUTOR the program ends. With "gpu" and no GPU it ends as well, as TAP that
 * skips everything.
 */
ClientOptions options_for_backend(const char *which, unsigned slots);

/* busy_poll_usec() - how long it looks before it sleeps: VGPU_TEST_BUSY_POLL, or 0 */
unsigned busy_poll_usec(void);

/* start_ready() - start it and read its HELLO */
Client *start_ready(const ClientOptions *options);

/* assert_end() - it ends with @status, and @says is part of what it said; frees @c */
void assert_end(Client *c, int status, const char *says);

/* assert_hang_up() - hang up first; with "" for @says, it said nothing */
void assert_hang_up(Client *c, int status, const char *says);

/* assert_good_end() - hang up; it ends well and has said nothing */
void assert_good_end(Client *c);

/* assert_lost() - no further answer comes, and it ends because of CUDA */
void assert_lost(Client *c);

/* receive() - the next answer, which must come */
ClientResponse receive(Client *c);

/* random_bits() - 64 of them, the same for the same @seed, which goes on */
uint64_t random_bits(uint64_t *seed);

#endif

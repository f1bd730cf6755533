/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How test programs of the executor begin that can run over any backend, and how what
 * they start ends. */
#ifndef TEST_EXECUTOR_START_H
#define TEST_EXECUTOR_START_H

#include "test-executor-client.h"

/*
 * options_for_backend() - what to start
 * @which: cpu and what begins so, fake (the fake driver, which is told VGPU_FAKE_PLAN) or gpu
 *
 * Without VGPU_EXECUTOR the program ends, and with "gpu" where there is none: as TAP that skips
 * everything.
 */
ClientOptions options_for_backend(const char *which, unsigned slots);

/* assert_end() - it ends with @status, and @says is part of what it said; frees @c */
void assert_end(Client *c, int status, const char *says);

/* assert_hang_up() - hang up first; with "" for @says, it said nothing */
void assert_hang_up(Client *c, int status, const char *says);

/* random_bits() - 64 of them, the same for the same @seed, which goes on */
uint64_t random_bits(uint64_t *seed);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session with kernels that run as long as a test wants. The fixture of test-session-time.c,
 * test-session-turns.c and test-session-limit.c. */
#ifndef VGPU_TEST_SESSION_KERNELS_H
#define VGPU_TEST_SESSION_KERNELS_H

#include "session-guest.h"

/* Functions of session-kernels.cu, by number */
enum { BUSY = 1, NOTHING = 2, ENDLESS = 3, TRAP = 4, ILLEGAL = 5 };

/* kernels_start() - with context 1, streams 1 (blocking) and 2 (not), and the functions */
SessionGuest kernels_start(uint64_t kernel_timeout_usec);

/* kernels_start_plan() - the same; @plan: VGPU_FAKE_CUDA, or NULL */
SessionGuest kernels_start_plan(uint64_t kernel_timeout_usec, const char *plan);

/* kernels_start_with() - the same; @options have a window_base */
SessionGuest kernels_start_with(const SessionGuestOptions *options, uint64_t kernel_timeout_usec,
                                const char *plan);

/* kernels_end() - hang up; it ends well, and has said nothing */
void kernels_end(SessionGuest *g);

/* kernels_launch() - @parameter has no meaning where the function takes none */
void kernels_launch(SessionGuest *g, uint32_t stream, uint32_t function, uint64_t parameter);

/* kernels_launch_busy() - a kernel that takes @usec */
void kernels_launch_busy(SessionGuest *g, uint32_t stream, uint64_t usec);

/* kernels_launch_endless() - one that never ends */
void kernels_launch_endless(SessionGuest *g, uint32_t stream);

/* control_reaches() - does a word of the control page become @value? Waits for it */
bool control_reaches(const uint32_t *word, uint32_t value);

/* test_now_usec() - CLOCK_MONOTONIC */
uint64_t test_now_usec(void);

#endif

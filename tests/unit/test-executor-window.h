/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Windows for tests of the executor, and what is to be in them afterwards: each
 * operation as vgpu-builtin.h defines it, element by element, and what is rounded more
 * than once computed in long double.
 */
#ifndef TEST_EXECUTOR_WINDOW_H
#define TEST_EXECUTOR_WINDOW_H

#include "test-executor-client.h"

#define WINDOW_MESSAGE_MAX (sizeof(ExecutorHeader) + EXECUTOR_PAYLOAD_MAX)

typedef struct TestWindow {
    uint32_t id;
    int fd;
    uint64_t size;
    unsigned char *memory, *expected; /* the latter: what is to be in the former */
} TestWindow;

/* window_create() - a sealed memfd, mapped; nobody is told */
TestWindow window_create(uint32_t id, uint64_t size);

/* window_create_in() - the same in a memfd of the caller's, which is taken over */
TestWindow window_create_in(int memfd, uint32_t id, uint64_t size);
void window_destroy(TestWindow *w);

/* window_send_add() - tell the executor; what is computed in it may follow at once */
void window_send_add(Client *c, const TestWindow *w);

/* window_send_remove() - the same, and wait until it is so: its number is free then, which the
 * mediator never uses again */
void window_send_remove(Client *c, const TestWindow *w);

/* window_fill() - random bytes; with @nice floating-point numbers of middling size instead */
void window_fill(TestWindow *w, uint64_t seed, uint32_t type, bool nice);

/* operand() - at @offset bytes, @stride elements */
VGPUOperand operand(uint64_t offset, uint32_t stride);

/* window_send() - a COMPUTE */
void window_send(Client *c, const TestWindow *w, uint64_t tag, uint32_t priority,
                 const VGPUSubmission *s);

/*
 * window_expect() - carry it out in w->expected
 *
 * Returns what is to be the result. Matrix products and sums are not exact: those come
 * with the bound of the error, of the result here or of each element by matmul_bound().
 */
typedef struct ExpectedResult {
    bool exact;
    uint64_t bits;             /* when exact */
    long double value, within; /* else */
} ExpectedResult;

ExpectedResult window_expect(TestWindow *w, const VGPUSubmission *s);

/* window_assert() - the result is as expected, and so is every byte of the window */
void window_assert(TestWindow *w, const VGPUSubmission *s, const ExpectedResult *e,
                   const ExecutorResult *r);

/* window_compute() - all of that for one submission, with no other in flight */
void window_compute(Client *c, TestWindow *w, const VGPUSubmission *s);

/* window_refused() - one that is answered with this status */
void window_refused(Client *c, const TestWindow *w, const VGPUSubmission *s, uint32_t status);

#endif

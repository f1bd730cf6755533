/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Windows for tests of the executor, and what is to be in them afterwards. Each operation is
 * carried out as vgpu-builtin.h defines it, element by element, and in long double where
 * the result is rounded more than once.
 */
#ifndef TEST_EXECUTOR_WINDOW_H
#define TEST_EXECUTOR_WINDOW_H

#include "test-executor-client.h"

typedef struct TestWindow {
    uint32_t id;
    int fd;
    uint64_t size;
    unsigned char *memory, *expected; /* what is in it, and what is to be in it */
} TestWindow;

/* window_create() - a sealed memfd, mapped; nobody is told */
TestWindow window_create(uint32_t id, uint64_t size);

/* window_create_in() - the same in the caller's memfd, which it takes over */
TestWindow window_create_in(int memfd, uint32_t id, uint64_t size);
void window_destroy(TestWindow *w);

/* window_send_add() - tell the executor; operations in the window may follow at once */
void window_send_add(Client *c, const TestWindow *w);

/* window_send_remove() - tell the executor, and wait until it has read that. Then the number is
 * free for another window. (The mediator never uses a number again.) */
void window_send_remove(Client *c, const TestWindow *w);

/* window_fill() - random bytes; with @nice floating-point numbers of middling size instead */
void window_fill(TestWindow *w, uint64_t seed, uint32_t type, bool nice);

/* operand() - at @offset bytes, @stride elements */
VGPUOperand operand(uint64_t offset, uint32_t stride);

/* window_send() - a COMPUTE */
void window_send(Client *c, const TestWindow *w, uint64_t tag, uint32_t priority,
                 const VGPUSubmission *s);

/*
 * window_expect() - carry @s out in w->expected, but for a matrix product
 *
 * Returns what is to be the result. A sum is not exact, so it comes with the bound of its
 * error. The bound of each element of a matrix product is window_assert()'s.
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

/* window_compute() - all of that for one submission, while no other is in flight */
void window_compute(Client *c, TestWindow *w, const VGPUSubmission *s);

/* window_refused() - send a submission that is answered with this status */
void window_refused(Client *c, const TestWindow *w, const VGPUSubmission *s, uint32_t status);

#endif

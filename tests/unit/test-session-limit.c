/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The limit for a kernel of a session, over the fake driver: what is found, and what is not. */
#include <stdio.h>
#include <stdlib.h>

#include "executor-protocol.h"
#include "test-session-kernels.h"
#include "test.h"

#include <unistd.h>

enum { LAUNCH_TIMEOUT = 702 };

static const VGPUSessionNone none;

static void assert_timeout(SessionGuest *g)
{
    SessionEnded ended;
    char *text;

    assert_true(session_guest_wait_ended(g, &ended));
    assert_int_equal(ended.reason, SESSION_END_KERNEL_TIMEOUT);
    assert_int_equal(ended.cuda_result, LAUNCH_TIMEOUT);
    assert_int_equal(g->header->sticky, LAUNCH_TIMEOUT);
    assert_int_equal(g->header->state, VGPU_SESSION_STATE_ENDED);
    assert_int_equal(g->control->sticky, LAUNCH_TIMEOUT);
    assert_int_equal(session_guest_end(g, &text), EXECUTOR_EXIT_STICKY);
    assert_non_null(strstr(text, "test: a kernel ran longer than the limit of 200 ms"));
    free(text);
    session_guest_close(g);
}

#define LIMIT_USEC 200000
/* Where nothing may be found: a loaded machine lets the fake device wait, too. */
#define LONG_LIMIT_USEC 1500000

TEST(test_endless_kernel)
{
    for (uint32_t stream = 0; stream <= 2; stream++) {
        SessionGuest g = kernels_start(LIMIT_USEC);
        uint64_t begin = test_now_usec();

        kernels_launch_endless(&g, stream);
        assert_true(test_now_usec() - begin < LIMIT_USEC || g.header->sticky == 0);
        assert_timeout(&g);
        assert_true(test_now_usec() - begin >= LIMIT_USEC);
    }
}

/* With so much behind it that the executor hangs in the driver, and replies that are waited for */
TEST(test_endless_kernel_under_a_heap)
{
    const VGPUSessionMemory memory = {.size = 4096};
    SessionGuest g = kernels_start(LIMIT_USEC);

    kernels_launch(&g, 1, NOTHING, 0);
    kernels_launch_endless(&g, 1);
    for (unsigned i = 0; i < 100; i++)
        kernels_launch(&g, 1, NOTHING, 0);
    session_guest_begin(&g, 9, VGPU_SESSION_OP_MEMORY_ALLOC, 1, &memory, sizeof(memory));
    assert_timeout(&g);
}

/* The SLOW thread waits in the driver for what never ends: the reply says why there is none. */
TEST(test_endless_kernel_is_waited_for)
{
    VGPUSessionMemory memory = {.size = 4096};
    SessionGuest g = kernels_start(LIMIT_USEC);
    uint64_t value[6];

    assert_int_equal(session_guest_call_with(&g, VGPU_SESSION_OP_MEMORY_ALLOC, 1, &memory,
                                             sizeof(memory), NULL, 0, value),
                     0);
    memory.address = value[0];
    kernels_launch_endless(&g, 2);
    session_guest_begin(&g, 9, VGPU_SESSION_OP_MEMORY_FREE, 1, &memory, sizeof(memory));
    assert_int_equal(session_guest_wait(&g, 9, NULL), LAUNCH_TIMEOUT);
    assert_timeout(&g);
}

/* While another stream waits for a word for ever: that is no kernel, but the endless one is. */
TEST(test_endless_kernel_beside_a_wait)
{
    SessionGuest g = kernels_start(LIMIT_USEC);
    const VGPUSessionWord word = {
        .stream = 2,
        .address = (uint64_t) (uintptr_t) (g.window + session_guest_alloc(&g, 8)),
        .value = 1,
        .bits = 64,
    };

    kernels_launch(&g, 2, NOTHING, 0);
    session_guest_submit(&g, VGPU_SESSION_OP_WORD_WAIT, 1, &word, sizeof(word));
    kernels_launch(&g, 2, NOTHING, 0);
    kernels_launch_endless(&g, 1);
    assert_timeout(&g);
}

/* Longer than the limit in all, each of them shorter: as many as one likes, in one stream or in
 * several that wait for each other. */
TEST(test_many_kernels_within_the_limit)
{
    SessionGuest g = kernels_start(LONG_LIMIT_USEC);

    for (unsigned i = 0; i < 9; i++)
        kernels_launch_busy(&g, i % 3, 250000);
    for (unsigned i = 0; i < 200; i++)
        kernels_launch(&g, 1, NOTHING, 0);
    session_guest_synchronize(&g, 1, 0);
    session_guest_synchronize(&g, 1, 1);
    session_guest_synchronize(&g, 1, 2);
    assert_int_equal(g.header->error, 0);
    kernels_end(&g);
}

/* Waits for words and for events do not count, nor what waits behind them, in any stream. */
TEST(test_waits_do_not_count)
{
    const VGPUSessionEvent event = {.event = 1, .stream = 2}, wait = {.event = 1, .stream = 1};
    const VGPUSessionCreate create = {.id = 1};
    SessionGuest g = kernels_start(LONG_LIMIT_USEC);
    uint64_t offset = session_guest_alloc(&g, 8);
    const VGPUSessionWord word = {
        .stream = 2,
        .address = (uint64_t) (uintptr_t) (g.window + offset),
        .value = 1,
        .bits = 64,
    };

    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_EVENT_CREATE, 1, &create, sizeof(create)), 0);
    kernels_launch(&g, 2, NOTHING, 0);
    kernels_launch(&g, 1, NOTHING, 0);
    session_guest_submit(&g, VGPU_SESSION_OP_WORD_WAIT, 1, &word, sizeof(word));
    kernels_launch_busy(&g, 2, 10000);
    session_guest_submit(&g, VGPU_SESSION_OP_EVENT_RECORD, 1, &event, sizeof(event));
    session_guest_submit(&g, VGPU_SESSION_OP_STREAM_WAIT_EVENT, 1, &wait, sizeof(wait));
    kernels_launch_busy(&g, 1, 10000);
    kernels_launch_busy(&g, 0, 10000);
    kernels_launch_busy(&g, 1, 10000);
    usleep(2 * LONG_LIMIT_USEC);
    assert_int_equal(g.header->state, VGPU_SESSION_STATE_OPEN);
    assert_int_equal(g.header->sticky, 0);
    __atomic_store_n((uint64_t *) (g.window + offset), 1, __ATOMIC_RELEASE);
    session_guest_synchronize(&g, 1, 1);
    session_guest_synchronize(&g, 1, 2);
    kernels_end(&g);
}

/* The driver lets the ring's thread wait, because a stream that waits for a word has too much
 * behind that. Nobody can ask it then whether another stream's work has ended. */
TEST(test_stuck_in_the_driver)
{
    SessionGuest g = kernels_start_plan(LONG_LIMIT_USEC, "hang=cuLaunchKernel:after=400");
    const VGPUSessionWord word = {
        .stream = 2,
        .address = (uint64_t) (uintptr_t) (g.window + session_guest_alloc(&g, 8)),
        .value = 1,
        .bits = 64,
    };

    session_guest_submit(&g, VGPU_SESSION_OP_WORD_WAIT, 1, &word, sizeof(word));
    kernels_launch_busy(&g, 1, 200000);
    for (unsigned i = 0; i < 400; i++)
        kernels_launch(&g, 2, NOTHING, 0);
    session_guest_begin(&g, 2, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
    usleep(2 * LONG_LIMIT_USEC);
    assert_int_equal(g.header->state, VGPU_SESSION_STATE_OPEN);
    assert_false(session_guest_is_done(&g, 2)); /* it is stuck */
    kernels_end(&g);
}

/* A stream has rested for longer than the limit. */
TEST(test_rest_does_not_count)
{
    SessionGuest g = kernels_start(LONG_LIMIT_USEC);

    for (unsigned i = 0; i < 2; i++) {
        kernels_launch(&g, 1, NOTHING, 0);
        usleep(LONG_LIMIT_USEC + LONG_LIMIT_USEC / 10);
        session_guest_synchronize(&g, 1, 1);
    }
    kernels_end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endless_kernel),
        cmocka_unit_test(test_endless_kernel_under_a_heap),
        cmocka_unit_test(test_endless_kernel_is_waited_for),
        cmocka_unit_test(test_endless_kernel_beside_a_wait),
        cmocka_unit_test(test_many_kernels_within_the_limit),
        cmocka_unit_test(test_waits_do_not_count),
        cmocka_unit_test(test_stuck_in_the_driver),
        cmocka_unit_test(test_rest_does_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

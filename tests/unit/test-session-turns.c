/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much a session gives to the device ahead of what that has done, over the fake driver. Nothing
 * here goes by the clock, but for what must not happen for a while. */
#include <stdio.h>
#include <stdlib.h>

#include "executor-protocol.h"
#include "test-session-kernels.h"
#include "test.h"

#include <unistd.h>

#define FOREVER_USEC 3600000000u
/* While it is not known how long one takes */
#define UNKNOWN 4u
#define LIMIT_USEC 200000u

static const VGPUSessionNone none;

static SessionGuest turns_start(uint32_t ahead_usec)
{
    SessionGuest g = kernels_start(UINT64_MAX);

    g.control->ahead_usec = ahead_usec;
    return g;
}

static void change_ahead(SessionGuest *g, uint32_t usec)
{
    __atomic_store_n(&g->control->ahead_usec, usec, __ATOMIC_SEQ_CST);
}

static uint64_t launches(const SessionGuest *g)
{
    return __atomic_load_n(&g->control->launches, __ATOMIC_SEQ_CST);
}

static bool launches_reach(const SessionGuest *g, uint64_t n)
{
    for (uint64_t begin = test_now_usec(); launches(g) < n;) {
        if (test_now_usec() - begin > SESSION_GUEST_TIMEOUT_MSEC * UINT64_C(1000))
            return false;
        usleep(500);
    }
    return true;
}

/* Does it hold back after @n? */
static void assert_held(const SessionGuest *g, uint64_t n)
{
    assert_true(launches_reach(g, n));
    usleep(30000);
    assert_int_equal(launches(g), n);
}

static VGPUSessionWord word_of(SessionGuest *g, uint32_t stream)
{
    return (VGPUSessionWord){
        .stream = stream,
        .address = (uint64_t) (uintptr_t) (g->window + session_guest_alloc(g, 8)),
        .value = 1,
        .bits = 64,
    };
}

/* The word that @word waits for */
static void come(const VGPUSessionWord *word)
{
    __atomic_store_n((uint64_t *) (uintptr_t) word->address, 1, __ATOMIC_RELEASE);
}

/* A stream that waits for the guest, and works behind that, of which a few are given */
static VGPUSessionWord heap(SessionGuest *g, unsigned n)
{
    const VGPUSessionWord word = word_of(g, 1);

    session_guest_submit(g, VGPU_SESSION_OP_WORD_WAIT, 1, &word, sizeof(word));
    for (unsigned i = 0; i < n; i++)
        kernels_launch(g, 1, NOTHING, 0);
    return word;
}

/* The device has no more than what takes that long, however much the guest has submitted. */
TEST(test_bound)
{
    enum { WORK_USEC = 2000, AHEAD_USEC = 20000, WORKS = 1000 };
    const SessionGuestOptions big = {.window_base = UINT64_C(0x300000000000),
                                     .ring_size = 1u << 20};
    SessionGuest g = kernels_start_with(&big, UINT64_MAX, NULL);
    const uint64_t word = session_guest_alloc(&g, 8);
    uint64_t done;

    change_ahead(&g, AHEAD_USEC);
    for (unsigned i = 1; i <= WORKS; i++) {
        kernels_launch_busy(&g, 1, WORK_USEC);
        session_guest_fence(&g, 1, 1, word, i);
    }
    assert_true(launches_reach(&g, 40));
    session_guest_gate(&g, false);
    done = __atomic_load_n((uint64_t *) (void *) (g.window + word), __ATOMIC_SEQ_CST);
    assert_true(control_reaches(&g.control->waiting, 1));
    assert_true(control_reaches(&g.control->running, 0));
    /* And a few that a device that stood still on a loaded machine was given */
    assert_in_range(launches(&g) - done, 0, 1 + AHEAD_USEC / WORK_USEC + 4);
    assert_true(launches(&g) < WORKS);
    kernels_end(&g);
}

/* A stream that waits is no reason to hold another back for ever, nor are works behind a wait that
 * a later operation ends. */
TEST(test_later_operation_is_waited_for)
{
    SessionGuest g = turns_start(1000);
    VGPUSessionWord word = heap(&g, 20);

    word.stream = 2;
    kernels_launch(&g, 2, NOTHING, 0);
    session_guest_submit(&g, VGPU_SESSION_OP_WORD_WRITE, 1, &word, sizeof(word));
    session_guest_synchronize(&g, 1, 1);
    session_guest_synchronize(&g, 1, 2);
    assert_int_equal(launches(&g), 21);
    kernels_end(&g);
}

/* Kernels that wait for the guest look as if they worked. */
TEST(test_kernel_that_stays)
{
    SessionGuest g = turns_start(1000);

    for (unsigned i = 0; i < UNKNOWN; i++)
        kernels_launch_endless(&g, 2);
    for (unsigned i = 0; i < 3; i++) {
        kernels_launch(&g, 1, NOTHING, 0);
        session_guest_synchronize(&g, 1, 1);
    }
    kernels_end(&g);
}

TEST(test_bound_changes_while_it_holds_back)
{
    SessionGuest g = turns_start(FOREVER_USEC);
    const VGPUSessionWord word = heap(&g, 50);

    assert_held(&g, UNKNOWN);
    change_ahead(&g, FOREVER_USEC / 2);
    assert_held(&g, UNKNOWN);
    change_ahead(&g, 0);
    assert_true(launches_reach(&g, 50));
    change_ahead(&g, FOREVER_USEC);
    for (unsigned i = 0; i < 50; i++)
        kernels_launch(&g, 2, NOTHING, 0); /* done as they come */
    assert_true(launches_reach(&g, 100));
    come(&word);
    session_guest_synchronize(&g, 1, 1);
    session_guest_synchronize(&g, 1, 2);
    kernels_end(&g);
}

TEST(test_gate_closes_while_it_holds_back)
{
    SessionGuest g = turns_start(FOREVER_USEC);
    const VGPUSessionWord word = heap(&g, 50);

    assert_held(&g, UNKNOWN);
    assert_int_equal(g.control->waiting, 0);
    session_guest_gate(&g, false);
    assert_true(control_reaches(&g.control->waiting, 1));
    session_guest_gate(&g, true);
    assert_true(control_reaches(&g.control->waiting, 0));
    assert_held(&g, UNKNOWN);
    session_guest_gate(&g, false);
    assert_true(control_reaches(&g.control->waiting, 1));
    come(&word);
    assert_true(control_reaches(&g.control->running, 0));
    assert_int_equal(launches(&g), UNKNOWN);
    session_guest_gate(&g, true);
    session_guest_synchronize(&g, 1, 1);
    assert_int_equal(launches(&g), 50);
    kernels_end(&g);
}

TEST(test_hangup_while_it_holds_back)
{
    SessionGuest g = turns_start(FOREVER_USEC);

    (void) heap(&g, 50);
    assert_held(&g, UNKNOWN);
    kernels_end(&g);
}

/* Fences, words and what is captured are no works; a graph is one. */
TEST(test_what_counts)
{
    const VGPUSessionGraph graph = {.graph = 1, .exec = 1, .stream = 2};
    SessionGuest g = turns_start(FOREVER_USEC);
    const uint64_t fence = session_guest_alloc(&g, 8);
    const VGPUSessionWord word = heap(&g, UNKNOWN);

    assert_held(&g, UNKNOWN);
    for (uint64_t i = 1; i <= 20; i++)
        session_guest_fence(&g, 1, 2, fence, i);
    assert_true(session_guest_wait_word(&g, fence, 20, SESSION_GUEST_TIMEOUT_MSEC));
    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_CAPTURE_BEGIN, 1, &graph, sizeof(graph)), 0);
    for (unsigned i = 0; i < 20; i++)
        kernels_launch(&g, 2, NOTHING, 0);
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_CAPTURE_END, 1, &graph, sizeof(graph)),
                     0);
    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_GRAPH_INSTANTIATE, 1, &graph, sizeof(graph)), 0);
    assert_held(&g, UNKNOWN + 20);
    session_guest_submit(&g, VGPU_SESSION_OP_GRAPH_LAUNCH, 1, &graph, sizeof(graph));
    assert_held(&g, UNKNOWN + 20);
    come(&word);
    assert_true(launches_reach(&g, UNKNOWN + 21));
    session_guest_synchronize(&g, 1, 1);
    session_guest_synchronize(&g, 1, 2);
    kernels_end(&g);
}

/* What a destroyed stream was given is ahead until it is done. */
TEST(test_destroyed_stream)
{
    const VGPUSessionId stream = {.id = 2};
    SessionGuest g = turns_start(FOREVER_USEC);

    for (unsigned i = 0; i < UNKNOWN; i++)
        kernels_launch_busy(&g, 2, 10000);
    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_STREAM_DESTROY, 1, &stream, sizeof(stream)), 0);
    for (unsigned i = 0; i < 20; i++)
        kernels_launch(&g, 1, NOTHING, 0);
    session_guest_synchronize(&g, 1, 1);
    assert_true(control_reaches(&g.control->running, 0));
    kernels_end(&g);
}

/* There is nothing to wait for any more. */
TEST(test_fault)
{
    SessionGuest g = turns_start(FOREVER_USEC);

    kernels_launch_busy(&g, 1, 20000);
    kernels_launch(&g, 1, TRAP, 0);
    for (unsigned i = 0; i < 20; i++)
        kernels_launch(&g, 1, NOTHING, 0);
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_CONTEXT_LIMIT_GET, 1,
                                        &(VGPUSessionLimit){0}, sizeof(VGPUSessionLimit)),
                     719);
    assert_int_equal(session_guest_end(&g, NULL), 0);
    session_guest_close(&g);
}

/* The limit for a kernel holds while its session holds back. */
TEST(test_kernel_timeout)
{
    SessionGuest g = kernels_start(LIMIT_USEC);
    SessionEnded ended;

    g.control->ahead_usec = FOREVER_USEC;
    kernels_launch_endless(&g, 1);
    for (unsigned i = 0; i < 20; i++)
        kernels_launch(&g, 1, NOTHING, 0);
    session_guest_begin(&g, 2, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
    assert_true(session_guest_wait_ended(&g, &ended));
    assert_int_equal(ended.reason, SESSION_END_KERNEL_TIMEOUT);
    assert_int_equal(launches(&g), UNKNOWN);
    assert_int_equal(session_guest_end(&g, NULL), EXECUTOR_EXIT_STICKY);
    session_guest_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_later_operation_is_waited_for),
        cmocka_unit_test(test_kernel_that_stays),
        cmocka_unit_test(test_bound_changes_while_it_holds_back),
        cmocka_unit_test(test_gate_closes_while_it_holds_back),
        cmocka_unit_test(test_hangup_while_it_holds_back),
        cmocka_unit_test(test_what_counts),
        cmocka_unit_test(test_destroyed_stream),
        cmocka_unit_test(test_fault),
        cmocka_unit_test(test_kernel_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

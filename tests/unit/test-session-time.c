/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session's time on the device, over the fake driver: the gate, what the control page says of
 * it, and faults of kernels. */
#include <stdio.h>
#include <stdlib.h>

#include "test-session-kernels.h"
#include "test.h"

#include <unistd.h>

static const VGPUSessionNone none;

static void expect_changed(SessionGuest *g)
{
    uint32_t message;

    assert_int_equal(
        session_guest_message(g, &message, sizeof(message), SESSION_GUEST_TIMEOUT_MSEC),
        sizeof(message));
    assert_int_equal(message, SESSION_MSG_CHANGED);
}

static void expect_no_more(SessionGuest *g)
{
    uint32_t message;

    assert_int_equal(session_guest_message(g, &message, sizeof(message), 20), -ETIMEDOUT);
}

static unsigned count_changed(SessionGuest *g)
{
    uint32_t message;
    unsigned n = 0;

    while (session_guest_message(g, &message, sizeof(message), 0) > 0) {
        assert_int_equal(message, SESSION_MSG_CHANGED);
        n++;
    }
    return n;
}

/* ---- The gate -----------------------------------------------------------------------------------
 */

/* Behind a closed gate nothing gets to the device, and what gives it nothing goes on before. */
TEST(test_gate)
{
    SessionGuest g = kernels_start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 8);

    assert_true(control_reaches(&g.control->running, 0));
    session_guest_gate(&g, false);
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 1, &none, sizeof(none)), 0);
    assert_int_equal(g.control->waiting, 0);
    session_guest_fence(&g, 1, 1, word, 1);
    session_guest_begin(&g, 2, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
    assert_true(control_reaches(&g.control->waiting, 1));
    assert_false(session_guest_wait_word(&g, word, 1, 50));
    assert_false(session_guest_is_done(&g, 2));
    assert_int_equal(g.control->running, 0);

    session_guest_gate(&g, true);
    assert_true(session_guest_wait_word(&g, word, 1, SESSION_GUEST_TIMEOUT_MSEC));
    assert_int_equal(session_guest_wait(&g, 2, NULL), 0);
    assert_true(control_reaches(&g.control->waiting, 0));
    assert_int_equal(count_changed(&g), 0); /* nobody wanted to know */
    kernels_end(&g);
}

/* Closing takes nothing back: what the device has, it does, and the session stops running. */
TEST(test_gate_closes_while_it_runs)
{
    SessionGuest g = kernels_start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 16);

    kernels_launch_busy(&g, 1, 20000);
    session_guest_fence(&g, 1, 1, word, 1);
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none)), 0);
    session_guest_gate(&g, false);
    session_guest_fence(&g, 1, 2, word + 8, 1);
    assert_true(control_reaches(&g.control->waiting, 1));
    assert_true(session_guest_wait_word(&g, word, 1, SESSION_GUEST_TIMEOUT_MSEC));
    assert_true(control_reaches(&g.control->running, 0));
    assert_false(session_guest_wait_word(&g, word + 8, 1, 20));
    session_guest_gate(&g, true);
    assert_true(session_guest_wait_word(&g, word + 8, 1, SESSION_GUEST_TIMEOUT_MSEC));
    kernels_end(&g);
}

TEST(test_hangup_at_the_gate)
{
    SessionGuest g = kernels_start(UINT64_MAX);

    session_guest_gate(&g, false);
    kernels_launch(&g, 1, NOTHING, 0);
    assert_true(control_reaches(&g.control->waiting, 1));
    kernels_end(&g);
}

/* Opened and closed as fast as it goes, while the guest gives work: all of it is done. */
TEST(test_gate_swings)
{
    SessionGuest g = kernels_start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 8);

    for (uint64_t i = 1; i <= 500; i++) {
        session_guest_gate(&g, false);
        session_guest_fence(&g, 1, 1, word, i);
        session_guest_gate(&g, true);
        assert_true(session_guest_wait_word(&g, word, i, SESSION_GUEST_TIMEOUT_MSEC));
    }
    kernels_end(&g);
}

/* ---- What it says
 * --------------------------------------------------------------------------------- */

TEST(test_tell)
{
    SessionGuest g = kernels_start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 8);

    assert_true(control_reaches(&g.control->running, 0));
    usleep(20000); /* what is told late has been */
    __atomic_store_n(&g.control->tell, 1, __ATOMIC_SEQ_CST);
    kernels_launch_busy(&g, 1, 20000);
    assert_true(control_reaches(&g.control->running, 1));
    expect_changed(&g); /* the end, and not the beginning */
    assert_int_equal(g.control->running, 0);
    expect_no_more(&g);

    session_guest_gate(&g, false);
    session_guest_fence(&g, 1, 1, word, 2);
    expect_changed(&g);
    assert_int_equal(g.control->waiting, 1);
    expect_no_more(&g);
    session_guest_gate(&g, true);
    assert_true(session_guest_wait_word(&g, word, 2, SESSION_GUEST_TIMEOUT_MSEC));
    expect_changed(&g);
    assert_int_equal(g.control->running, 0);
    expect_no_more(&g);
    kernels_end(&g);
}

/* Behind a closed gate the end is told, although the guest goes on and nothing else happens. */
TEST(test_tell_behind_the_gate)
{
    SessionGuest g = kernels_start(UINT64_MAX);

    kernels_launch_busy(&g, 1, 30000);
    assert_true(control_reaches(&g.control->running, 1));
    __atomic_store_n(&g.control->tell, 1, __ATOMIC_SEQ_CST);
    session_guest_gate(&g, false);
    kernels_launch(&g, 1, NOTHING, 0);
    expect_changed(&g); /* it waits */
    if (g.control->running != 0)
        expect_changed(&g);
    assert_int_equal(g.control->running, 0);
    assert_int_equal(g.control->waiting, 1);
    (void) count_changed(&g);
    session_guest_gate(&g, true);
    kernels_end(&g);
}

/* A guest that launches and waits is told of once for each time it stops, at most. */
TEST(test_tell_of_each_end_once)
{
    SessionGuest g = kernels_start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 8);
    unsigned n = 0;

    assert_true(control_reaches(&g.control->running, 0));
    __atomic_store_n(&g.control->tell, 1, __ATOMIC_SEQ_CST);
    for (uint64_t i = 1; i <= 200; i++) {
        session_guest_fence(&g, 1, 1, word, i);
        assert_true(session_guest_wait_word(&g, word, i, SESSION_GUEST_TIMEOUT_MSEC));
        n += count_changed(&g);
    }
    expect_changed(&g);
    n += count_changed(&g) + 1;
    assert_in_range(n, 1, 200);
    kernels_end(&g);
}

/* A mediator that does not read is told when it does, and holds nothing up. */
TEST(test_mediator_does_not_read)
{
    SessionGuest g = kernels_start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 8), begin;
    unsigned n;

    __atomic_store_n(&g.control->tell, 1, __ATOMIC_SEQ_CST);
    for (uint64_t i = 1; i <= 2000; i++) {
        session_guest_fence(&g, 1, 1, word, i);
        assert_true(session_guest_wait_word(&g, word, i, SESSION_GUEST_TIMEOUT_MSEC));
        assert_true(control_reaches(&g.control->running, 0));
        usleep(2 * SESSION_IDLE_USEC);
        if (i % 100 == 0 && session_guest_message(&g, &n, sizeof(n), 0) == 0)
            break;
    }
    n = count_changed(&g);
    assert_true(n > 0);
    begin = test_now_usec();
    session_guest_fence(&g, 1, 1, word, 1);
    assert_true(session_guest_wait_word(&g, word, 1, SESSION_GUEST_TIMEOUT_MSEC));
    while (count_changed(&g) == 0)
        assert_true(test_now_usec() - begin < SESSION_GUEST_TIMEOUT_MSEC * UINT64_C(1000));
    kernels_end(&g);
}

/* No less than the device had work, and not much more: the machine may be loaded. */
TEST(test_device_time)
{
    SessionGuest g = kernels_start(UINT64_MAX);
    uint64_t before, took, begin, counted;

    assert_true(control_reaches(&g.control->running, 0));
    before = g.control->device_usec;
    usleep(50000);
    assert_int_equal(g.control->device_usec, before); /* nothing runs, nothing counts */

    begin = test_now_usec();
    kernels_launch_busy(&g, 1, 30000);
    kernels_launch_busy(&g, 2, 30000); /* beside it */
    kernels_launch_busy(&g, 0, 10000); /* behind stream 1 */
    session_guest_synchronize(&g, 1, 0);
    session_guest_synchronize(&g, 1, 2);
    assert_true(control_reaches(&g.control->running, 0));
    took = test_now_usec() - begin;
    counted = g.control->device_usec - before;
    assert_in_range(counted, 30000, took);
    assert_int_equal(g.header->device_usec, g.control->device_usec); /* the guest sees it, too */
    assert_int_equal(g.control->launches, 3);
    kernels_end(&g);
}

/* A stream that is destroyed with work in it is still at work, and a context that is. */
TEST(test_destroyed_while_it_works)
{
    const VGPUSessionId stream = {.id = 2}, context = {.id = 1};
    SessionGuest g = kernels_start(UINT64_MAX);
    uint64_t before;

    assert_true(control_reaches(&g.control->running, 0));
    before = g.control->device_usec;
    kernels_launch_busy(&g, 2, 30000);
    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_STREAM_DESTROY, 1, &stream, sizeof(stream)), 0);
    assert_true(control_reaches(&g.control->running, 0));
    assert_true(g.control->device_usec - before >= 30000);

    kernels_launch_busy(&g, 1, 30000);
    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_CONTEXT_DESTROY, 1, &context, sizeof(context)), 0);
    assert_true(control_reaches(&g.control->running, 0));
    session_guest_context(&g, 1, true);
    session_guest_synchronize(&g, 1, 0);
    kernels_end(&g);
}

/* What is captured is no work of the device's. What was given before the capture is, to its end. */
TEST(test_capture)
{
    const VGPUSessionGraph graph = {.graph = 1, .stream = 1};
    SessionGuest g = kernels_start(UINT64_MAX);
    uint64_t before;

    assert_true(control_reaches(&g.control->running, 0));
    before = g.control->device_usec;
    kernels_launch_busy(&g, 1, 30000);
    kernels_launch_busy(&g, 0, 10000);
    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_CAPTURE_BEGIN, 1, &graph, sizeof(graph)), 0);
    assert_true(control_reaches(&g.control->running, 0));
    assert_true(g.control->device_usec - before >= 30000);
    before = g.control->device_usec;
    for (unsigned i = 0; i < 20; i++) {
        kernels_launch_busy(&g, 1, 100000);
        usleep(1000);
    }
    assert_int_equal(g.control->running, 0);
    assert_int_equal(g.control->device_usec, before);
    kernels_launch_busy(&g, 2, 1000); /* a stream beside it */
    assert_true(control_reaches(&g.control->running, 0));
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_CAPTURE_END, 1, &graph, sizeof(graph)),
                     0);
    assert_int_equal(g.header->error, 0);
    session_guest_synchronize(&g, 1, 1);
    kernels_end(&g);
}

/* ---- Faults
 * ------------------------------------------------------------------------------------------ */

/* A guest that sleeps for a fence is woken: the device writes nothing any more. */
TEST(test_faults)
{
    static const struct {
        uint32_t function;
        uint32_t error;
    } faults[] = {{TRAP, 719}, {ILLEGAL, 700}};

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        SessionGuest g = kernels_start(UINT64_MAX);
        const VGPUSessionFence wake = {.stream = 1};
        uint64_t word = session_guest_alloc(&g, 8);

        __atomic_store_n(&g.header->guest_waits, 1, __ATOMIC_SEQ_CST);
        kernels_launch_busy(&g, 1, 20000);
        kernels_launch(&g, 1, faults[i].function, 0);
        session_guest_fence(&g, 1, 1, word, 1);
        session_guest_submit(&g, VGPU_SESSION_OP_WAKE, 1, &wake, sizeof(wake));
        while (__atomic_load_n(&g.header->sticky, __ATOMIC_ACQUIRE) == 0)
            assert_true(session_guest_sleep(&g, SESSION_GUEST_TIMEOUT_MSEC));
        assert_int_equal(g.header->sticky, faults[i].error);
        assert_int_equal(g.control->sticky, faults[i].error);
        assert_true(control_reaches(&g.control->running, 0));
        assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_WAKE, 1, &wake, sizeof(wake)),
                         faults[i].error);
        assert_int_equal(session_guest_end(&g, NULL), 0);
        session_guest_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_gate_closes_while_it_runs),
        cmocka_unit_test(test_hangup_at_the_gate),
        cmocka_unit_test(test_gate_swings),
        cmocka_unit_test(test_tell),
        cmocka_unit_test(test_tell_behind_the_gate),
        cmocka_unit_test(test_tell_of_each_end_once),
        cmocka_unit_test(test_mediator_does_not_read),
        cmocka_unit_test(test_device_time),
        cmocka_unit_test(test_destroyed_while_it_works),
        cmocka_unit_test(test_capture),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine does to a device with open sessions: resets, stops and ends it. */
#include "device-rings.h"

/* ---- Reset --------------------------------------------------------------------------- */

static void open_two(Testbed *t, FakeSession s[static 2])
{
    session_open(t, 1, &s[0]);
    session_open(t, 9, &s[1]);
}

static void free_two(FakeSession s[static 2])
{
    fake_session_free(&s[0]);
    fake_session_free(&s[1]);
}

/* The eventfds from before the reset neither hear the guest nor disturb it. */
static void assert_dead(Testbed *t, const FakeSession s[static 2])
{
    session_ring_doorbell(t, 1);
    session_ring_doorbell(t, 9);
    assert_int_equal(fake_session_rung(&s[0]), 0);
    assert_int_equal(fake_session_rung(&s[1]), 0);
    fake_session_signal(&s[0]);
    fake_session_signal(&s[1]);
    qtest_synchronize(t->qtest);
    sessions_assert_power_on(t, VGPU_RINGS_MAX);
}

/* The mediator ends all sessions in time, and loses its connection all the same. */
static void check_reset(Testbed *t, void (*reset)(Testbed *t))
{
    FakeSession s[2], next;

    open_two(t, s);
    fake_close_meanwhile(&t->mediator, 2);
    reset(t);
    fake_obeyed(&t->mediator);
    device_enable(&t->device);
    sessions_assert_power_on(t, VGPU_RINGS_MAX);
    qtest_wait_irq(t->qtest, false);
    fake_expect_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);
    assert_dead(t, s);

    free_two(s);
    session_open(t, 1, &next); /* a new connection */
    fake_session_free(&next);
}

static void test_system_reset(void **state)
{
    check_reset(*state, testbed_system_reset);
}

static void test_function_level_reset(void **state)
{
    check_reset(*state, testbed_function_level_reset);
}

static void test_hot_reset(void **state)
{
    check_reset(*state, testbed_hot_reset);
}

/* A reset does not wait for a mediator that does nothing; it loses the connection. */
static void test_reset_with_a_stalled_mediator(void **state)
{
    Testbed *t = *state;
    FakeSession s[2];
    int64_t begin;

    open_two(t, s);
    begin = now_ms();
    testbed_function_level_reset(t);
    assert_true(now_ms() - begin < 5000);
    device_enable(&t->device);
    sessions_assert_power_on(t, VGPU_RINGS_MAX);
    fake_expect_close(&t->mediator, 1);
    fake_expect_close(&t->mediator, 9);
    fake_expect_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);
    free_two(s);
}

static void test_reset_while_starting(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_start(t, 4);
    fake_accept_open(&t->mediator, 4, &s);
    fake_session_free(&s);
    fake_close_meanwhile(&t->mediator, 1);
    testbed_function_level_reset(t);
    fake_obeyed(&t->mediator);
    device_enable(&t->device);
    sessions_assert_power_on(t, VGPU_RINGS_MAX);
    fake_expect_hang_up(&t->mediator);
    session_open(t, 4, &s);
    fake_session_free(&s);
}

/* The connection stays where the mediator has nothing of the guest's. */
static void test_reset_of_sessions_that_failed(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 4, &s);
    fake_session_free(&s);
    fake_session_ready(&t->mediator, 4, VGPU_ERROR_CUDA_ERROR, 719);
    session_expect_failed(t, 4, VGPU_ERROR_CUDA_ERROR, 719);
    testbed_function_level_reset(t);
    device_enable(&t->device);
    sessions_assert_power_on(t, VGPU_RINGS_MAX);
    session_open(t, 4, &s);
    fake_session_free(&s);
    assert_false(fake_has_caller(&t->mediator));
}

/* ---- Stop ---------------------------------------------------------------------------- */

/* A pause costs a session nothing. The ring beside it is let go. */
static void test_stop(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    fake_welcome_sessions(&t->mediator);
    fake_expect_setup(&t->mediator);
    ring_agree(t);
    session_open(t, 2, &s);
    fake_obey_meanwhile(&t->mediator, NULL);
    qtest_pause(t->qtest);
    fake_obeyed(&t->mediator);
    fake_synchronize(&t->mediator); /* it is answered, and told nothing of the session */
    assert_int_equal(session_state(t, 2), VGPU_RING_ON);
    ring_resume(t);
    assert_int_equal(session_state(t, 2), VGPU_RING_ON);
    session_ring_doorbell(t, 2);
    assert_int_equal(fake_session_rung(&s), 1);
    fake_session_signal(&s);
    session_expect(t, 2, VGPU_RING_ON);
    fake_session_free(&s);
}

/* The administrator ends a session of a machine that is paused. */
static void test_ended_while_stopped(void **state)
{
    Testbed *t = *state;
    FakeSession s[2];

    open_two(t, s);
    qtest_pause(t->qtest);
    fake_session_ready(&t->mediator, 1, VGPU_ERROR_RATE_LIMITED, 0);
    session_expect_failed(t, 1, VGPU_ERROR_RATE_LIMITED, 0);
    fake_synchronize(&t->mediator);
    fake_session_ready(&t->mediator, 9, VGPU_ERROR_RATE_LIMITED, 0);
    session_expect_failed(t, 9, VGPU_ERROR_RATE_LIMITED, 0);

    /* Without a session the device of a machine that is paused does nothing. */
    fake_send(&t->mediator, VGPU_MSG_PING, 1, NULL, 0);
    for (int i = 0; i < 20; i++)
        qtest_synchronize(t->qtest);
    fake_expect_silence(&t->mediator);
    qtest_resume(t->qtest);
    fake_synchronize(&t->mediator);
    free_two(s);
}

static void test_mediator_dies_while_stopped(void **state)
{
    Testbed *t = *state;
    FakeSession s[2];

    open_two(t, s);
    qtest_pause(t->qtest);
    fake_hang_up(&t->mediator);
    session_expect_failed(t, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    session_expect_failed(t, 9, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    fake_expect_no_caller(&t->mediator);
    qtest_resume(t->qtest);
    fake_expect_no_caller(&t->mediator);
    free_two(s);
}

static void test_stop_while_stopping(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 1, &s);
    session_write(t, 1, VGPU_SESSION_REG_CTRL, 0);
    fake_expect_close(&t->mediator, 1);
    qtest_pause(t->qtest);
    assert_int_equal(session_state(t, 1), VGPU_RING_STOPPING);
    fake_session_closed(&t->mediator, 1);
    for (int64_t begin = now_ms(); session_state(t, 1) != VGPU_RING_OFF;)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
    fake_session_free(&s);
}

static void test_on_and_off_in_a_stopped_vm(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    qtest_pause(t->qtest);
    session_start(t, 1);
    assert_int_equal(session_state(t, 1), VGPU_RING_STARTING);
    session_write(t, 1, VGPU_SESSION_REG_CTRL, 0);
    assert_int_equal(session_state(t, 1), VGPU_RING_OFF);
    session_write(t, 1, VGPU_SESSION_REG_CTRL, 1);
    fake_expect_no_caller(&t->mediator);
    qtest_resume(t->qtest);
    fake_accept_open(&t->mediator, 1, &s);
    session_agree(t, 1);
    fake_session_free(&s);
}

/* ---- The end ------------------------------------------------------------------------- */

/* QEMU waits until the executors have let go of the machine's memory. */
TEST(test_quit)
{
    FakeSession s[2];
    Testbed t;

    testbed_open(&t, "");
    open_two(&t, s);
    fake_close_meanwhile(&t.mediator, 2);
    testbed_close(&t);
    fake_obeyed(&t.mediator);
    free_two(s);
}

/* It does not wait for a mediator that says nothing. */
TEST(test_quit_with_a_stalled_mediator)
{
    FakeSession s[2];
    int64_t begin;
    Testbed t;

    testbed_open(&t, "");
    open_two(&t, s);
    begin = now_ms();
    qtest_stop(t.qtest);
    assert_in_range(now_ms() - begin, 1000, 9000);
    fake_expect_close(&t.mediator, 1);
    fake_expect_close(&t.mediator, 9);
    fake_expect_hang_up(&t.mediator);
    fake_stop(&t.mediator);
    free_two(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define PORT(f) cmocka_unit_test_setup_teardown(f, testbed_setup_port, testbed_teardown)
        RING_TEST(test_system_reset, NULL),
        PORT(test_function_level_reset),
        PORT(test_hot_reset),
        RING_TEST(test_reset_with_a_stalled_mediator, NULL),
        RING_TEST(test_reset_while_starting, NULL),
        RING_TEST(test_reset_of_sessions_that_failed, NULL),
        RING_TEST(test_stop, NULL),
        RING_TEST(test_ended_while_stopped, NULL),
        RING_TEST(test_mediator_dies_while_stopped, NULL),
        RING_TEST(test_stop_while_stopping, NULL),
        RING_TEST(test_on_and_off_in_a_stopped_vm, NULL),
        cmocka_unit_test(test_quit),
        cmocka_unit_test(test_quit_with_a_stalled_mediator),
#undef PORT
    };

    return cmocka_run_group_tests_name("sessions and machine", tests, NULL, NULL);
}

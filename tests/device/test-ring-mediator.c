/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mediators that refuse the ring, are not there, break off, or do not listen. */
#include "device-ring.h"

/* ---- Refused ---------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator);
    fake_ready(&t->mediator, VGPU_ERROR_QUEUE_FULL);
    ring_expect_failed(t, VGPU_ERROR_QUEUE_FULL);
    fake_expect_off(&t->mediator);
    fake_stopped(&t->mediator);
    ring_open(t);
}

static void test_fails_later(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    fake_ready(&t->mediator, VGPU_ERROR_INVALID_REQUEST);
    ring_expect_failed(t, VGPU_ERROR_INVALID_REQUEST);
    fake_expect_off(&t->mediator);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    assert_int_equal(fake_rung(r), 0);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_STOPPING);
    fake_stopped(&t->mediator);
    ring_open(t);
}

/* A mediator from before there were rings is told of none, and serves what it knows. */
static void test_old_mediator(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    fake_welcome(&t->mediator);
    ring_expect_failed(t, VGPU_ERROR_UNSUPPORTED_OP);
    device_submit_add(&t->device, 1, 100, 200);
    testbed_serve_add(t, 1);
    device_write(&t->device, VGPU_REG_RING_CTRL, 1); /* the connection's mediator is known */
    ring_expect_failed(t, VGPU_ERROR_UNSUPPORTED_OP);
}

/* What the last mediator knew says nothing about the next one. */
static void test_old_mediator_after_a_new_one(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 100, 200);
    fake_accept(&t->mediator, NULL);
    fake_welcome_ring(&t->mediator);
    fake_expect_request(&t->mediator, 1, NULL);
    fake_synchronize(&t->mediator); /* WELCOME has been taken */
    fake_hang_up(&t->mediator);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);
    device_ring_start(&t->device);
    fake_expect_silence(&t->mediator);
    fake_welcome(&t->mediator);
    ring_expect_failed(t, VGPU_ERROR_UNSUPPORTED_OP);
}

static void test_quarantined(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    fake_send(&t->mediator, VGPU_MSG_QUARANTINED, 0, NULL, 0);
    fake_hang_up(&t->mediator);
    ring_expect_failed(t, VGPU_ERROR_VM_QUARANTINED);
    fake_expect_no_caller(&t->mediator);
}

/* ---- Absent ------------------------------------------------------------------------------- */

static void test_absent(void **state)
{
    Testbed *t = *state;
    int64_t begin = now_ms();

    fake_stop(&t->mediator);
    device_ring_start(&t->device);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    ring_expect_failed(t, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    assert_true(now_ms() - begin >= 1000);
    testbed_listen(t);
    fake_expect_no_caller(&t->mediator);
}

static void test_absent_without_patience(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    device_ring_start(&t->device);
    ring_expect_failed(t, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
}

static void test_never_welcomes(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    ring_expect_failed(t, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    fake_expect_hang_up(&t->mediator);
}

static void test_appears_later(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    device_ring_start(&t->device);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    testbed_listen(t);
    ring_accept(t);
}

/* A mediator that answers PINGs may take longer than the timeout: it waits for the last ring. */
static void test_slow_but_alive(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator);
    fake_stay_alive(&t->mediator, 2500);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    ring_agree(t);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
}

static void test_stalls_while_starting(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator);
    fake_expect_ping(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    ring_accept(t); /* the next mediator is better */
}

/* ---- Breaks ---------------------------------------------------------------------------------- */

static void test_mediator_restarted(void **state)
{
    Testbed *t = *state;
    FakeRing *r;

    fake_stop(&t->mediator);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1); /* nobody hears it yet */
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    testbed_listen(t);
    r = ring_take_up(t);
    fake_wait_rung(r);
    fake_signal(r);
    ring_expect(t, VGPU_RING_ON);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 1);
}

static void test_mediator_restarted_with_a_full_ring(void **state)
{
    Testbed *t = *state;

    ring_fill(&t->device, t->mediator.ring);
    ring_expect(t, VGPU_RING_ON);
    fake_stop(&t->mediator);
    testbed_listen(t);
    ring_finish(&t->device, ring_take_up(t));
}

/* Whatever the guest has asked for waits in the window, for as long as it takes. */
static void test_absent_for_longer_than_the_timeout(void **state)
{
    Testbed *t = *state;
    int64_t begin;
    FakeRing *r;

    fake_stop(&t->mediator);
    ring_submit_add(&t->device, 0, 20, 22);
    for (begin = now_ms(); now_ms() - begin < 2500;)
        assert_int_equal(ring_state(t), VGPU_RING_ON);
    testbed_listen(t);
    r = ring_take_up(t);
    assert_int_equal(fake_compute(r), 1);
    ring_expect(t, VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&t->device, 0), 42);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 1);
}

/* The same where a request would fail at once. */
static void test_break_without_patience(void **state)
{
    Testbed *t = *state;

    fake_hang_up(&t->mediator);
    ring_take_up(t);
}

static void test_off_while_there_is_no_mediator(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    qtest_synchronize(t->qtest);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    testbed_listen(t);
    fake_expect_no_caller(&t->mediator);
}

/* The next mediator refuses the ring. */
static void test_refused_after_a_break(void **state)
{
    Testbed *t = *state;

    fake_hang_up(&t->mediator);
    fake_accept_setup(&t->mediator);
    fake_ready(&t->mediator, VGPU_ERROR_VM_QUARANTINED);
    ring_expect_failed(t, VGPU_ERROR_VM_QUARANTINED);
}

static void test_old_mediator_after_a_break(void **state)
{
    Testbed *t = *state;

    fake_hang_up(&t->mediator);
    fake_accept(&t->mediator, NULL);
    fake_welcome(&t->mediator);
    ring_expect_failed(t, VGPU_ERROR_UNSUPPORTED_OP);
}

/* A ring whose content kills each mediator that looks at it must not do so for ever. */
static void test_a_ring_is_given_up(void **state)
{
    Testbed *t = *state;

    for (int i = 1; i < 8; i++) {
        fake_hang_up(&t->mediator);
        ring_take_up(t);
    }
    fake_hang_up(&t->mediator);
    ring_expect_failed(t, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    fake_expect_no_caller(&t->mediator);
}

/* If a mediator lives for a while in between, the ring is not the reason. */
static void test_a_ring_is_not_given_up(void **state)
{
    Testbed *t = *state;
    int64_t begin;

    for (int i = 1; i < 10; i++) {
        if (i == 5)
            for (begin = now_ms(); now_ms() - begin < 1100;)
                assert_int_equal(ring_state(t), VGPU_RING_ON);
        fake_hang_up(&t->mediator);
        ring_take_up(t);
    }
}

/* The mediator breaks the protocol: the connection ends, and the ring goes on with the next one. */
static void test_ready_twice(void **state)
{
    Testbed *t = *state;

    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    fake_expect_hang_up(&t->mediator);
    assert_int_equal(qtest_log_count(t->qtest, "a ring that it was not told of"), 1);
    ring_take_up(t);
    fake_stopped(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    assert_int_equal(qtest_log_count(t->qtest, "a ring has stopped that should not"), 1);
    ring_take_up(t);
}

/* ---- Without reading --------------------------------------------------------------------- */

/* PINGs until the device's answers wait to be read, and some of them to be written; then the
 * answer to request 1, by which it is known that all have been taken. Returns their number. */
static unsigned flood(Testbed *t)
{
    unsigned n = fake_capacity() + 8;

    for (unsigned i = 0; i < n; i++)
        fake_send(&t->mediator, VGPU_MSG_PING, i, NULL, 0);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 300);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    return n;
}

static void expect_pongs(Testbed *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        WireMessage pong;

        fake_expect(&t->mediator, VGPU_MSG_PONG, &pong);
        assert_int_equal(pong.header.request_id, i);
    }
}

static unsigned connect_and_flood(Testbed *t)
{
    testbed_submit_and_take(t, 1);
    fake_welcome_ring(&t->mediator);
    return flood(t);
}

/* The descriptors wait with their message, behind the bytes before it. */
static void test_setup_is_read_late(void **state)
{
    Testbed *t = *state;
    unsigned n = connect_and_flood(t);
    FakeRing *r;

    device_ring_start(&t->device);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    expect_pongs(t, n);
    r = fake_expect_setup(&t->mediator);
    ring_agree(t);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    fake_wait_rung(r);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
}

/* The descriptors go before they were sent: the connection ends, and the next ring is a new one. */
static void test_off_before_the_setup_is_read(void **state)
{
    Testbed *t = *state;

    connect_and_flood(t);
    device_ring_start(&t->device);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    fake_expect_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);
    ring_open(t);
}

static void test_stop_is_read_late(void **state)
{
    Testbed *t = *state;
    unsigned n;

    testbed_submit_and_take(t, 1);
    n = flood(t);
    qtest_qmp_begin(t->qtest, "{\"execute\": \"stop\"}");
    expect_pongs(t, n);
    fake_expect_off(&t->mediator);
    fake_stopped(&t->mediator);
    qtest_qmp_end(t->qtest);
    ring_resume(t);
}

/* ---- Requests beside the ring ------------------------------------------------------------- */

/* A request and the ring are under way, and both come back. */
static void test_both_over_a_break(void **state)
{
    Testbed *t = *state;
    FakeRing *r;

    ring_submit_add(&t->device, 0, 20, 22);
    testbed_submit_and_take(t, 9);
    fake_hang_up(&t->mediator);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 9);
    fake_welcome_ring(&t->mediator);
    r = fake_expect_setup(&t->mediator);
    ring_agree(t);
    assert_int_equal(fake_compute(r), 1);
    ring_expect(t, VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&t->device, 0), 42);
}

/* A request fails at its deadline, and the ring does not. */
static void test_request_gives_up_and_ring_does_not(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    device_submit_add(&t->device, 1, 1, 1);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_ERROR);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    testbed_listen(t);
    ring_take_up(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_refused, NULL),
        RING_ON_TEST(test_fails_later, NULL),
        RING_TEST(test_old_mediator, NULL),
        RING_TEST(test_old_mediator_after_a_new_one, NULL),
        RING_TEST(test_quarantined, NULL),
        RING_TEST(test_absent, IMPATIENT),
        RING_TEST(test_absent_without_patience, NO_PATIENCE),
        RING_TEST(test_never_welcomes, IMPATIENT),
        RING_TEST(test_appears_later, NULL),
        RING_TEST(test_slow_but_alive, IMPATIENT),
        RING_TEST(test_stalls_while_starting, IMPATIENT),
        RING_ON_TEST(test_mediator_restarted, NULL),
        RING_ON_TEST(test_mediator_restarted_with_a_full_ring, NULL),
        RING_ON_TEST(test_absent_for_longer_than_the_timeout, IMPATIENT),
        RING_ON_TEST(test_break_without_patience, NO_PATIENCE),
        RING_ON_TEST(test_off_while_there_is_no_mediator, NULL),
        RING_ON_TEST(test_refused_after_a_break, NULL),
        RING_ON_TEST(test_old_mediator_after_a_break, NULL),
        RING_ON_TEST(test_a_ring_is_given_up, NULL),
        RING_ON_TEST(test_a_ring_is_not_given_up, NULL),
        RING_ON_TEST(test_ready_twice, NULL),
        RING_TEST(test_setup_is_read_late, NULL),
        RING_TEST(test_off_before_the_setup_is_read, NULL),
        RING_ON_TEST(test_stop_is_read_late, NULL),
        RING_ON_TEST(test_both_over_a_break, NULL),
        RING_ON_TEST(test_request_gives_up_and_ring_does_not, IMPATIENT),
    };

    return cmocka_run_group_tests_name("ring and mediator", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mediators that refuse the ring, are not there, break off, or do not listen. */
#include "device-ring.h"

static void assert_failed(Testbed *t, uint32_t error)
{
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_FAILED);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_ERROR), error);
}

/* ---- Refused ---------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator, &r);
    fake_ready(&t->mediator, VGPU_ERROR_QUEUE_FULL);
    assert_failed(t, VGPU_ERROR_QUEUE_FULL);
    fake_expect_off(&t->mediator);
    fake_stopped(&t->mediator);
    fake_ring_close(&r);
    ring_open(t, &r);
    fake_ring_close(&r);
}

static void test_fails_later(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    fake_ready(&t->mediator, VGPU_ERROR_INVALID_REQUEST);
    assert_failed(t, VGPU_ERROR_INVALID_REQUEST);
    fake_expect_off(&t->mediator);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    assert_int_equal(fake_rung(&r), 0);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_STOPPING);
    fake_stopped(&t->mediator);
    fake_ring_close(&r);
    ring_open(t, &r);
    fake_ring_close(&r);
}

/* One from before there were rings: it hears no word of one, and serves what it knows. */
static void test_old_mediator(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    fake_welcome(&t->mediator);
    assert_failed(t, VGPU_ERROR_UNSUPPORTED_OP);
    device_submit_add(&t->device, 1, 100, 200);
    fake_serve_add(&t->mediator, 1);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    device_write(&t->device, VGPU_REG_RING_CTRL, 1); /* the connection's mediator is known */
    assert_failed(t, VGPU_ERROR_UNSUPPORTED_OP);
}

/* What the last mediator knew says nothing about the next one. */
static void test_old_mediator_after_a_new_one(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 100, 200);
    fake_accept(&t->mediator, NULL);
    fake_welcome_ring(&t->mediator);
    fake_expect_request(&t->mediator, 1, NULL);
    fake_send(&t->mediator, VGPU_MSG_PING, 1, NULL, 0);
    fake_expect(&t->mediator, VGPU_MSG_PONG, &(WireMessage){0}); /* WELCOME has been taken */
    fake_hang_up(&t->mediator);
    fake_accept(&t->mediator, NULL);
    fake_serve_add(&t->mediator, 1);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    device_ring_start(&t->device);
    fake_expect_silence(&t->mediator);
    fake_welcome(&t->mediator);
    assert_failed(t, VGPU_ERROR_UNSUPPORTED_OP);
}

static void test_quarantined(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    fake_send(&t->mediator, VGPU_MSG_QUARANTINED, 0, NULL, 0);
    fake_hang_up(&t->mediator);
    assert_failed(t, VGPU_ERROR_VM_QUARANTINED);
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
    assert_failed(t, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    assert_true(now_ms() - begin >= 1000);
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    fake_expect_no_caller(&t->mediator);
}

TEST(test_absent_without_patience)
{
    Testbed t;

    testbed_open(&t, ",reconnect-timeout=0");
    fake_stop(&t.mediator);
    device_ring_start(&t.device);
    assert_failed(&t, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    testbed_close(&t);
}

static void test_never_welcomes(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    assert_failed(t, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    fake_expect_hang_up(&t->mediator);
}

static void test_appears_later(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    fake_stop(&t->mediator);
    device_ring_start(&t->device);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    fake_accept_setup(&t->mediator, &r);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    fake_ring_close(&r);
}

/* One that says that it lives may take longer than the timeout: it waits for the last ring. */
static void test_slow_but_alive(void **state)
{
    Testbed *t = *state;
    int64_t begin = now_ms();
    FakeRing r;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator, &r);
    while (now_ms() - begin < 2500)
        fake_send(&t->mediator, VGPU_MSG_PONG, fake_expect_ping(&t->mediator), NULL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
    fake_ring_close(&r);
}

static void test_stalls_while_starting(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator, &r);
    fake_expect_ping(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    fake_ring_close(&r);
    fake_accept_setup(&t->mediator, &r); /* the next one is better */
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    fake_ring_close(&r);
}

/* ---- Breaks ---------------------------------------------------------------------------------- */

static void test_mediator_restarted(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    fake_stop(&t->mediator);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1); /* nobody hears it yet */
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    ring_take_up(t, &r);
    fake_wait_rung(&r);
    fake_signal(&r);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 1);
    fake_ring_close(&r);
}

static void test_mediator_restarted_with_a_full_ring(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    ring_fill(&t->device, &r);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    fake_stop(&t->mediator);
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    ring_take_up(t, &r);
    ring_finish(&t->device, &r);
    fake_ring_close(&r);
}

/* Whatever the guest has asked for waits in the window, for as long as it takes. */
static void test_absent_for_longer_than_the_timeout(void **state)
{
    Testbed *t = *state;
    int64_t begin;
    FakeRing r;

    ring_open(t, &r);
    fake_stop(&t->mediator);
    ring_submit_add(&t->device, 0, 20, 22);
    for (begin = now_ms(); now_ms() - begin < 2500;)
        assert_int_equal(ring_state(t), VGPU_RING_ON);
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    ring_take_up(t, &r);
    assert_int_equal(fake_compute(&r), 1);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&t->device, 0), 42);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 1);
    fake_ring_close(&r);
}

/* The same where requests get no patience at all. */
TEST(test_break_without_patience)
{
    FakeRing r;
    Testbed t;

    testbed_open(&t, ",reconnect-timeout=0");
    ring_open(&t, &r);
    fake_hang_up(&t.mediator);
    ring_take_up(&t, &r);
    fake_ring_close(&r);
    testbed_close(&t);
}

static void test_off_while_there_is_no_mediator(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    fake_stop(&t->mediator);
    qtest_qmp_ok(t->qtest, "{\"execute\": \"query-status\"}");
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    fake_expect_no_caller(&t->mediator);
    fake_ring_close(&r);
}

/* Another mediator came, and does not want it. */
static void test_refused_after_a_break(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    fake_ring_close(&r);
    fake_hang_up(&t->mediator);
    fake_accept_setup(&t->mediator, &r);
    fake_ready(&t->mediator, VGPU_ERROR_VM_QUARANTINED);
    assert_failed(t, VGPU_ERROR_VM_QUARANTINED);
    fake_ring_close(&r);
}

static void test_old_mediator_after_a_break(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    fake_ring_close(&r);
    fake_hang_up(&t->mediator);
    fake_accept(&t->mediator, NULL);
    fake_welcome(&t->mediator);
    assert_failed(t, VGPU_ERROR_UNSUPPORTED_OP);
}

/* A ring whose content kills each mediator that looks at it shall not do so for ever. */
static void test_a_ring_is_given_up(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    for (int i = 1; i < 8; i++) {
        fake_hang_up(&t->mediator);
        ring_take_up(t, &r);
    }
    fake_hang_up(&t->mediator);
    assert_failed(t, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    fake_expect_no_caller(&t->mediator);
    fake_ring_close(&r);
}

/* But one that is there for a while in between has another reason. */
static void test_a_ring_is_not_given_up(void **state)
{
    Testbed *t = *state;
    int64_t begin;
    FakeRing r;

    ring_open(t, &r);
    for (int i = 1; i < 10; i++) {
        if (i == 5)
            for (begin = now_ms(); now_ms() - begin < 1100;)
                assert_int_equal(ring_state(t), VGPU_RING_ON);
        fake_hang_up(&t->mediator);
        ring_take_up(t, &r);
    }
    fake_ring_close(&r);
}

/* It breaks the protocol: the connection ends, and the ring goes on with the next. */
static void test_ready_twice(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    fake_expect_hang_up(&t->mediator);
    assert_int_equal(qtest_log_count(t->qtest, "a ring that it was not told of"), 1);
    ring_take_up(t, &r);
    fake_stopped(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    assert_int_equal(qtest_log_count(t->qtest, "a ring has stopped that should not"), 1);
    ring_take_up(t, &r);
    fake_ring_close(&r);
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
    device_submit_add(&t->device, 1, 100, 200);
    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 1, NULL);
    fake_welcome_ring(&t->mediator);
    return flood(t);
}

/* The descriptors wait with their message, behind what stands before it. */
static void test_setup_is_read_late(void **state)
{
    Testbed *t = *state;
    unsigned n = connect_and_flood(t);
    FakeRing r;

    device_ring_start(&t->device);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    expect_pongs(t, n);
    fake_expect_setup(&t->mediator, &r);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    fake_wait_rung(&r);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
    fake_ring_close(&r);
}

/* They are gone before they were sent: so is the connection, and the next ring is a new one. */
static void test_off_before_the_setup_is_read(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    connect_and_flood(t);
    device_ring_start(&t->device);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    fake_expect_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);
    ring_open(t, &r);
    fake_ring_close(&r);
}

static void test_stop_is_read_late(void **state)
{
    Testbed *t = *state;
    FakeRing r, again;
    unsigned n;

    ring_open(t, &r);
    device_submit_add(&t->device, 1, 100, 200);
    fake_expect_request(&t->mediator, 1, NULL);
    n = flood(t);
    qtest_qmp_begin(t->qtest, "{\"execute\": \"stop\"}");
    expect_pongs(t, n);
    fake_expect_off(&t->mediator);
    fake_stopped(&t->mediator);
    qtest_qmp_end(t->qtest);
    qtest_qmp_ok(t->qtest, "{\"execute\": \"cont\"}");
    fake_expect_setup(&t->mediator, &again);
    fake_ring_close(&r);
    fake_ring_close(&again);
}

/* ---- Both lanes --------------------------------------------------------------------------------
 */

/* A break with both under way brings both back. */
static void test_both_lanes_over_a_break(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    ring_submit_add(&t->device, 0, 20, 22);
    device_submit_add(&t->device, 9, 100, 200);
    fake_expect_request(&t->mediator, 9, NULL);
    fake_hang_up(&t->mediator);
    fake_ring_close(&r);
    fake_accept(&t->mediator, NULL);
    fake_serve_add(&t->mediator, 9);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    fake_welcome_ring(&t->mediator);
    fake_expect_setup(&t->mediator, &r);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    assert_int_equal(fake_compute(&r), 1);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&t->device, 0), 42);
    fake_ring_close(&r);
}

/* Requests fail at their deadline, and the ring does not. */
static void test_request_gives_up_and_ring_does_not(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    fake_stop(&t->mediator);
    device_submit_add(&t->device, 1, 1, 1);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_ERROR);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    ring_take_up(t, &r);
    fake_ring_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, ring_setup, testbed_teardown)
#define IMPATIENT(f) cmocka_unit_test_setup_teardown(f, ring_setup_impatient, testbed_teardown)
        CASE(test_refused),
        CASE(test_fails_later),
        CASE(test_old_mediator),
        CASE(test_old_mediator_after_a_new_one),
        CASE(test_quarantined),
        IMPATIENT(test_absent),
        cmocka_unit_test(test_absent_without_patience),
        IMPATIENT(test_never_welcomes),
        CASE(test_appears_later),
        IMPATIENT(test_slow_but_alive),
        IMPATIENT(test_stalls_while_starting),
        CASE(test_mediator_restarted),
        CASE(test_mediator_restarted_with_a_full_ring),
        IMPATIENT(test_absent_for_longer_than_the_timeout),
        cmocka_unit_test(test_break_without_patience),
        CASE(test_off_while_there_is_no_mediator),
        CASE(test_refused_after_a_break),
        CASE(test_old_mediator_after_a_break),
        CASE(test_a_ring_is_given_up),
        CASE(test_a_ring_is_not_given_up),
        CASE(test_ready_twice),
        CASE(test_setup_is_read_late),
        CASE(test_off_before_the_setup_is_read),
        CASE(test_stop_is_read_late),
        CASE(test_both_lanes_over_a_break),
        IMPATIENT(test_request_gives_up_and_ring_does_not),
#undef IMPATIENT
#undef CASE
    };

    return cmocka_run_group_tests_name("ring and mediator", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mediators that refuse sessions, end them, are not there, break off, or do not listen. */
#include "device-rings.h"

/* A session that is on, whose descriptors the test does not need */
static void open_session(Testbed *t, uint32_t ring)
{
    FakeSession s;

    session_open(t, ring, &s);
    fake_session_free(&s);
}

static void expect_open(Testbed *t, uint32_t ring)
{
    FakeSession s;

    fake_expect_open(&t->mediator, ring, &s);
    fake_session_free(&s);
}

static void accept_open(Testbed *t, uint32_t ring)
{
    FakeSession s;

    fake_accept_open(&t->mediator, ring, &s);
    fake_session_free(&s);
}

/* ---- Refused, ended ---------------------------------------------------------------------- */

static void test_refused(void **state)
{
    Testbed *t = *state;

    session_start(t, 1);
    accept_open(t, 1);
    fake_session_ready(&t->mediator, 1, VGPU_ERROR_CUDA_ERROR, 100); /* the pool has no GPU */
    session_expect_failed(t, 1, VGPU_ERROR_CUDA_ERROR, 100);
    fake_synchronize(&t->mediator); /* its executor is gone: there is nothing to close */

    session_write(t, 1, VGPU_SESSION_REG_CTRL, 1);
    expect_open(t, 1);
    assert_int_equal(session_read(t, 1, VGPU_SESSION_REG_ERROR), VGPU_ERROR_NONE);
    assert_int_equal(session_read(t, 1, VGPU_SESSION_REG_CUDA_RESULT), 0);
    fake_session_ready(&t->mediator, 1, VGPU_ERROR_QUEUE_FULL, 100); /* no CUresult with this */
    session_expect_failed(t, 1, VGPU_ERROR_QUEUE_FULL, 0);
    session_write(t, 1, VGPU_SESSION_REG_CTRL, 0);
    assert_int_equal(session_state(t, 1), VGPU_RING_OFF);
    assert_int_equal(session_read(t, 1, VGPU_SESSION_REG_ERROR), VGPU_ERROR_NONE);
}

/* A session that ends by itself takes no other one with it. */
static void test_ends_later(void **state)
{
    FakeSession one, two;
    Testbed *t = *state;

    session_open(t, 1, &one);
    session_open(t, 2, &two);
    fake_session_ready(&t->mediator, 1, VGPU_ERROR_CUDA_ERROR, 700);
    session_expect_failed(t, 1, VGPU_ERROR_CUDA_ERROR, 700);
    session_ring_doorbell(t, 1);
    assert_int_equal(fake_session_rung(&one), 0);
    fake_session_signal(&one);
    fake_synchronize(&t->mediator);
    assert_int_equal(session_read(t, 1, VGPU_SESSION_REG_IRQ_STATUS), 0);

    assert_int_equal(session_state(t, 2), VGPU_RING_ON);
    session_ring_doorbell(t, 2);
    assert_int_equal(fake_session_rung(&two), 1);
    fake_session_signal(&two);
    session_expect(t, 2, VGPU_RING_ON);
    fake_session_free(&one);
    fake_session_free(&two);
    open_session(t, 1);
}

/* A mediator that knows rings and no sessions is told of the ring, and of no session. */
static void test_old_mediator(void **state)
{
    Testbed *t = *state;

    session_start(t, 1);
    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    fake_welcome_ring(&t->mediator);
    fake_expect_setup(&t->mediator);
    session_expect_failed(t, 1, VGPU_ERROR_UNSUPPORTED_OP, 0);
    ring_agree(t);
    session_start(t, 2); /* the connection's mediator is known */
    session_expect_failed(t, 2, VGPU_ERROR_UNSUPPORTED_OP, 0);
    fake_synchronize(&t->mediator);
}

static void test_quarantined(void **state)
{
    Testbed *t = *state;

    session_start(t, 1);
    session_start(t, 2);
    fake_accept(&t->mediator, NULL);
    fake_send(&t->mediator, VGPU_MSG_QUARANTINED, 0, NULL, 0);
    fake_hang_up(&t->mediator);
    session_expect_failed(t, 1, VGPU_ERROR_VM_QUARANTINED, 0);
    session_expect_failed(t, 2, VGPU_ERROR_VM_QUARANTINED, 0);
    fake_expect_no_caller(&t->mediator);
}

/* ---- Absent ------------------------------------------------------------------------------- */

static void test_absent(void **state)
{
    Testbed *t = *state;
    int64_t begin = now_ms();

    fake_stop(&t->mediator);
    session_start(t, 1);
    assert_int_equal(session_state(t, 1), VGPU_RING_STARTING);
    session_expect_failed(t, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    assert_true(now_ms() - begin >= 1000);
    testbed_listen(t);
    fake_expect_no_caller(&t->mediator);
}

static void test_absent_without_patience(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    session_start(t, 1);
    session_expect_failed(t, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
}

static void test_never_welcomes(void **state)
{
    Testbed *t = *state;

    session_start(t, 1);
    fake_accept(&t->mediator, NULL);
    session_expect_failed(t, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    fake_expect_hang_up(&t->mediator);
}

static void test_appears_later(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    session_start(t, 1);
    testbed_listen(t);
    accept_open(t, 1);
    session_agree(t, 1);
}

/* A mediator that answers PINGs may take longer than the timeout to start an executor. */
static void test_slow_but_alive(void **state)
{
    Testbed *t = *state;

    session_start(t, 1);
    accept_open(t, 1);
    fake_stay_alive(&t->mediator, 2500);
    assert_int_equal(session_state(t, 1), VGPU_RING_STARTING);
    session_agree(t, 1);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
}

static void test_stalls_while_starting(void **state)
{
    Testbed *t = *state;

    session_start(t, 1);
    accept_open(t, 1);
    fake_expect_ping(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    session_expect_failed(t, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    fake_expect_no_caller(&t->mediator); /* it is not told to another one */
}

/* ---- Breaks ---------------------------------------------------------------------------------- */

/* The ring goes on with the next mediator, and the sessions do not. */
static void test_break(void **state)
{
    FakeSession one, two;
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    fake_welcome_sessions(&t->mediator);
    fake_expect_setup(&t->mediator);
    ring_agree(t);
    session_open(t, 1, &one);
    session_open(t, 2, &two);
    session_start(t, 3);
    expect_open(t, 3);
    fake_session_signal(&one); /* the last thing that it does */
    fake_hang_up(&t->mediator);
    qtest_wait_irq(t->qtest, true);
    for (uint32_t ring = 1; ring <= 3; ring++)
        session_expect_failed(t, ring, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    qtest_wait_irq(t->qtest, false);
    session_ring_doorbell(t, 2);
    assert_int_equal(fake_session_rung(&two), 0);
    fake_session_free(&one);
    fake_session_free(&two);

    assert_int_equal(ring_state(t), VGPU_RING_ON);
    fake_accept(&t->mediator, NULL);
    fake_welcome_sessions(&t->mediator);
    fake_expect_setup(&t->mediator);
    ring_agree(t);
    fake_synchronize(&t->mediator); /* and no SESSION_OPEN */
    open_session(t, 1);
}

/* Without a ring or a request the device does not even connect again. */
static void test_break_of_sessions_alone(void **state)
{
    Testbed *t = *state;

    open_session(t, 1);
    fake_hang_up(&t->mediator);
    session_expect_failed(t, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    fake_expect_no_caller(&t->mediator);
    open_session(t, 1);
}

/* One that waits for the end of the last session is told to the next mediator. */
static void test_break_while_stopping(void **state)
{
    Testbed *t = *state;

    open_session(t, 1);
    open_session(t, 2);
    session_write(t, 1, VGPU_SESSION_REG_CTRL, 0);
    session_write(t, 2, VGPU_SESSION_REG_CTRL, 0);
    session_write(t, 2, VGPU_SESSION_REG_CTRL, 1);
    fake_expect_close(&t->mediator, 1);
    fake_expect_close(&t->mediator, 2);
    fake_hang_up(&t->mediator);
    accept_open(t, 2);
    assert_int_equal(session_state(t, 1), VGPU_RING_OFF);
    session_agree(t, 2);
    fake_synchronize(&t->mediator);
}

/* ---- Against the protocol ---------------------------------------------------------------------
 */

static const struct {
    const char *name;
    uint32_t type, ring, error;
    const char *complaint;
} violations[] = {
    {"READY of ring 0", VGPU_MSG_SESSION_READY, 0, 0, "a session that it was not told of"},
    {"READY of a ring that is off", VGPU_MSG_SESSION_READY, 2, 0, "a session that it was not told"},
    {"READY of ring 16", VGPU_MSG_SESSION_READY, 16, 0, "a session that it was not told of"},
    {"READY of ring 2^32 - 1", VGPU_MSG_SESSION_READY, UINT32_MAX, 3, "a session that it was not"},
    {"READY twice", VGPU_MSG_SESSION_READY, 1, 0, "a session that it has begun before"},
    {"READY, unknown error", VGPU_MSG_SESSION_READY, 1, VGPU_N_ERRORS, "an error code that there"},
    {"CLOSED of ring 0", VGPU_MSG_SESSION_CLOSED, 0, 0, "a session has been closed that should"},
    {"CLOSED of one that is on", VGPU_MSG_SESSION_CLOSED, 1, 0, "a session has been closed that"},
    {"CLOSED of ring 99", VGPU_MSG_SESSION_CLOSED, 99, 0, "a session has been closed that should"},
    {"OPEN", VGPU_MSG_SESSION_OPEN, 1, 0, "a message that only a device sends"},
    {"CLOSE", VGPU_MSG_SESSION_CLOSE, 1, 0, "a message that only a device sends"},
};

static void test_violations(void **state)
{
    Testbed *t = *state;

    for (size_t i = 0; i < sizeof(violations) / sizeof(violations[0]); i++) {
        const VGPUSessionReady message = {.ring = violations[i].ring, .error = violations[i].error};
        unsigned before = qtest_log_count(t->qtest, violations[i].complaint);

        open_session(t, 1);
        fake_send(&t->mediator, violations[i].type, 0, &message, sizeof(message));
        fake_expect_hang_up(&t->mediator);
        session_expect_failed(t, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
        if (qtest_log_count(t->qtest, violations[i].complaint) != before + 1)
            fail_msg("%s: %s", violations[i].name, qtest_log(t->qtest));
    }
}

/* ---- Without reading --------------------------------------------------------------------- */

/* PINGs until the device's answers wait to be read, and some of them to be written; then the
 * answer to request 1, by which it is known that all have been taken. Returns their number. */
static unsigned connect_and_flood(Testbed *t)
{
    unsigned n = fake_capacity() + 8;

    testbed_submit_and_take(t, 1);
    fake_welcome_sessions(&t->mediator);
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

/* Each ring comes with its own descriptors, although they all had to wait. */
static void test_opens_are_read_late(void **state)
{
    FakeSession sessions[VGPU_RINGS_MAX];
    Testbed *t = *state;
    unsigned n = connect_and_flood(t);

    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++)
        session_start(t, ring);
    device_ring_start(&t->device);
    expect_pongs(t, n);
    fake_expect_open(&t->mediator, 1, &sessions[1]); /* it waited with the answers */
    fake_expect_setup(&t->mediator);
    for (uint32_t ring = 2; ring < VGPU_RINGS_MAX; ring++)
        fake_expect_open(&t->mediator, ring, &sessions[ring]);
    ring_agree(t);
    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++) {
        session_agree(t, ring);
        session_ring_doorbell(t, ring);
        assert_int_equal(fake_session_rung(&sessions[ring]), 1);
        fake_session_free(&sessions[ring]);
    }
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
}

/* Its descriptors go before they were sent: the connection ends, and the next session is new. */
static void test_off_before_the_open_is_read(void **state)
{
    Testbed *t = *state;

    connect_and_flood(t);
    session_start(t, 1);
    session_write(t, 1, VGPU_SESSION_REG_CTRL, 0);
    assert_int_equal(session_state(t, 1), VGPU_RING_OFF);
    fake_expect_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);
    open_session(t, 1);
}

/* One that only waits for its turn goes without anybody noticing. */
static void test_off_before_its_turn(void **state)
{
    Testbed *t = *state;
    unsigned n = connect_and_flood(t);

    session_start(t, 1);
    session_start(t, 2);
    session_write(t, 2, VGPU_SESSION_REG_CTRL, 0);
    assert_int_equal(session_state(t, 2), VGPU_RING_OFF);
    expect_pongs(t, n);
    expect_open(t, 1);
    fake_synchronize(&t->mediator);
    session_agree(t, 1);
}

/* A mediator cannot answer what it did not read. Nothing is sent of what it ends by that. */
static void test_ready_before_the_open_is_read(void **state)
{
    Testbed *t = *state;

    connect_and_flood(t);
    session_start(t, 1);
    fake_session_ready(&t->mediator, 1, VGPU_ERROR_CUDA_ERROR, 2);
    session_expect_failed(t, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    fake_expect_hang_up(&t->mediator);
    assert_int_equal(qtest_log_count(t->qtest, "a session that it was not told of"), 1);
    open_session(t, 1);
}

/* ---- Requests beside sessions ------------------------------------------------------------- */

static void test_requests_beside_sessions(void **state)
{
    FakeSession one, two;
    Testbed *t = *state;

    session_open(t, 1, &one);
    session_open(t, 2, &two);
    for (uint32_t i = 0; i < 20; i++) {
        device_submit_add(&t->device, i, 3, i);
        testbed_serve_add(t, i);
        assert_int_equal(device_result(&t->device), 3 + i);
        fake_session_signal(i % 2 ? &one : &two);
        session_expect(t, i % 2 ? 1 : 2, VGPU_RING_ON);
    }
    assert_false(fake_has_caller(&t->mediator));
    fake_session_free(&one);
    fake_session_free(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_refused, NULL),
        RING_TEST(test_ends_later, NULL),
        RING_TEST(test_old_mediator, NULL),
        RING_TEST(test_quarantined, NULL),
        RING_TEST(test_absent, IMPATIENT),
        RING_TEST(test_absent_without_patience, NO_PATIENCE),
        RING_TEST(test_never_welcomes, IMPATIENT),
        RING_TEST(test_appears_later, NULL),
        RING_TEST(test_slow_but_alive, IMPATIENT),
        RING_TEST(test_stalls_while_starting, IMPATIENT),
        RING_TEST(test_break, NULL),
        RING_TEST(test_break_of_sessions_alone, NULL),
        RING_TEST(test_break_while_stopping, NULL),
        RING_TEST(test_violations, NULL),
        RING_TEST(test_opens_are_read_late, NULL),
        RING_TEST(test_off_before_the_open_is_read, NULL),
        RING_TEST(test_off_before_its_turn, NULL),
        RING_TEST(test_ready_before_the_open_is_read, NULL),
        RING_TEST(test_requests_beside_sessions, NULL),
    };

    return cmocka_run_group_tests_name("sessions and mediator", tests, NULL, NULL);
}

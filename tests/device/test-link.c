/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mediators that are absent, slow, dying, silent or lying. */
#include "testbed.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void assert_unavailable(Testbed *t)
{
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_ERROR);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    assert_int_equal(device_read(&t->device, VGPU_REG_RESPONSE_LEN), 0);
}

/* The request 1 comes again on a new connection, and is answered. */
static void serve_again(Testbed *t)
{
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);
    assert_int_equal(device_result(&t->device), 300);
}

/* ---- Absent ------------------------------------------------------------------------ */

static void test_absent(void **state)
{
    Testbed *t = *state;
    int64_t begin = now_ms();

    fake_stop(&t->mediator);
    device_submit_add(&t->device, 1, 1, 1);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    assert_unavailable(t);
    assert_true(now_ms() - begin >= 1000);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 1);

    /* The second time there is no warning. */
    device_submit_add(&t->device, 1, 1, 1);
    assert_unavailable(t);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 1);
    assert_int_equal(qtest_log_count(t->qtest, "vgpu-stub gpu: mediator.sock: No such file"), 1);
}

/* Programs of one guest take turns, so the waits of all would add up. */
static void test_absent_for_long(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    device_submit_add(&t->device, 1, 1, 1);
    assert_unavailable(t);
    for (int i = 0; i < 3; i++) {
        device_submit_add(&t->device, 1, 1, 1);
        /* The doorbell's own write has brought the error. */
        assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_ERROR);
        assert_unavailable(t);
    }

    /* A mediator that comes back ends this, and is waited for when it goes again. */
    testbed_listen(t);
    device_submit_add(&t->device, 1, 100, 200);
    serve_again(t);
    fake_stop(&t->mediator);
    device_submit_add(&t->device, 1, 100, 200);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    assert_unavailable(t);
}

static void test_absent_without_patience(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    device_submit_add(&t->device, 1, 1, 1);
    /* The doorbell's own write has brought the error. */
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_ERROR);
    assert_unavailable(t);
}

static void test_broken_without_patience(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    fake_hang_up(&t->mediator);
    assert_unavailable(t);
    fake_expect_no_caller(&t->mediator);
}

static void test_stalled_without_patience(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    assert_unavailable(t); /* not at once, but after the second that an answer may take */
    fake_expect_hang_up(&t->mediator);
}

static void test_appears_later(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    device_submit_add(&t->device, 1, 100, 200);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    testbed_listen(t);
    serve_again(t);
}

/* A socket whose owner has died: present, but nobody listens. */
static void test_socket_left_behind(void **state)
{
    Testbed *t = *state;

    close(t->mediator.listener);
    t->mediator.listener = -1;
    device_submit_add(&t->device, 1, 100, 200);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    unlink(t->mediator.path);
    testbed_listen(t);
    serve_again(t);
}

/* connect() says EAGAIN to a socket that does not block. */
static void test_backlog_is_full(void **state)
{
    Testbed *t = *state;
    int others[2];

    assert_int_equal(listen(t->mediator.listener, 0), 0);
    others[0] = wire_connect(t->mediator.path);
    assert_true(others[0] >= 0);
    device_submit_add(&t->device, 1, 100, 200);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    assert_int_equal(qtest_log_count(t->qtest, "Resource temporarily unavailable"), 1);
    fake_accept_raw(&t->mediator); /* the other's */
    serve_again(t);
    close(others[0]);
}

/* ---- Dying ------------------------------------------------------------------------- */

static void test_killed_and_back(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    fake_stop(&t->mediator);
    testbed_listen(t);
    serve_again(t);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 1);
}

static void test_killed_and_gone(void **state)
{
    Testbed *t = *state;
    int64_t begin;

    testbed_submit_and_take(t, 1);
    fake_welcome(&t->mediator);
    fake_synchronize(&t->mediator); /* WELCOME has been taken */
    begin = now_ms();
    fake_stop(&t->mediator);
    assert_unavailable(t);
    assert_in_range(now_ms() - begin, 1000, 10000);
}

static void test_restarted_while_idle(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 300);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    fake_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);
    device_submit_add(&t->device, 1, 100, 200);
    serve_again(t);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0); /* nobody had to wait */
}

/* A request that kills each mediator that it meets must not do so for ever. */
static void test_a_request_is_given_up(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 1, 1);
    for (int i = 0; i < 8; i++) {
        fake_accept(&t->mediator, NULL);
        fake_welcome(&t->mediator);
        fake_expect_request(&t->mediator, 1, NULL);
        fake_hang_up(&t->mediator);
    }
    assert_unavailable(t);
    fake_expect_no_caller(&t->mediator);

    device_submit_add(&t->device, 1, 100, 200);
    serve_again(t);
}

/* ---- Coming back as the same VM -------------------------------------------------------- */

/* The next HELLO shows the secret of the last WELCOME. A WELCOME without a secret takes it back. */
static void test_resume_secret(void **state)
{
    static const uint8_t none[16];
    VGPUWelcome welcome = {.resume = {1, 2, 3, 250, [15] = 9}};
    Testbed *t = *state;
    WireMessage message;
    VGPUHello hello;

    device_submit_add(&t->device, 1, 100, 200);
    fake_accept(&t->mediator, &message);
    memcpy(&hello, message.payload, sizeof(hello));
    assert_memory_equal(hello.resume, none, sizeof(none));
    fake_send(&t->mediator, VGPU_MSG_WELCOME, 1, &welcome, sizeof(welcome));
    fake_expect_request(&t->mediator, 1, NULL);
    fake_synchronize(&t->mediator); /* WELCOME has been taken */
    fake_hang_up(&t->mediator);

    fake_accept(&t->mediator, &message);
    memcpy(&hello, message.payload, sizeof(hello));
    assert_memory_equal(hello.resume, welcome.resume, sizeof(welcome.resume));
    fake_send(&t->mediator, VGPU_MSG_WELCOME, 1, &welcome, VGPU_WELCOME_SIZE_MIN);
    fake_expect_request(&t->mediator, 1, NULL);
    fake_synchronize(&t->mediator);
    fake_hang_up(&t->mediator);

    fake_accept(&t->mediator, &message);
    memcpy(&hello, message.payload, sizeof(hello));
    assert_memory_equal(hello.resume, none, sizeof(none));
}

/* A mediator that refuses the VM answers its HELLO, which has the id of the pending request. */
static void test_hello_is_refused(void **state)
{
    Testbed *t = *state;
    WireMessage hello;

    device_submit_add(&t->device, 41, 100, 200);
    fake_accept(&t->mediator, &hello);
    assert_int_equal(hello.header.request_id, 41);
    fake_send(&t->mediator, VGPU_MSG_QUARANTINED, hello.header.request_id, NULL, 0);
    fake_hang_up(&t->mediator);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_ERROR);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_VM_QUARANTINED);
}

/* ---- Silent ------------------------------------------------------------------------- */

/* The backlog of its socket lets the device connect, but the mediator does nothing. */
static void test_never_accepts(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 1, 1);
    assert_unavailable(t);
    fake_accept_raw(&t->mediator);
    fake_expect_hang_up(&t->mediator); /* so no late answer can come */
    assert_int_equal(qtest_log_count(t->qtest, "does not answer"), 1);
}

static void test_stalls_before_a_sign_of_life(void **state)
{
    Testbed *t = *state;
    int64_t begin = now_ms();

    testbed_submit_and_take(t, 1);
    assert_unavailable(t);
    assert_in_range(now_ms() - begin, 1000, 10000);
    fake_expect_hang_up(&t->mediator);
}

static void test_stalls_after_a_sign_of_life(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    fake_welcome(&t->mediator);
    fake_expect_ping(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    serve_again(t);
}

/* An answer may take longer than the timeout, if the mediator says that it lives. */
static void test_slow_but_alive(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    fake_stay_alive(&t->mediator, 2500);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 300);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
}

static void test_ping_is_answered(void **state)
{
    Testbed *t = *state;
    WireMessage pong;

    testbed_submit_and_take(t, 1);
    fake_send(&t->mediator, VGPU_MSG_PING, 0xabcdef01, NULL, 0);
    fake_expect(&t->mediator, VGPU_MSG_PONG, &pong);
    assert_int_equal(pong.header.request_id, 0xabcdef01);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 300);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);

    /* also while idle */
    fake_send(&t->mediator, VGPU_MSG_PING, 5, NULL, 0);
    fake_expect(&t->mediator, VGPU_MSG_PONG, &pong);
    assert_int_equal(pong.header.request_id, 5);
}

/* ---- Fragments ----------------------------------------------------------------------- */

/* A whole answer as bytes: WELCOME, PING, the response to 1. Returns its size. */
static size_t whole_answer(char ret[static 2048])
{
    const VGPUSocketHeader ping = wire_header(VGPU_MSG_PING, 0, 3, 0, 0);
    const VGPUSocketHeader welcome =
        wire_header(VGPU_MSG_WELCOME, 0, 0, 0, sizeof(VGPUWelcome) + 5); /* may have grown */
    char response[VGPU_RESPONSE_MAX];
    uint32_t size = fake_response(VGPU_ERROR_NONE, 300, response);
    const VGPUSocketHeader header = wire_header(VGPU_MSG_RESPONSE, 0, 1, 0, size);
    size_t at = 0;

    memset(ret, 0, 2048);
    memcpy(ret, &welcome, sizeof(welcome));
    at += sizeof(welcome) + welcome.payload_len;
    memcpy(ret + at, &ping, sizeof(ping));
    at += sizeof(ping);
    memcpy(ret + at, &header, sizeof(header));
    at += sizeof(header);
    memcpy(ret + at, response, size);
    return at + size;
}

static void test_several_messages_at_once(void **state)
{
    Testbed *t = *state;
    char bytes[2048];
    size_t size = whole_answer(bytes);

    testbed_submit_and_take(t, 1);
    fake_send_bytes(&t->mediator, bytes, size);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&t->device), 300);
    fake_expect(&t->mediator, VGPU_MSG_PONG, &(WireMessage){0});
}

static void test_byte_by_byte(void **state)
{
    Testbed *t = *state;
    char bytes[2048];
    size_t size = whole_answer(bytes);

    testbed_submit_and_take(t, 1);
    for (size_t i = 0; i < size; i++) {
        fake_send_bytes(&t->mediator, bytes + i, 1);
        /* QEMU has gone through its main loop before it answers. */
        free(qtest_qmp(t->qtest, "{\"execute\": \"query-status\"}"));
    }
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&t->device), 300);
    fake_expect(&t->mediator, VGPU_MSG_PONG, &(WireMessage){0});
}

static void test_half_a_message(void **state)
{
    Testbed *t = *state;
    char bytes[2048];
    size_t size = whole_answer(bytes);
    static const size_t cuts[] = {1, 23, 24, 30};

    device_submit_add(&t->device, 1, 100, 200);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        fake_accept(&t->mediator, NULL);
        fake_expect_request(&t->mediator, 1, NULL);
        fake_send_bytes(&t->mediator, bytes, size - cuts[i]);
        fake_hang_up(&t->mediator);
    }
    serve_again(t); /* nothing of the halves is left over */
}

/* Half a message is no sign of life. */
static void test_half_a_message_and_silence(void **state)
{
    Testbed *t = *state;
    char bytes[2048];

    whole_answer(bytes);
    testbed_submit_and_take(t, 1);
    fake_send_bytes(&t->mediator, bytes, 20);
    assert_unavailable(t);
    fake_expect_hang_up(&t->mediator);
}

/* ---- Without reading ------------------------------------------------------------------- */

/* The mediator asks for signs of life without end, and reads none of them. */
static void test_ping_flood(void **state)
{
    const VGPUSocketHeader ping = wire_header(VGPU_MSG_PING, 0, 3, 0, 0);
    Testbed *t = *state;
    ssize_t n;

    testbed_submit_and_take(t, 1);
    do {
        struct pollfd p = {.fd = t->mediator.peer, .events = POLLOUT};

        assert_int_equal(poll(&p, 1, WIRE_TIMEOUT_MSEC), 1);
        n = send(t->mediator.peer, &ping, sizeof(ping), MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n > 0 || errno == EAGAIN);
    assert_int_equal(errno, EPIPE); /* the device has had enough of it */
    assert_int_equal(qtest_log_count(t->qtest, "does not read"), 1);
    serve_again(t);
}

/* The mediator reads late: what the device could not write waits, and comes complete and in order.
 */
static void test_reads_late(void **state)
{
    Testbed *t = *state;
    unsigned n = fake_capacity() + 8;

    testbed_submit_and_take(t, 1);
    for (unsigned i = 0; i < n; i++)
        fake_send(&t->mediator, VGPU_MSG_PING, i, NULL, 0);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 300);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE); /* it has seen them all */
    for (unsigned i = 0; i < n; i++) {
        WireMessage pong;

        fake_expect(&t->mediator, VGPU_MSG_PONG, &pong);
        assert_int_equal(pong.header.request_id, i);
    }
    device_submit_add(&t->device, 2, 1, 1);
    testbed_serve_add(t, 2);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTBED(test_absent, IMPATIENT),
        TESTBED(test_absent_for_long, IMPATIENT),
        TESTBED(test_absent_without_patience, NO_PATIENCE),
        TESTBED(test_broken_without_patience, NO_PATIENCE),
        TESTBED(test_stalled_without_patience, NO_PATIENCE),
        TESTBED(test_appears_later, NULL),
        TESTBED(test_socket_left_behind, NULL),
        TESTBED(test_backlog_is_full, NULL),
        TESTBED(test_killed_and_back, NULL),
        TESTBED(test_killed_and_gone, IMPATIENT),
        TESTBED(test_restarted_while_idle, NULL),
        TESTBED(test_a_request_is_given_up, NULL),
        TESTBED(test_resume_secret, NULL),
        TESTBED(test_hello_is_refused, NULL),
        TESTBED(test_never_accepts, IMPATIENT),
        TESTBED(test_stalls_before_a_sign_of_life, IMPATIENT),
        TESTBED(test_stalls_after_a_sign_of_life, IMPATIENT),
        TESTBED(test_slow_but_alive, IMPATIENT),
        TESTBED(test_ping_is_answered, NULL),
        TESTBED(test_several_messages_at_once, NULL),
        TESTBED(test_byte_by_byte, NULL),
        TESTBED(test_half_a_message, NULL),
        TESTBED(test_half_a_message_and_silence, IMPATIENT),
        TESTBED(test_ping_flood, NULL),
        TESTBED(test_reads_late, NULL),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}

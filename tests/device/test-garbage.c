/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages that no mediator may send. Each closes the connection with one warning;
 * a request that was pending is sent again on the next connection and answered there.
 */
#include "testbed.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* The request that is pending has the id 1. */
static const struct garbage {
    const char *name;
    const char *warning;
    VGPUSocketHeader header; /* 0 stands for the right magic */
    VGPUResponse response;   /* the payload, followed by zeros */
    bool only_when_busy;
} garbage[] = {
    {"magic", "bad magic", {.magic = 0x56475054, .msg_type = VGPU_MSG_PONG}},
    {"padding", "padding is not zero", {.msg_type = VGPU_MSG_PONG, .pad = 1}},
    {"payload too large",
     "payload too large",
     {.msg_type = VGPU_MSG_RESPONSE, .payload_len = 1025}},
    {"payload of 4 GiB",
     "payload too large",
     {.msg_type = VGPU_MSG_RESPONSE, .payload_len = 0xffffffff}},
    {"type 0", "unknown message type", {.msg_type = 0}},
    {"unknown type", "unknown message type", {.msg_type = 0x7e}},
    {"largest type", "unknown message type", {.msg_type = 0xffffffff}},
    {"PING with payload", "payload where none", {.msg_type = VGPU_MSG_PING, .payload_len = 1}},
    {"PONG with payload", "payload where none", {.msg_type = VGPU_MSG_PONG, .payload_len = 4}},
    {"BUSY with payload", "payload where none", {.msg_type = VGPU_MSG_BUSY, .payload_len = 4}},
    {"QUARANTINED with payload",
     "payload where none",
     {.msg_type = VGPU_MSG_QUARANTINED, .payload_len = 4}},
    {"short WELCOME", "welcome too short", {.msg_type = VGPU_MSG_WELCOME, .payload_len = 7}},
    {"REQUEST", "only a device sends", {.msg_type = VGPU_MSG_REQUEST, .payload_len = 32}},
    {"empty REQUEST", "only a device sends", {.msg_type = VGPU_MSG_REQUEST}},
    {"HELLO", "only a device sends", {.msg_type = VGPU_MSG_HELLO, .payload_len = 24}},
    {"RING_SETUP", "only a device sends", {.msg_type = VGPU_MSG_RING_SETUP, .payload_len = 16}},
    {"RING_OFF", "only a device sends", {.msg_type = VGPU_MSG_RING_OFF}},
    {"RING_READY without a ring",
     "a ring that it was not told of",
     {.msg_type = VGPU_MSG_RING_READY, .payload_len = 8}},
    {"short RING_READY",
     "ring ready too short",
     {.msg_type = VGPU_MSG_RING_READY, .payload_len = 7}},
    {"RING_READY with an unknown error",
     "an error code that there is not",
     {.msg_type = VGPU_MSG_RING_READY, .payload_len = 8},
     {.version = VGPU_N_ERRORS}},
    {"large RING_READY",
     "payload too large",
     {.msg_type = VGPU_MSG_RING_READY, .payload_len = 1025}},
    {"RING_STOPPED without a ring",
     "a ring has stopped that should not",
     {.msg_type = VGPU_MSG_RING_STOPPED}},
    {"RING_STOPPED with payload",
     "payload where none",
     {.msg_type = VGPU_MSG_RING_STOPPED, .payload_len = 4}},
    {"empty RESPONSE", "shorter than its header", {.msg_type = VGPU_MSG_RESPONSE}},
    {"short RESPONSE",
     "shorter than its header",
     {.msg_type = VGPU_MSG_RESPONSE, .request_id = 1, .payload_len = 31}},
    {"RESPONSE of another version",
     "malformed response",
     {.msg_type = VGPU_MSG_RESPONSE, .request_id = 1, .payload_len = 32},
     {.version = 0x00020000}},
    {"RESPONSE with an unknown status",
     "malformed response",
     {.msg_type = VGPU_MSG_RESPONSE, .request_id = 1, .payload_len = 32},
     {.version = VGPU_PROTOCOL_VERSION, .status = VGPU_N_ERRORS}},
    {"RESPONSE with more results than bytes",
     "malformed response",
     {.msg_type = VGPU_MSG_RESPONSE, .request_id = 1, .payload_len = 35},
     {.version = VGPU_PROTOCOL_VERSION, .result_count = 1}},
    {"RESPONSE with 2^30 results",
     "malformed response",
     {.msg_type = VGPU_MSG_RESPONSE, .request_id = 1, .payload_len = 64},
     {.version = VGPU_PROTOCOL_VERSION, .result_count = 0x40000000}},
    {"RESPONSE whose data overlaps its header",
     "malformed response",
     {.msg_type = VGPU_MSG_RESPONSE, .request_id = 1, .payload_len = 64},
     {.version = VGPU_PROTOCOL_VERSION, .data_offset = 16, .data_length = 16}},
    {"RESPONSE whose data ends outside",
     "malformed response",
     {.msg_type = VGPU_MSG_RESPONSE, .request_id = 1, .payload_len = 64},
     {.version = VGPU_PROTOCOL_VERSION, .data_offset = 32, .data_length = 33}},
    {"RESPONSE whose data wraps around",
     "malformed response",
     {.msg_type = VGPU_MSG_RESPONSE, .request_id = 1, .payload_len = 64},
     {.version = VGPU_PROTOCOL_VERSION, .data_offset = 0xffffffe0, .data_length = 0x40}},
    {"RESPONSE to another request",
     "an answer to another request",
     {.msg_type = VGPU_MSG_RESPONSE, .request_id = 2, .payload_len = 32},
     {.version = VGPU_PROTOCOL_VERSION},
     .only_when_busy = true},
    {"BUSY for another request",
     "an answer to another request",
     {.msg_type = VGPU_MSG_BUSY, .request_id = 0},
     .only_when_busy = true},
    {"QUARANTINED for another request",
     "an answer to another request",
     {.msg_type = VGPU_MSG_QUARANTINED, .request_id = 0xffffffff},
     .only_when_busy = true},
};

#define N_GARBAGE (sizeof(garbage) / sizeof(garbage[0]))

static void send_garbage(FakeMediator *m, const struct garbage *g)
{
    char bytes[sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX] = {0};
    VGPUSocketHeader header = g->header;

    if (header.magic == 0)
        header.magic = VGPU_SOCKET_MAGIC;
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), &g->response, sizeof(g->response));
    fake_send_bytes(m, bytes,
                    header.payload_len <= VGPU_PAYLOAD_MAX ? sizeof(header) + header.payload_len
                                                           : sizeof(bytes));
}

static void submit(Testbed *t)
{
    device_submit_add(&t->device, 1, 100, 200);
}

static void serve(Testbed *t)
{
    testbed_serve_add(t, 1);
    assert_int_equal(device_result(&t->device), 300);
}

static void test_while_busy(void **state)
{
    Testbed *t = *state;

    for (size_t i = 0; i < N_GARBAGE; i++) {
        unsigned before = qtest_log_count(t->qtest, garbage[i].warning);

        print_message("# %s\n", garbage[i].name);
        submit(t);
        if (i == 0)
            fake_accept(&t->mediator, NULL);
        fake_expect_request(&t->mediator, 1, NULL);
        send_garbage(&t->mediator, &garbage[i]);
        fake_expect_hang_up(&t->mediator);
        assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
        assert_int_equal(qtest_log_count(t->qtest, garbage[i].warning), before + 1);

        fake_accept(&t->mediator, NULL);
        serve(t);
    }
    assert_int_equal(qtest_log_count(t->qtest, "warning: vgpu-stub gpu"), N_GARBAGE);
}

static void test_while_idle(void **state)
{
    Testbed *t = *state;
    unsigned n = 0;

    for (size_t i = 0; i < N_GARBAGE; i++) {
        if (garbage[i].only_when_busy)
            continue;
        print_message("# %s\n", garbage[i].name);
        submit(t);
        fake_accept(&t->mediator, NULL);
        serve(t);
        send_garbage(&t->mediator, &garbage[i]);
        fake_expect_hang_up(&t->mediator);
        n++;
        assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_DONE);
    }
    assert_int_equal(qtest_log_count(t->qtest, "warning: vgpu-stub gpu"), n);
}

/* Well-formed messages that nobody waits for: the device drops them and keeps the connection. */
static void test_unsolicited(void **state)
{
    Testbed *t = *state;

    submit(t);
    fake_accept(&t->mediator, NULL);
    serve(t);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 301);
    fake_respond(&t->mediator, 2, VGPU_ERROR_CUDA_ERROR, 302);
    fake_send(&t->mediator, VGPU_MSG_BUSY, 1, NULL, 0);
    fake_send(&t->mediator, VGPU_MSG_QUARANTINED, 1, NULL, 0);
    fake_welcome(&t->mediator);
    fake_send(&t->mediator, VGPU_MSG_PONG, 9, NULL, 0);
    fake_synchronize(&t->mediator); /* all of it has been taken */

    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_DONE);
    assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 0);
    assert_int_equal(device_result(&t->device), 300);
    submit(t);
    serve(t);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
}

/* Garbage that follows a good answer. */
static void test_garbage_behind_an_answer(void **state)
{
    char bytes[512];
    char response[VGPU_RESPONSE_MAX];
    uint32_t size = fake_response(VGPU_ERROR_NONE, 300, response);
    const VGPUSocketHeader header = wire_header(VGPU_MSG_RESPONSE, 0, 1, 0, size);
    Testbed *t = *state;

    memset(bytes, 0xff, sizeof(bytes));
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), response, size);
    submit(t);
    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 1, NULL);
    fake_send_bytes(&t->mediator, bytes, sizeof(bytes));
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&t->device), 300);
    fake_expect_hang_up(&t->mediator);

    submit(t);
    fake_accept(&t->mediator, NULL);
    serve(t);
}

/* A mediator that only ever lies cannot keep a guest waiting for ever. */
static void test_always_lying(void **state)
{
    Testbed *t = *state;

    submit(t);
    for (int i = 0; i < 8; i++) {
        fake_accept(&t->mediator, NULL);
        fake_expect_request(&t->mediator, 1, NULL);
        send_garbage(&t->mediator, &garbage[0]);
        fake_expect_hang_up(&t->mediator);
    }
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_ERROR);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_MEDIATOR_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTBED(test_while_busy, NULL),   TESTBED(test_while_idle, NULL),
        TESTBED(test_unsolicited, NULL),  TESTBED(test_garbage_behind_an_answer, NULL),
        TESTBED(test_always_lying, NULL),
    };

    return cmocka_run_group_tests_name("garbage", tests, NULL, NULL);
}

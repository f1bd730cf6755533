/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-mediator.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmocka-headers.h"

void fake_listen(FakeMediator *m, const char *directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *m = (FakeMediator){.listener = -1, .peer = -1};
    snprintf(m->path, sizeof(m->path), "%s/mediator.sock", directory);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", m->path);
    m->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(m->listener >= 0);
    assert_int_equal(bind(m->listener, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(m->listener, 8), 0);
}

void fake_hang_up(FakeMediator *m)
{
    if (m->peer >= 0)
        close(m->peer);
    m->peer = -1;
}

void fake_stop(FakeMediator *m)
{
    fake_hang_up(m);
    if (m->listener >= 0) {
        close(m->listener);
        unlink(m->path);
    }
    m->listener = -1;
}

bool fake_has_caller(const FakeMediator *m)
{
    struct pollfd p = {.fd = m->listener, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

void fake_expect_no_caller(const FakeMediator *m)
{
    struct pollfd p = {.fd = m->listener, .events = POLLIN};

    assert_int_equal(poll(&p, 1, 100), 0);
}

void fake_accept_raw(FakeMediator *m)
{
    struct pollfd p = {.fd = m->listener, .events = POLLIN};

    fake_hang_up(m);
    if (poll(&p, 1, WIRE_TIMEOUT_MSEC) != 1)
        fail_msg("the device does not connect");
    m->peer = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(m->peer >= 0);
}

void fake_accept(FakeMediator *m, WireMessage *ret_hello)
{
    WireMessage message;

    fake_accept_raw(m);
    fake_expect(m, VGPU_MSG_HELLO, ret_hello ? ret_hello : &message);
}

static void receive(FakeMediator *m, WireMessage *ret)
{
    int r = wire_receive(m->peer, ret);

    if (r == 0)
        fail_msg("the device has closed the connection");
    if (r < 0)
        fail_msg("receiving from the device: %s", strerror(-r));
}

void fake_expect(FakeMediator *m, uint32_t type, WireMessage *ret)
{
    do
        receive(m, ret);
    while (ret->header.msg_type == VGPU_MSG_PING && type != VGPU_MSG_PING);
    assert_int_equal(ret->header.msg_type, type);
}

void fake_expect_request(FakeMediator *m, uint32_t id, WireMessage *ret)
{
    WireMessage message;

    if (!ret)
        ret = &message;
    fake_expect(m, VGPU_MSG_REQUEST, ret);
    assert_int_equal(ret->header.request_id, id);
}

uint32_t fake_expect_ping(FakeMediator *m)
{
    WireMessage message;

    receive(m, &message);
    assert_int_equal(message.header.msg_type, VGPU_MSG_PING);
    return message.header.request_id;
}

void fake_expect_hang_up(FakeMediator *m)
{
    char bytes[4096];
    ssize_t n;

    do {
        struct pollfd p = {.fd = m->peer, .events = POLLIN};

        if (poll(&p, 1, WIRE_TIMEOUT_MSEC) != 1)
            fail_msg("the device does not close the connection");
        n = recv(m->peer, bytes, sizeof(bytes), 0);
    } while (n > 0); /* a reset connection is closed too */
    fake_hang_up(m);
}

void fake_send_bytes(FakeMediator *m, const void *bytes, size_t size)
{
    assert_int_equal(send(m->peer, bytes, size, MSG_NOSIGNAL), size);
}

void fake_send(FakeMediator *m, uint32_t type, uint32_t id, const void *payload, uint32_t size)
{
    const VGPUSocketHeader header = wire_header(type, 0, id, 0, size);

    assert_true(wire_send(m->peer, &header, payload));
}

void fake_welcome(FakeMediator *m)
{
    const VGPUWelcome welcome = {.vm_id = 0};

    fake_send(m, VGPU_MSG_WELCOME, 0, &welcome, sizeof(welcome));
}

uint32_t fake_response(uint32_t status, uint32_t result, char ret[static VGPU_RESPONSE_MAX])
{
    const VGPUResponse response = {
        .version = VGPU_PROTOCOL_VERSION,
        .status = status,
        .result_count = 1,
    };

    memcpy(ret, &response, sizeof(response));
    memcpy(ret + sizeof(response), &result, sizeof(result));
    return sizeof(response) + sizeof(result);
}

void fake_respond(FakeMediator *m, uint32_t id, uint32_t status, uint32_t result)
{
    char response[VGPU_RESPONSE_MAX];

    fake_send(m, VGPU_MSG_RESPONSE, id, response, fake_response(status, result, response));
}

void fake_serve_add(FakeMediator *m, uint32_t id)
{
    WireMessage message;
    uint32_t params[2];

    fake_expect_request(m, id, &message);
    assert_int_equal(message.header.payload_len, sizeof(VGPURequest) + sizeof(params));
    memcpy(params, message.payload + sizeof(VGPURequest), sizeof(params));
    fake_respond(m, id, VGPU_ERROR_NONE, params[0] + params[1]);
}

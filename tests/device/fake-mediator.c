/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-mediator.h"
#include "clock.h"
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void fake_listen(FakeMediator *m, const char *directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    m->peer = -1;
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
    fake_close_fds(m);
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

void fake_close_fds(FakeMediator *m)
{
    while (m->n_fds > 0)
        close(m->fds[--m->n_fds]);
}

/* Takes the descriptors that came with the message. */
static void keep_fds(FakeMediator *m, struct msghdr *message)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    unsigned n;

    assert_false(message->msg_flags & MSG_CTRUNC);
    if (!cmsg)
        return;
    assert_int_equal(cmsg->cmsg_level, SOL_SOCKET);
    assert_int_equal(cmsg->cmsg_type, SCM_RIGHTS);
    n = (unsigned) ((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    assert_true(m->n_fds + n <= sizeof(m->fds) / sizeof(m->fds[0]));
    memcpy(m->fds + m->n_fds, CMSG_DATA(cmsg), n * sizeof(int));
    m->n_fds += n;
}

static void receive_all(FakeMediator *m, void *buf, size_t size)
{
    size_t at = 0;

    while (at < size) {
        union {
            char bytes[CMSG_SPACE(sizeof(m->fds))];
            struct cmsghdr align;
        } control;
        struct pollfd p = {.fd = m->peer, .events = POLLIN};
        struct iovec iov = {(char *) buf + at, size - at};
        struct msghdr message = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n;

        if (poll(&p, 1, WIRE_TIMEOUT_MSEC) != 1)
            fail_msg("the device says nothing");
        n = recvmsg(m->peer, &message, MSG_CMSG_CLOEXEC);
        if (n == 0)
            fail_msg("the device has closed the connection");
        if (n < 0)
            fail_msg("receiving from the device: %s", strerror(errno));
        keep_fds(m, &message);
        at += (size_t) n;
    }
}

static void receive(FakeMediator *m, WireMessage *ret)
{
    fake_close_fds(m);
    receive_all(m, &ret->header, sizeof(ret->header));
    assert_null(vgpu_ring_header_check(&ret->header));
    if (ret->header.msg_type != VGPU_MSG_RING_SETUP &&
        ret->header.msg_type != VGPU_MSG_SESSION_OPEN)
        assert_int_equal(m->n_fds, 0); /* they must come with their message's first byte */
    receive_all(m, ret->payload, ret->header.payload_len);
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

void fake_expect_silence(FakeMediator *m)
{
    struct pollfd p = {.fd = m->peer, .events = POLLIN};

    assert_int_equal(poll(&p, 1, 0), 0);
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

unsigned fake_capacity(void)
{
    const VGPUSocketHeader ping = wire_header(VGPU_MSG_PING, 0, 0, 0, 0);
    int fds[2];
    unsigned n = 0;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    while (send(fds[0], &ping, sizeof(ping), MSG_DONTWAIT) == sizeof(ping))
        n++;
    assert_int_equal(errno, EAGAIN);
    close(fds[0]);
    close(fds[1]);
    return n;
}

void fake_synchronize(FakeMediator *m)
{
    WireMessage message;

    fake_send(m, VGPU_MSG_PING, 1, NULL, 0);
    fake_expect(m, VGPU_MSG_PONG, &message);
    assert_int_equal(message.header.request_id, 1);
}

void fake_stay_alive(FakeMediator *m, int msec)
{
    uint64_t end = now_usec() + (uint64_t) msec * 1000;

    while (now_usec() < end)
        fake_send(m, VGPU_MSG_PONG, fake_expect_ping(m), NULL, 0);
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

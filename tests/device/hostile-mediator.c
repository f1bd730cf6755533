/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hostile-mediator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vgpu-ring.h"
#include "wire.h"

void hostile_listen(HostileMediator *m)
{
    if (m->listener >= 0)
        return;
    unlink(m->address.sun_path);
    m->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->listener < 0 ||
        bind(m->listener, (struct sockaddr *) &m->address, sizeof(m->address)) < 0 ||
        listen(m->listener, 4) < 0)
        abort();
}

void hostile_init(HostileMediator *m, const char *directory)
{
    *m = (HostileMediator){.listener = -1, .peer = -1, .completion = -1};
    m->address.sun_family = AF_UNIX;
    snprintf(m->address.sun_path, sizeof(m->address.sun_path), "%s/mediator.sock", directory);
    hostile_listen(m);
}

static void forget_completion(HostileMediator *m)
{
    if (m->completion >= 0)
        close(m->completion);
    m->completion = -1;
}

void hostile_hang_up(HostileMediator *m)
{
    forget_completion(m);
    if (m->peer >= 0)
        close(m->peer);
    m->peer = -1;
}

void hostile_vanish(HostileMediator *m)
{
    hostile_hang_up(m);
    if (m->listener >= 0)
        close(m->listener);
    m->listener = -1;
}

void hostile_accept(HostileMediator *m)
{
    int fd = m->listener >= 0 ? accept4(m->listener, NULL, NULL, SOCK_CLOEXEC) : -1;

    if (fd >= 0) {
        hostile_hang_up(m);
        m->peer = fd;
    }
}

void hostile_send(HostileMediator *m, const void *bytes, size_t size)
{
    if (m->peer >= 0)
        (void) !send(m->peer, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Keeps the ring's completion eventfd, which comes last, and no other descriptor. */
static void take_descriptors(HostileMediator *m, struct msghdr *message)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    int fds[VGPU_RING_N_FDS];

    if (!cmsg || cmsg->cmsg_len != CMSG_LEN(sizeof(fds)))
        return;
    memcpy(fds, CMSG_DATA(cmsg), sizeof(fds));
    close(fds[0]);
    close(fds[1]);
    forget_completion(m);
    m->completion = fds[2];
}

ssize_t hostile_receive(HostileMediator *m, void *ret, size_t size, int flags)
{
    union {
        char bytes[CMSG_SPACE(VGPU_RING_N_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {ret, size};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n = recvmsg(m->peer, &message, MSG_CMSG_CLOEXEC | flags);

    if (n > 0)
        take_descriptors(m, &message);
    return n;
}

void hostile_read(HostileMediator *m)
{
    char bytes[4096];

    if (m->peer >= 0)
        (void) !hostile_receive(m, bytes, sizeof(bytes), MSG_DONTWAIT);
}

void hostile_signal(HostileMediator *m)
{
    if (m->completion >= 0)
        (void) !eventfd_write(m->completion, 1);
}

void hostile_send_ring(HostileMediator *m, FuzzInput *in)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING};
    const VGPURingReady ready = {
        .error = input_take8(in) % 4 ? 0 : input_take8(in) % (VGPU_N_ERRORS + 1)};
    char bytes[sizeof(VGPUSocketHeader) + sizeof(welcome)];
    VGPUSocketHeader header = wire_header(VGPU_MSG_RING_STOPPED, 0, 0, 0, 0);

    switch (input_take8(in) % 4) {
    case 0:
    case 1:
        header.msg_type = VGPU_MSG_WELCOME;
        header.payload_len = sizeof(welcome);
        memcpy(bytes + sizeof(header), &welcome, sizeof(welcome));
        break;
    case 2:
        header.msg_type = VGPU_MSG_RING_READY;
        header.payload_len = sizeof(ready);
        memcpy(bytes + sizeof(header), &ready, sizeof(ready));
        break;
    }
    memcpy(bytes, &header, sizeof(header));
    hostile_send(m, bytes, sizeof(header) + header.payload_len);
}

/* Names a ring that there is more often than one that there is not. */
static uint32_t choose_ring(FuzzInput *in)
{
    uint8_t choice = input_take8(in);

    return choice == 255 ? input_take32(in) : choice % (VGPU_RINGS_MAX + 2);
}

void hostile_send_session(HostileMediator *m, FuzzInput *in)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS};
    const VGPUSessionReady ready = {
        .ring = choose_ring(in),
        .error = input_take8(in) % 2 ? 0 : input_take8(in) % (VGPU_N_ERRORS + 1),
        .cuda_result = input_take8(in),
    };
    char bytes[sizeof(VGPUSocketHeader) + sizeof(welcome)];
    VGPUSocketHeader header;

    switch (input_take8(in) % 8) {
    case 0:
        header = wire_header(VGPU_MSG_WELCOME, 0, 0, 0, sizeof(welcome));
        memcpy(bytes + sizeof(header), &welcome, sizeof(welcome));
        break;
    case 1:
    case 2:
        header = wire_header(VGPU_MSG_SESSION_CLOSED, 0, 0, 0, sizeof(VGPUSessionRing));
        memcpy(bytes + sizeof(header), &ready, sizeof(VGPUSessionRing));
        break;
    default:
        header = wire_header(VGPU_MSG_SESSION_READY, 0, 0, 0, sizeof(ready));
        memcpy(bytes + sizeof(header), &ready, sizeof(ready));
    }
    memcpy(bytes, &header, sizeof(header));
    hostile_send(m, bytes, sizeof(header) + header.payload_len);
}

void hostile_send_message(HostileMediator *m, FuzzInput *in, bool good)
{
    char bytes[sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX];
    static const uint8_t types[] = {
        VGPU_MSG_PING,          VGPU_MSG_PONG,
        VGPU_MSG_BUSY,          VGPU_MSG_QUARANTINED,
        VGPU_MSG_WELCOME,       VGPU_MSG_HELLO,
        VGPU_MSG_REQUEST,       0,
        VGPU_MSG_RING_SETUP,    VGPU_MSG_RING_READY,
        VGPU_MSG_RING_OFF,      VGPU_MSG_RING_STOPPED,
        VGPU_MSG_SESSION_OPEN,  VGPU_MSG_SESSION_READY,
        VGPU_MSG_SESSION_CLOSE, VGPU_MSG_SESSION_CLOSED,
    };
    VGPUSocketHeader header = wire_header(
        types[input_take8(in) % sizeof(types)], input_take8(in), input_take8(in) % 4,
        input_take8(in), input_take8(in) % 2 ? 0 : input_take_length(in, VGPU_PAYLOAD_MAX + 4));

    if (!good)
        input_take_bytes(in, &header, input_take8(in) % (sizeof(header) + 1));
    memset(bytes, input_take8(in), sizeof(bytes));
    memcpy(bytes, &header, sizeof(header));
    hostile_send(m, bytes, sizeof(header) + header.payload_len % (VGPU_PAYLOAD_MAX + 1));
}

void hostile_respond(HostileMediator *m, FuzzInput *in)
{
    char bytes[sizeof(VGPUSocketHeader) + VGPU_RESPONSE_MAX];
    const VGPUResponse response = {
        .version = VGPU_PROTOCOL_VERSION,
        .status = input_take8(in) % (VGPU_N_ERRORS + 1),
        .result_count = input_take8(in) % 4,
        .data_length = input_take8(in) % 2 ? 0 : input_take_length(in, VGPU_RESPONSE_MAX + 4),
        .data_offset = sizeof(response) + input_take_length(in, VGPU_RESPONSE_MAX + 4),
    };
    const VGPUSocketHeader header =
        wire_header(VGPU_MSG_RESPONSE, 0, input_take8(in) % 4, 0,
                    (uint32_t) sizeof(response) +
                        input_take_length(in, VGPU_RESPONSE_MAX + 1 - sizeof(response)));

    memset(bytes, input_take8(in), sizeof(bytes));
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), &response, sizeof(response));
    hostile_send(m, bytes, sizeof(header) + header.payload_len);
}

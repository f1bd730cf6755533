/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-session-ring.h"
#include "test.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void fake_welcome_sessions(FakeMediator *m)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS};

    fake_send(m, VGPU_MSG_WELCOME, 0, &welcome, sizeof(welcome));
}

void fake_expect_open(FakeMediator *m, uint32_t ring, FakeSession *ret)
{
    WireMessage message;
    struct stat st;

    fake_expect(m, VGPU_MSG_SESSION_OPEN, &message);
    assert_int_equal(message.header.payload_len, sizeof(ret->open));
    assert_int_equal(m->n_fds, VGPU_RING_N_FDS);
    ret->window_fd = m->fds[0];
    ret->doorbell = m->fds[1];
    ret->completion = m->fds[2];
    m->n_fds = 0;
    memcpy(&ret->open, message.payload, sizeof(ret->open));
    assert_int_equal(ret->open.ring, ring);
    assert_int_equal(ret->open.flags, 0);
    assert_int_equal(fstat(ret->window_fd, &st), 0);
    assert_true(ret->open.offset < (uint64_t) st.st_size);
}

void fake_accept_open(FakeMediator *m, uint32_t ring, FakeSession *ret)
{
    fake_accept(m, NULL);
    fake_welcome_sessions(m);
    fake_expect_open(m, ring, ret);
}

void fake_session_free(FakeSession *s)
{
    close(s->window_fd);
    close(s->doorbell);
    close(s->completion);
}

void fake_session_ready(FakeMediator *m, uint32_t ring, uint32_t error, uint32_t cuda_result)
{
    const VGPUSessionReady ready = {.ring = ring, .error = error, .cuda_result = cuda_result};

    fake_send(m, VGPU_MSG_SESSION_READY, 0, &ready, sizeof(ready));
}

void fake_session_closed(FakeMediator *m, uint32_t ring)
{
    const VGPUSessionRing closed = {.ring = ring};

    fake_send(m, VGPU_MSG_SESSION_CLOSED, 0, &closed, sizeof(closed));
}

void fake_expect_close(FakeMediator *m, uint32_t ring)
{
    WireMessage message;
    VGPUSessionRing close;

    fake_expect(m, VGPU_MSG_SESSION_CLOSE, &message);
    assert_int_equal(message.header.payload_len, sizeof(close));
    memcpy(&close, message.payload, sizeof(close));
    assert_int_equal(close.ring, ring);
}

void fake_session_signal(const FakeSession *s)
{
    assert_int_equal(eventfd_write(s->completion, 1), 0);
}

uint64_t fake_session_rung(const FakeSession *s)
{
    eventfd_t n = 0;

    if (eventfd_read(s->doorbell, &n) < 0)
        assert_int_equal(errno, EAGAIN);
    return n;
}

/* Does not use cmocka: a failure would jump into the test that the parent process runs. */
static bool close_one(FakeMediator *m)
{
    const VGPUSocketHeader closed =
        wire_header(VGPU_MSG_SESSION_CLOSED, 0, 0, 0, sizeof(VGPUSessionRing));
    VGPUSocketHeader header = {0};
    VGPUSessionRing ring;

    do
        if (recv(m->peer, &header, sizeof(header), MSG_WAITALL) != sizeof(header))
            return false;
    while (header.msg_type == VGPU_MSG_PING);
    if (header.msg_type != VGPU_MSG_SESSION_CLOSE || header.payload_len != sizeof(ring) ||
        recv(m->peer, &ring, sizeof(ring), MSG_WAITALL) != sizeof(ring))
        return false;
    (void) !wire_send(m->peer, &closed, &ring); /* a reset may not have waited for it */
    return true;
}

void fake_close_meanwhile(FakeMediator *m, unsigned n)
{
    m->obeyer = fork();
    assert_true(m->obeyer >= 0);
    if (m->obeyer > 0)
        return;
    for (; n > 0; n--)
        if (!close_one(m))
            _exit(1);
    _exit(0);
}

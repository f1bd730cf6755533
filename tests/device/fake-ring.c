/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-ring.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- The wire ------------------------------------------------------------------------- */

void fake_welcome_ring(FakeMediator *m)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING};

    fake_send(m, VGPU_MSG_WELCOME, 0, &welcome, sizeof(welcome));
}

static void map_window(FakeRing *r)
{
    struct stat st;

    assert_int_equal(fstat(r->window_fd, &st), 0);
    r->size = (uint64_t) st.st_size;
    r->window = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->window_fd, 0);
    assert_true(r->window != MAP_FAILED);
    assert_true(vgpu_ring_is_valid(r->size, r->setup.offset, r->setup.entries));
    assert_int_equal(
        ring_host_open(&r->host, r->window + r->setup.offset, r->setup.entries, r->size),
        RING_NOTHING);
}

FakeRing *fake_expect_setup(FakeMediator *m)
{
    FakeRing *r = calloc(1, sizeof(*r));
    WireMessage message;

    assert_non_null(r);
    fake_expect(m, VGPU_MSG_RING_SETUP, &message);
    assert_int_equal(message.header.payload_len, sizeof(r->setup));
    assert_int_equal(m->n_fds, VGPU_RING_N_FDS);
    r->window_fd = m->fds[0];
    r->doorbell = m->fds[1];
    r->completion = m->fds[2];
    m->n_fds = 0;
    memcpy(&r->setup, message.payload, sizeof(r->setup));
    assert_int_equal(r->setup.flags, 0);
    map_window(r);
    r->earlier = m->ring;
    m->ring = r;
    return r;
}

FakeRing *fake_accept_setup(FakeMediator *m)
{
    fake_accept(m, NULL);
    fake_welcome_ring(m);
    return fake_expect_setup(m);
}

void fake_close_rings(FakeMediator *m)
{
    while (m->ring) {
        FakeRing *r = m->ring;

        m->ring = r->earlier;
        munmap(r->window, r->size);
        close(r->window_fd);
        close(r->doorbell);
        close(r->completion);
        free(r);
    }
}

void fake_ready(FakeMediator *m, uint32_t error)
{
    const VGPURingReady ready = {.error = error};

    fake_send(m, VGPU_MSG_RING_READY, 0, &ready, sizeof(ready));
}

void fake_expect_off(FakeMediator *m)
{
    WireMessage message;

    fake_expect(m, VGPU_MSG_RING_OFF, &message);
}

void fake_stopped(FakeMediator *m)
{
    fake_send(m, VGPU_MSG_RING_STOPPED, 0, NULL, 0);
}

/* Does not use cmocka: a failure would jump into the test that the parent process runs. */
static bool obey(FakeMediator *m, const FakeRing *ring)
{
    const VGPUSocketHeader stopped = wire_header(VGPU_MSG_RING_STOPPED, 0, 0, 0, 0);
    VGPUSocketHeader header = {0};

    do
        if (recv(m->peer, &header, sizeof(header), MSG_WAITALL) != sizeof(header))
            return false;
    while (header.msg_type == VGPU_MSG_PING);
    if (header.msg_type != VGPU_MSG_RING_OFF)
        return false;
    if (ring) { /* the memory is shared with the parent */
        ring->window[ring->size - 1] = FAKE_LAST_WORD;
        if (eventfd_write(ring->completion, 1) < 0)
            return false;
    }
    (void) !wire_send(m->peer, &stopped, NULL); /* a reset may not have waited for it */
    return true;
}

void fake_obey_meanwhile(FakeMediator *m, const FakeRing *ring)
{
    m->obeyer = fork();
    assert_true(m->obeyer >= 0);
    if (m->obeyer == 0)
        _exit(obey(m, ring) ? 0 : 1);
}

void fake_obeyed(FakeMediator *m)
{
    int status;

    assert_int_equal(waitpid(m->obeyer, &status, 0), m->obeyer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- The eventfds ----------------------------------------------------------------------- */

void fake_signal(const FakeRing *r)
{
    assert_int_equal(eventfd_write(r->completion, 1), 0);
}

uint64_t fake_rung(const FakeRing *r)
{
    eventfd_t n = 0;

    if (eventfd_read(r->doorbell, &n) < 0)
        assert_int_equal(errno, EAGAIN);
    return n;
}

void fake_wait_rung(const FakeRing *r)
{
    struct pollfd p = {.fd = r->doorbell, .events = POLLIN};

    if (poll(&p, 1, WIRE_TIMEOUT_MSEC) != 1)
        fail_msg("the guest does not ring");
    assert_true(fake_rung(r) > 0);
}

/* ---- The ring ------------------------------------------------------------------------------ */

static void add(FakeRing *r, const VGPUSubmission *s)
{
    const int32_t *a = (const int32_t *) (r->window + s->a.offset);
    const int32_t *b = (const int32_t *) (r->window + s->b.offset);
    int32_t *c = (int32_t *) (r->window + s->c.offset);

    for (uint64_t i = 0; i < s->count; i++)
        c[i * s->c.stride] = a[i * s->a.stride] + b[i * s->b.stride];
}

unsigned fake_compute(FakeRing *r)
{
    RingEntry entry;
    unsigned n = 0;
    int outcome;

    do
        for (; (outcome = ring_host_take(&r->host, &entry)) == RING_ENTRY; n++) {
            const VGPUSubmission *s = &entry.submission;

            assert_int_equal(s->state, VGPU_ENTRY_NEW);
            if (entry.error == VGPU_ERROR_NONE && s->opcode == VGPU_OP_RING_ADD &&
                s->type == VGPU_TYPE_INT32)
                add(r, s);
            ring_host_complete(&r->host, entry.index, s->tag, &(RingResult){.status = entry.error});
        }
    while (outcome == RING_NOTHING && (outcome = ring_host_sleep(&r->host)) == RING_ENTRY);
    assert_int_equal(outcome, RING_NOTHING);
    if (ring_host_must_signal(&r->host))
        fake_signal(r);
    return n;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-ring.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
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

static void map(FakeRing *r)
{
    struct stat st;

    assert_int_equal(fstat(r->window_fd, &st), 0);
    r->size = (uint64_t) st.st_size;
    r->window = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->window_fd, 0);
    assert_true(r->window != MAP_FAILED);
    assert_true(vgpu_ring_is_valid(r->size, r->setup.offset, r->setup.entries));
    r->header = (VGPURingHeader *) (r->window + r->setup.offset);
    r->submissions = (VGPUSubmission *) (r->header + 1);
    r->completions = (VGPUCompletion *) (r->submissions + r->setup.entries);
}

void fake_expect_setup(FakeMediator *m, FakeRing *ret)
{
    WireMessage message;

    fake_expect(m, VGPU_MSG_RING_SETUP, &message);
    assert_int_equal(message.header.payload_len, sizeof(ret->setup));
    assert_int_equal(m->n_fds, VGPU_RING_N_FDS);
    *ret = (FakeRing){.window_fd = m->fds[0], .doorbell = m->fds[1], .completion = m->fds[2]};
    m->n_fds = 0;
    memcpy(&ret->setup, message.payload, sizeof(ret->setup));
    assert_int_equal(ret->setup.flags, 0);
    map(ret);
}

void fake_accept_setup(FakeMediator *m, FakeRing *ret)
{
    fake_accept(m, NULL);
    fake_welcome_ring(m);
    fake_expect_setup(m, ret);
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

/* Not with cmocka: its failures would jump into the test that the parent runs. */
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
    if (ring) { /* shared memory: the parent's too */
        ring->window[ring->size - 1] = FAKE_LAST_WORD;
        if (eventfd_write(ring->completion, 1) < 0)
            return false;
    }
    (void) !wire_send(m->peer, &stopped, NULL); /* a reset may not have waited for it */
    return true;
}

pid_t fake_obey_meanwhile(FakeMediator *m, const FakeRing *ring)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(obey(m, ring) ? 0 : 1);
    return pid;
}

void fake_obeyed(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void fake_ring_close(FakeRing *r)
{
    munmap(r->window, r->size);
    close(r->window_fd);
    close(r->doorbell);
    close(r->completion);
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

static uint32_t execute(FakeRing *r, const VGPUSubmission *s)
{
    bool repeatable;
    uint32_t error = vgpu_submission_check(s, r->size, &repeatable);

    if (error == VGPU_ERROR_NONE && s->opcode == VGPU_OP_RING_ADD && s->type == VGPU_TYPE_INT32)
        add(r, s);
    return error;
}

static void complete(FakeRing *r, VGPUSubmission *s, uint64_t tag, uint32_t error)
{
    uint32_t tail = r->header->cq_tail;

    s->status = error;
    s->cq_index = tail;
    atomic_store((_Atomic uint32_t *) &s->state, VGPU_ENTRY_DONE);
    r->completions[tail % r->setup.entries] = (VGPUCompletion){.tag = tag, .status = error};
    atomic_store((_Atomic uint32_t *) &r->header->cq_tail, tail + 1);
}

unsigned fake_compute(FakeRing *r)
{
    VGPURingHeader *h = r->header;
    uint32_t before = h->cq_tail;
    unsigned n = 0;

    while (h->sq_head != atomic_load((_Atomic uint32_t *) &h->sq_tail)) {
        VGPUSubmission *slot = &r->submissions[h->sq_head % r->setup.entries];
        VGPUSubmission s = *slot;

        assert_int_equal(s.state, VGPU_ENTRY_NEW);
        complete(r, slot, s.tag, execute(r, &s));
        atomic_store((_Atomic uint32_t *) &h->sq_head, h->sq_head + 1);
        n++;
    }
    atomic_store((_Atomic uint32_t *) &h->sq_event, h->sq_head);
    if (n > 0 && vgpu_ring_must_notify(h->cq_event, h->cq_tail, before))
        fake_signal(r);
    return n;
}

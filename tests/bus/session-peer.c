/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "ring-peer.h"
#include "test.h"

int session_peer_hello(uint32_t vm_id)
{
    const VGPUHello hello = {.features = VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, vm_id, 70, VGPU_PRIORITY_LOW, sizeof(hello));
    VGPUWelcome welcome;
    WireMessage m;
    int fd = dial();

    assert_true(wire_send(fd, &h, &hello));
    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_WELCOME);
    memcpy(&welcome, m.payload, sizeof(welcome));
    assert_int_equal(welcome.features, VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS);
    return fd;
}

void session_peer_prepare(SessionGuest *g, const char *command)
{
    session_guest_open(g, &(SessionGuestOptions){.window_size = UINT64_C(1) << 20});
    memset(g->header->command, 0, sizeof(g->header->command));
    memcpy(g->header->command, command, strlen(command));
}

void session_peer_open_with(int fd, const VGPUSessionOpen *open, const int *fds, unsigned n_fds)
{
    VGPUSocketHeader h =
        wire_header(VGPU_MSG_SESSION_OPEN, 5, SESSION_OPEN_ID, VGPU_PRIORITY_LOW, sizeof(*open));

    assert_true(wire_send_fds(fd, &h, open, fds, n_fds));
}

void session_peer_open(int fd, const SessionGuest *g, uint32_t ring)
{
    /* A device does that, too: then the mediator has nothing to seal. */
    assert_int_equal(fcntl(g->fds[SESSION_FD_WINDOW], F_GET_SEALS) & F_SEAL_SEAL ||
                         fcntl(g->fds[SESSION_FD_WINDOW], F_ADD_SEALS, F_SEAL_SEAL) == 0,
                     true);
    session_peer_open_with(fd, &(VGPUSessionOpen){.ring = ring}, g->fds, VGPU_RING_N_FDS);
}

void session_peer_close(int fd, uint32_t ring)
{
    const VGPUSessionRing message = {.ring = ring};
    VGPUSocketHeader h = wire_header(VGPU_MSG_SESSION_CLOSE, 5, SESSION_CLOSE_ID, VGPU_PRIORITY_LOW,
                                     sizeof(message));

    assert_true(wire_send(fd, &h, &message));
}

void expect_session_ready(int fd, uint32_t ring, uint32_t error, uint32_t cuda_result)
{
    VGPUSessionReady ready;
    WireMessage m;

    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_SESSION_READY);
    assert_int_equal(m.header.request_id, SESSION_OPEN_ID);
    memcpy(&ready, m.payload, sizeof(ready));
    assert_int_equal(ready.ring, ring);
    assert_int_equal(ready.error, error);
    assert_int_equal(ready.cuda_result, cuda_result);
}

void expect_session_closed(int fd, uint32_t ring)
{
    VGPUSessionRing closed;
    WireMessage m;

    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_SESSION_CLOSED);
    assert_int_equal(m.header.request_id, SESSION_CLOSE_ID);
    memcpy(&closed, m.payload, sizeof(closed));
    assert_int_equal(closed.ring, ring);
}

void session_peer_up(int fd, SessionGuest *g, uint32_t ring, const char *command)
{
    session_peer_prepare(g, command);
    session_peer_open(fd, g, ring);
    expect_session_ready(fd, ring, VGPU_ERROR_NONE, 0);
}

void session_peer_down(int fd, SessionGuest *g, uint32_t ring)
{
    session_peer_close(fd, ring);
    expect_session_closed(fd, ring);
    session_guest_close(g);
}

void session_peer_ring(const SessionGuest *g)
{
    assert_int_equal(eventfd_write(g->fds[SESSION_FD_DOORBELL], 1), 0);
}

FakeReport session_peer_ask(const SessionGuest *g)
{
    FakeReport report;

    session_peer_ring(g);
    assert_true(session_guest_sleep(g, WIRE_TIMEOUT_MSEC));
    memcpy(&report, g->header->reserved, sizeof(report));
    return report;
}

void session_peer_count(const SessionGuest *g, const FakeFigures *figures)
{
    memcpy(g->header->opening_reserved, figures, sizeof(*figures));
    (void) session_peer_ask(g);
}

/* Of a child whose command line has "--session", and that has not ended. */
static bool is_session_executor(pid_t pid)
{
    char path[64], text[512] = "";
    FILE *f;
    size_t n;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int) pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    return memmem(text, n, "--session", strlen("--session")) != NULL;
}

unsigned session_peer_children(pid_t *ret, unsigned max)
{
    return session_peer_children_of(mediator.pid, ret, max);
}

unsigned session_peer_children_of(pid_t parent, pid_t *ret, unsigned max)
{
    char path[64];
    unsigned n = 0;
    int pid;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int) parent, (int) parent);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fscanf(f, "%d", &pid) == 1) {
        if (!is_session_executor(pid))
            continue;
        if (n < max)
            ret[n] = pid;
        n++;
    }
    fclose(f);
    return n;
}

void wait_for_children(unsigned n, unsigned msec)
{
    uint64_t end = now_usec() + msec * USEC_PER_MSEC;

    while (session_peer_children(NULL, 0) != n) {
        if (now_usec() > end)
            fail_msg("%u executors instead of %u", session_peer_children(NULL, 0), n);
        usleep(2000);
    }
}

void wait_for_fds(unsigned n)
{
    uint64_t end = now_usec() + WIRE_TIMEOUT_MSEC * USEC_PER_MSEC;

    while (count_fds(mediator.pid) != n) {
        if (now_usec() > end)
            fail_msg("%u descriptors instead of %u", count_fds(mediator.pid), n);
        usleep(2000);
    }
}

void session_expect_log(const char *text)
{
    assert_int_equal(test_mediator_wait_log(&mediator, text), 0);
}

/* What was closed may take a moment to be closed. */
unsigned session_stable_fds(void)
{
    unsigned n = count_fds(mediator.pid), equal = 0;

    while (equal < 20) {
        unsigned before = n;

        usleep(10000);
        n = count_fds(mediator.pid);
        equal = n == before ? equal + 1 : 0;
    }
    return n;
}

/* The descriptors of a mediator that has had a session, and has none: what is kept after the first
 * one is there. */
unsigned session_settled_fds(void)
{
    int fd = session_peer_hello(50);
    SessionGuest g;

    session_peer_up(fd, &g, 1, "");
    session_peer_down(fd, &g, 1);
    expect_pong(fd);
    close(fd);
    fd = session_peer_hello(50);
    expect_pong(fd);
    close(fd);
    return session_stable_fds();
}

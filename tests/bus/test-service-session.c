/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CUDA sessions: how a device opens and closes them, what executors do to them, and what stays
 * behind. The executors stand in for the real one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "ring-peer.h"
#include "session-peer.h"
#include "test.h"

/* "Within a second", on a machine that does other things beside. */
#define SOON_MSEC 1000

#define WITH_SPARES "[Pool A]\nBackend=cuda\nWarmSpares=2\n[Unregistered]\nPolicy=allow\n"
#define NO_GPU "[Pool A]\nBackend=cpu\nWarmSpares=2\n[Unregistered]\nPolicy=allow\n"
#define TWO_AT_ALL SESSION_CONFIG "[Sessions]\nMaxSessions=2\n"
#define SMALL_WINDOWS SESSION_CONFIG "[Limits]\nWindowSizeMax=2M\n"
#define TWO_FAULTS SESSION_CONFIG "[Limits]\nFaultLimit=2\n"
#define NO_FAULTS SESSION_CONFIG "[Limits]\nFaultLimit=0\n"

static void expect_log(const char *text)
{
    assert_int_equal(test_mediator_wait_log(&mediator, text), 0);
}

static unsigned count_in_log(const char *text)
{
    char *log = test_mediator_log(&mediator);
    unsigned n = 0;

    for (const char *p = log; log && (p = strstr(p, text)); p++)
        n++;
    free(log);
    return n;
}

/* What was closed may take a moment to be closed. */
static unsigned stable_fds(void)
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
static unsigned settled_fds(void)
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
    return stable_fds();
}

/* ---- Opening and closing --------------------------------------------------------------------- */

TEST(test_round_trip)
{
    int fd = session_peer_hello(5);
    SessionGuest g;

    for (unsigned i = 0; i < 2; i++) {
        session_peer_up(fd, &g, 3, "program");
        assert_int_equal(session_peer_ask(&g).n_doorbells, 1);
        assert_int_equal(session_peer_ask(&g).gate, 1);
        assert_int_equal(session_peer_children(NULL, 0), 1);
        session_peer_down(fd, &g, 3);
        assert_int_equal(session_peer_children(NULL, 0), 0);
    }
    session_peer_up(fd, &g, 3, "program");
    close(fd);
    session_guest_close(&g);
    expect_log("CUDA session 1 opened on ring 3, for process ");
    expect_log("CUDA session 2 of ring 3 ended: the guest closed it");
    expect_log("CUDA session 3 of ring 3 ended: its device is gone");
}

/* Where there is none, and more than once. */
TEST(test_close_is_always_answered)
{
    int fd = session_peer_hello(5);
    SessionGuest g;

    session_peer_close(fd, 15);
    expect_session_closed(fd, 15);

    session_peer_up(fd, &g, 1, "");
    session_peer_close(fd, 2);
    expect_session_closed(fd, 2);
    session_peer_close(fd, 1);
    session_peer_close(fd, 1);
    expect_session_closed(fd, 1);
    expect_session_closed(fd, 1);
    session_peer_close(fd, 1);
    expect_session_closed(fd, 1);
    session_guest_close(&g);

    /* Before it is ready: the one answer is that it is closed. */
    session_peer_prepare(&g, FAKE_HANG);
    session_peer_open(fd, &g, 1);
    session_peer_close(fd, 1);
    expect_session_closed(fd, 1);
    session_guest_close(&g);
    close(fd);
}

/* Each has an executor of its own, and they end in any order. */
TEST(test_several_at_once)
{
    static const unsigned order[] = {3, 8, 1, 6, 2, 5, 4, 7};
    int fd = session_peer_hello(5);
    SessionGuest g[9], extra;
    pid_t pids[8];

    for (unsigned ring = 1; ring <= 8; ring++) {
        session_peer_prepare(&g[ring], "");
        session_peer_open(fd, &g[ring], ring);
    }
    for (unsigned n = 0; n < 8; n++) {
        VGPUSessionReady ready;
        WireMessage m;

        assert_int_equal(wire_receive(fd, &m), 1);
        memcpy(&ready, m.payload, sizeof(ready));
        assert_int_equal(m.header.msg_type, VGPU_MSG_SESSION_READY);
        assert_int_equal(ready.error, VGPU_ERROR_NONE);
    }
    assert_int_equal(session_peer_children(pids, 8), 8);
    for (unsigned ring = 1; ring <= 8; ring++)
        assert_int_equal(session_peer_ask(&g[ring]).n_doorbells, 1);

    /* SessionsMax is 8. One that ends makes room. */
    session_peer_prepare(&extra, "");
    session_peer_open(fd, &extra, 9);
    expect_session_ready(fd, 9, VGPU_ERROR_QUEUE_FULL, 0);
    expect_log("no CUDA session on ring 9: it has as many as SessionsMax allows");
    session_peer_down(fd, &g[order[0]], order[0]);
    session_peer_open(fd, &extra, 9);
    expect_session_ready(fd, 9, VGPU_ERROR_NONE, 0);

    for (unsigned i = 1; i < 8; i++)
        session_peer_down(fd, &g[order[i]], order[i]);
    session_peer_down(fd, &extra, 9);
    assert_int_equal(session_peer_children(NULL, 0), 0);
    close(fd);
}

TEST(test_limit_of_all_vms)
{
    int one = session_peer_hello(5), other = session_peer_hello(6);
    SessionGuest g[3];

    session_peer_up(one, &g[0], 1, "");
    session_peer_up(other, &g[1], 1, "");
    session_peer_prepare(&g[2], "");
    session_peer_open(other, &g[2], 2);
    expect_session_ready(other, 2, VGPU_ERROR_QUEUE_FULL, 0);
    session_peer_down(one, &g[0], 1);
    session_peer_open(other, &g[2], 2);
    expect_session_ready(other, 2, VGPU_ERROR_NONE, 0);
    session_peer_down(other, &g[1], 1);
    session_peer_down(other, &g[2], 2);
    close(one);
    close(other);
}

/* A pool without a GPU, by its configuration and by what its executor says. */
TEST(test_no_device)
{
    int fd = session_peer_hello(5);
    SessionGuest g;

    session_peer_prepare(&g, "");
    session_peer_open(fd, &g, 1);
    expect_session_ready(fd, 1, VGPU_ERROR_CUDA_ERROR, 100);
    session_peer_open(fd, &g, 1);
    expect_session_ready(fd, 1, VGPU_ERROR_CUDA_ERROR, 100);
    assert_int_equal(session_peer_children(NULL, 0), 0);
    session_guest_close(&g);
    close(fd);
}

/* ---- What a device must not do --------------------------------------------------------------- */

static void hello_without_sessions(int fd)
{
    const VGPUHello hello = {.features = VGPU_FEATURE_RING};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 5, 70, VGPU_PRIORITY_LOW, sizeof(hello));
    VGPUWelcome welcome;
    WireMessage m;

    assert_true(wire_send(fd, &h, &hello));
    assert_int_equal(wire_receive(fd, &m), 1);
    memcpy(&welcome, m.payload, sizeof(welcome));
    assert_int_equal(welcome.features, VGPU_FEATURE_RING);
}

TEST(test_broken_protocol)
{
    static const uint32_t no_rings[] = {0, VGPU_RINGS_MAX, 0x80000000, UINT32_MAX};
    const VGPUSessionOpen open = {.ring = 1};
    SessionGuest g;
    int fd;

    session_peer_prepare(&g, "");

    fd = dial();
    session_peer_open(fd, &g, 1);
    expect_closed(fd);
    fd = dial();
    session_peer_close(fd, 1);
    expect_closed(fd);
    fd = dial();
    hello_without_sessions(fd);
    session_peer_open(fd, &g, 1);
    expect_closed(fd);
    fd = dial();
    hello_without_sessions(fd);
    session_peer_close(fd, 1);
    expect_closed(fd);

    for (unsigned n = 0; n < VGPU_RING_N_FDS; n++) {
        fd = session_peer_hello(5);
        session_peer_open_with(fd, &open, g.fds, n);
        expect_closed(fd);
    }
    for (unsigned i = 0; i < ELEMENTSOF(no_rings); i++) {
        fd = session_peer_hello(5);
        session_peer_open(fd, &g, no_rings[i]);
        expect_closed(fd);
        fd = session_peer_hello(5);
        session_peer_close(fd, no_rings[i]);
        expect_closed(fd);
    }

    /* A second one on a ring: while the first is open, and before it is closed. */
    fd = session_peer_hello(5);
    session_peer_open(fd, &g, 1);
    expect_session_ready(fd, 1, VGPU_ERROR_NONE, 0);
    session_peer_open(fd, &g, 1);
    expect_closed(fd);
    fd = session_peer_hello(5);
    session_peer_open(fd, &g, 1);
    session_peer_open(fd, &g, 1);
    expect_closed(fd);

    wait_for_children(0, SOON_MSEC);
    session_guest_close(&g);
}

/* The mediator's own messages, and what is too short. */
TEST(test_wrong_messages)
{
    const char payload[16] = {1};

    for (uint32_t type = VGPU_MSG_SESSION_OPEN; type <= VGPU_MSG_SESSION_CLOSED; type++) {
        int fd = session_peer_hello(5);
        VGPUSocketHeader h = wire_header(type, 5, 1, 0, 7);

        assert_true(wire_send(fd, &h, payload));
        expect_closed(fd);
    }
    for (uint32_t type = VGPU_MSG_SESSION_READY; type <= VGPU_MSG_SESSION_CLOSED; type += 2) {
        int fd = session_peer_hello(5);
        VGPUSocketHeader h = wire_header(type, 5, 1, 0, sizeof(payload));

        assert_true(wire_send(fd, &h, payload));
        expect_closed(fd);
    }
}

static int memfd(uint64_t size, int seals)
{
    int fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t) size), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* What cannot be a session is answered, and no executor is started for it. */
TEST(test_no_session_there)
{
    static const VGPUSessionOpen opens[] = {
        {.ring = 1, .flags = 1},
        {.ring = 1, .offset = 1},
        {.ring = 1, .offset = 2048},
        {.ring = 1, .offset = UINT64_C(1) << 20},
        {.ring = 1, .offset = (UINT64_C(1) << 20) - 4096},
        {.ring = 1, .offset = UINT64_MAX & ~UINT64_C(4095)},
        {.ring = 1, .offset = UINT64_MAX},
    };
    struct {
        int window, doorbell, interrupt;
    } wrong[] = {
        {memfd(UINT64_C(1) << 20, 0), -1, -1},
        {memfd(UINT64_C(1) << 20, F_SEAL_SHRINK | F_SEAL_SEAL), -1, -1},
        {memfd(4096, F_SEAL_SHRINK), -1, -1},
        {memfd(UINT64_C(3) << 20, F_SEAL_SHRINK), -1, -1}, /* WindowSizeMax=2M */
        {open("/dev/null", O_RDWR | O_CLOEXEC), -1, -1},
        {-1, memfd(4096, 0), -1},
        {-1, -1, open("/dev/null", O_RDWR | O_CLOEXEC)},
        {-1, -1, memfd(4096, 0)},
    };
    unsigned n_fds = settled_fds();
    int fd = session_peer_hello(5);
    SessionGuest g;

    session_peer_prepare(&g, "");
    for (unsigned i = 0; i < ELEMENTSOF(opens); i++) {
        session_peer_open_with(fd, &opens[i], g.fds, VGPU_RING_N_FDS);
        expect_session_ready(fd, 1, VGPU_ERROR_INVALID_REQUEST, 0);
    }
    for (unsigned i = 0; i < ELEMENTSOF(wrong); i++) {
        int fds[VGPU_RING_N_FDS] = {
            wrong[i].window >= 0 ? wrong[i].window : g.fds[SESSION_FD_WINDOW],
            wrong[i].doorbell >= 0 ? wrong[i].doorbell : g.fds[SESSION_FD_DOORBELL],
            wrong[i].interrupt >= 0 ? wrong[i].interrupt : g.fds[SESSION_FD_INTERRUPT],
        };

        session_peer_open_with(fd, &opens[0], fds, VGPU_RING_N_FDS);
        expect_session_ready(fd, 1, VGPU_ERROR_INVALID_REQUEST, 0);
        session_peer_open_with(fd, &(VGPUSessionOpen){.ring = 1}, fds, VGPU_RING_N_FDS);
        expect_session_ready(fd, 1, VGPU_ERROR_INVALID_REQUEST, 0);
        close(wrong[i].window >= 0     ? wrong[i].window
              : wrong[i].doorbell >= 0 ? wrong[i].doorbell
                                       : wrong[i].interrupt);
    }
    assert_int_equal(session_peer_children(NULL, 0), 0);

    session_peer_open(fd, &g, 1);
    expect_session_ready(fd, 1, VGPU_ERROR_NONE, 0);
    session_peer_down(fd, &g, 1);
    close(fd);
    wait_for_fds(n_fds);
}

/* One process may hand over eight times WindowSizeMax=, however many rings that is for. */
TEST(test_memory_in_windows)
{
    int fd = session_peer_hello(5);
    SessionGuest g[8];
    unsigned n = 0;

    for (; n < ELEMENTSOF(g); n++) {
        VGPUSessionReady ready;
        WireMessage m;

        session_guest_open(&g[n], &(SessionGuestOptions){.window_size = UINT64_C(2) << 20});
        session_peer_open(fd, &g[n], n + 1);
        assert_int_equal(wire_receive(fd, &m), 1);
        memcpy(&ready, m.payload, sizeof(ready));
        assert_int_equal(ready.error, VGPU_ERROR_NONE);
    }
    /* What it handed over before counts too, as far as there is memory in it. */
    session_peer_down(fd, &g[0], 1);
    session_guest_open(&g[0], &(SessionGuestOptions){.window_size = UINT64_C(2) << 20});
    session_peer_open(fd, &g[0], 1);
    expect_session_ready(fd, 1, VGPU_ERROR_INVALID_REQUEST, 0);
    for (n = 1; n < ELEMENTSOF(g); n++)
        session_peer_down(fd, &g[n], n + 1);
    session_guest_close(&g[0]);
    close(fd);
}

/* ---- What executors do ----------------------------------------------------------------------- */

typedef struct Bad {
    const char *command;
    bool serves; /* until the doorbell */
    uint32_t error, cuda_result;
    const char *log;
} Bad;

static const Bad bad[] = {
    {FAKE_DIE_EARLY, false, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0,
     "its executor died: it exited with status 1"},
    {FAKE_NO_DEVICE, false, VGPU_ERROR_CUDA_ERROR, 100, "cannot serve it: No such device"},
    {FAKE_BAD_CUDA, false, VGPU_ERROR_CUDA_ERROR, 999, "CUDA error 999"},
    {FAKE_BAD_AREA, false, VGPU_ERROR_INVALID_REQUEST, 0, "cannot serve it: Invalid argument"},
    {FAKE_NO_MEMORY, false, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0, "cannot serve it: Cannot allocate"},
    {FAKE_NO_TYPE, false, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0, "it broke the protocol"},
    {FAKE_SHORT, false, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0, "it broke the protocol"},
    {FAKE_LONG, false, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0, "it broke the protocol"},
    {FAKE_EMPTY, false, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0, "it broke the protocol"},
    {FAKE_DIE, true, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0,
     "its executor died: it was killed by signal 6"},
    {FAKE_EXIT, true, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0,
     "its executor died: it exited with status 0"},
    {FAKE_END_VIOLATION, true, VGPU_ERROR_INVALID_REQUEST, 0, "the guest wrote what is no ring"},
    {FAKE_END_TIMEOUT, true, VGPU_ERROR_CUDA_ERROR, 702,
     "a kernel of it ran into KernelTimeoutSec=: CUDA error 702"},
    {FAKE_END_WINDOW, true, VGPU_ERROR_INVALID_REQUEST, 0, "took memory of its window away"},
    {FAKE_END_FAILURE, true, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0, "its executor failed"},
};

/* The guest hears why, and the ring is free at once. */
TEST(test_executors_end)
{
    int fd = session_peer_hello(5);
    SessionGuest g;

    for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
        /* A guest has ten lines in half a minute. */
        if (i % 3 == 2) {
            close(fd);
            assert_int_equal(stop(NULL), 0);
            assert_int_equal(start_with(NO_FAULTS), 0);
            fd = session_peer_hello(5);
        }
        session_peer_prepare(&g, bad[i].command);
        session_peer_open(fd, &g, 1);
        if (bad[i].serves) {
            expect_session_ready(fd, 1, VGPU_ERROR_NONE, 0);
            session_peer_ring(&g);
        }
        expect_session_ready(fd, 1, bad[i].error, bad[i].cuda_result);
        assert_int_equal(session_peer_children(NULL, 0), 0);
        expect_log(bad[i].log);
        session_peer_close(fd, 1);
        expect_session_closed(fd, 1);
        session_guest_close(&g);
    }
    close(fd);
}

/* Those that say more than they may are killed: after the answer that was right. */
TEST(test_executors_talk)
{
    static const char *const commands[] = {FAKE_TWICE, FAKE_CHANGED, FAKE_FLOOD};
    int fd = session_peer_hello(5);
    SessionGuest g;

    for (unsigned i = 0; i < ELEMENTSOF(commands); i++) {
        session_peer_up(fd, &g, 1, commands[i]);
        expect_session_ready(fd, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
        expect_log("it broke the protocol, and was killed");
        session_guest_close(&g);
    }
    session_peer_up(fd, &g, 1, FAKE_ENDED_TWICE);
    expect_session_ready(fd, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    session_guest_close(&g);
    close(fd);
    wait_for_children(0, SOON_MSEC);
}

/* Descriptors that nobody wants are not kept. */
TEST(test_executors_pass_descriptors)
{
    int fd = session_peer_hello(5);
    unsigned n_fds;
    SessionGuest g;

    (void) settled_fds();
    session_peer_up(fd, &g, 1, "");
    n_fds = stable_fds();
    session_peer_down(fd, &g, 1);
    session_peer_up(fd, &g, 1, FAKE_DESCRIPTORS);
    assert_int_equal(stable_fds(), n_fds);
    session_peer_down(fd, &g, 1);
    close(fd);
}

/* It has five seconds from the end of the connection, from ENDED, and from its own hang-up. */
TEST(test_executors_stay)
{
    static const struct {
        const char *command;
        uint32_t error, cuda_result;
    } stays[] = {{FAKE_STAY, 0, 0},
                 {FAKE_HANG_UP, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0},
                 {FAKE_END_STAY, VGPU_ERROR_CUDA_ERROR, 702}};
    int fd[3];
    SessionGuest g[3];
    uint64_t begin;

    for (unsigned i = 0; i < 3; i++) {
        fd[i] = session_peer_hello(5 + i);
        session_peer_up(fd[i], &g[i], 1, stays[i].command);
    }
    begin = now_usec();
    session_peer_close(fd[0], 1);
    session_peer_ring(&g[1]);
    session_peer_ring(&g[2]);

    /* Nothing else waits for that. */
    for (unsigned i = 0; i < 3; i++)
        expect_pong(fd[i]);
    expect_session_closed(fd[0], 1);
    for (unsigned i = 1; i < 3; i++)
        expect_session_ready(fd[i], 1, stays[i].error, stays[i].cuda_result);
    assert_true(now_usec() - begin > 4500 * USEC_PER_MSEC);
    expect_log("CUDA session 1 of ring 1 ended: the guest closed it: its executor did not end in "
               "time, and was killed");
    wait_for_children(0, SOON_MSEC);
    for (unsigned i = 0; i < 3; i++) {
        session_guest_close(&g[i]);
        close(fd[i]);
    }
}

/* START has thirty seconds. */
TEST(test_executors_start_late)
{
    uint64_t begin = now_usec();
    int fd = session_peer_hello(5);
    SessionGuest g;
    WireMessage m;
    VGPUSessionReady ready;

    session_peer_prepare(&g, FAKE_HANG);
    session_peer_open(fd, &g, 1);
    while (wire_receive(fd, &m) == -ETIMEDOUT)
        assert_true(now_usec() - begin < 60 * USEC_PER_SEC);
    assert_int_equal(m.header.msg_type, VGPU_MSG_SESSION_READY);
    memcpy(&ready, m.payload, sizeof(ready));
    assert_int_equal(ready.error, VGPU_ERROR_TIMEOUT);
    assert_true(now_usec() - begin > 29 * USEC_PER_SEC);
    wait_for_children(0, SOON_MSEC);
    session_guest_close(&g);
    close(fd);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* A device that goes takes all its sessions along, in any state, within a second. */
TEST(test_hang_up)
{
    unsigned n_fds = settled_fds();
    int fd = session_peer_hello(5);
    SessionGuest g[4];

    session_peer_up(fd, &g[0], 1, "");
    session_peer_up(fd, &g[1], 2, "");
    session_peer_up(fd, &g[3], 4, "");
    session_peer_prepare(&g[2], "");
    session_peer_open(fd, &g[2], 3);
    session_peer_close(fd, 4);
    close(fd);
    wait_for_children(0, SOON_MSEC);
    for (unsigned i = 0; i < ELEMENTSOF(g); i++)
        session_guest_close(&g[i]);
    wait_for_fds(n_fds);
}

/* A service that ends leaves no executor behind, whatever that does. */
TEST(test_shutdown)
{
    pid_t pids[2];
    SessionGuest g[2];
    int fd = session_peer_hello(5);

    session_peer_up(fd, &g[0], 1, "");
    session_peer_up(fd, &g[1], 2, FAKE_STAY);
    assert_int_equal(session_peer_children(pids, 2), 2);
    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGTERM), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(kill(pids[i], 0), -1);
        assert_int_equal(errno, ESRCH);
        session_guest_close(&g[i]);
    }
    close(fd);
}

static uint64_t memory_of(pid_t pid)
{
    unsigned long long pages = 0;
    char path[40];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int) pid);
    f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%llu", &pages), 1);
    fclose(f);
    return pages * 4096;
}

/* Many sessions, one after the other, leave neither descriptors nor memory behind. */
TEST(test_many)
{
    enum { WARM_UP = 20, N = 150 };
    int fd = session_peer_hello(5);
    unsigned n_fds = 0;
    uint64_t memory = 0;
    SessionGuest g;

    for (unsigned i = 0; i < WARM_UP + N; i++) {
        const Bad *b = &bad[i % ELEMENTSOF(bad)];

        if (i == WARM_UP) {
            n_fds = stable_fds();
            memory = memory_of(mediator.pid);
        }
        session_peer_prepare(&g, i % 2 ? b->command : "");
        session_peer_open(fd, &g, 1 + i % 15);
        if (i % 2 == 0) {
            expect_session_ready(fd, 1 + i % 15, VGPU_ERROR_NONE, 0);
            session_peer_down(fd, &g, 1 + i % 15);
            continue;
        }
        if (b->serves) {
            expect_session_ready(fd, 1 + i % 15, VGPU_ERROR_NONE, 0);
            session_peer_ring(&g);
        }
        expect_session_ready(fd, 1 + i % 15, b->error, b->cuda_result);
        session_guest_close(&g);
    }
    wait_for_fds(n_fds);
    assert_true(memory_of(mediator.pid) < memory + (UINT64_C(2) << 20));
    assert_true(count_in_log("CUDA session") < 30); /* ten in half a minute */
    close(fd);
}

/* ---- Faults ---------------------------------------------------------------------------------- */

/* Two kernels that ran too long, and the VM is quarantined: its other session ends, and it gets no
 * new one. One that nobody registered is its process, with all its connections. */
TEST(test_fault_limit)
{
    int fd = session_peer_hello(5), other = session_peer_hello(6);
    SessionGuest g, good, neighbour;

    session_peer_up(fd, &good, 2, "");
    session_peer_up(other, &neighbour, 2, "");
    /* What is the guest's own affair, or the executor's, does not count. */
    session_peer_up(fd, &g, 1, FAKE_END_VIOLATION);
    session_peer_ring(&g);
    expect_session_ready(fd, 1, VGPU_ERROR_INVALID_REQUEST, 0);
    session_guest_close(&g);

    session_peer_up(fd, &g, 1, FAKE_END_TIMEOUT);
    session_peer_ring(&g);
    expect_session_ready(fd, 1, VGPU_ERROR_CUDA_ERROR, 702);
    session_guest_close(&g);

    /* An error that the context did not survive, after which the guest closes. */
    session_peer_up(fd, &g, 1, "");
    session_peer_count(&g, &(FakeFigures){.sticky = 700});
    session_peer_close(fd, 1);
    expect_session_closed(fd, 1);
    expect_session_ready(fd, 2, VGPU_ERROR_VM_QUARANTINED, 0);
    expect_log("quarantined for 60 s");
    session_peer_open(fd, &g, 1);
    expect_session_ready(fd, 1, VGPU_ERROR_VM_QUARANTINED, 0);

    session_guest_close(&g);
    session_guest_close(&good);
    expect_session_ready(other, 2, VGPU_ERROR_VM_QUARANTINED, 0);
    session_guest_close(&neighbour);
    close(fd);
    close(other);
}

/* ---- Spares ---------------------------------------------------------------------------------- */

/* A session gets the executor that waits, which has been told to get warm, and the next one waits.
 */
TEST(test_spares)
{
    pid_t before[2], after[3];
    SessionGuest g[2];
    int fd;

    wait_for_children(2, WIRE_TIMEOUT_MSEC);
    assert_int_equal(session_peer_children(before, 2), 2);
    fd = session_peer_hello(5);
    session_peer_up(fd, &g[0], 1, "");
    assert_int_equal(session_peer_ask(&g[0]).is_warm, 1);
    wait_for_children(3, WIRE_TIMEOUT_MSEC);
    assert_int_equal(session_peer_children(after, 3), 3);
    assert_int_equal(after[0], before[0]);
    assert_int_equal(after[1], before[1]);

    /* One that died meanwhile is none, and is replaced after a while. */
    assert_int_equal(kill(before[1], SIGKILL), 0);
    while (kill(before[1], 0) == 0)
        usleep(1000);
    session_peer_up(fd, &g[1], 2, "");
    assert_int_equal(session_peer_ask(&g[1]).n_doorbells, 1);
    wait_for_children(4, WIRE_TIMEOUT_MSEC);

    write_config(SESSION_CONFIG);
    assert_int_equal(kill(mediator.pid, SIGHUP), 0);
    wait_for_children(2, WIRE_TIMEOUT_MSEC);
    session_peer_down(fd, &g[0], 1);
    session_peer_down(fd, &g[1], 2);
    wait_for_children(0, SOON_MSEC);
    close(fd);
}

/* ---- Executors that are units ---------------------------------------------------------------- */

/* What systemd does for vgpu-executor.socket, with Accept=yes. */
typedef struct Units {
    char directory[32];
    char path[64];
    pid_t pid;
} Units;

static Units units;

__attribute__((noreturn)) static void run_units(int listener)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd >= 0 && fork() == 0) {
            (void) signal(SIGCHLD, SIG_DFL);
            if (dup2(fd, 3) < 0)
                _exit(126);
            execl(getenv("VGPU_EXECUTOR"), "vgpu-executor", "--session", "--fd=3", NULL);
            _exit(127);
        }
        close(fd);
    }
}

static int start_with_units(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char config[256];
    int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    strcpy(units.directory, "/tmp/vgpu-units-XXXXXX");
    if (listener < 0 || !mkdtemp(units.directory))
        return -1;
    snprintf(units.path, sizeof(units.path), "%s/executor.sock", units.directory);
    strcpy(address.sun_path, units.path);
    if (bind(listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
        listen(listener, 16) < 0)
        return -1;
    units.pid = fork();
    if (units.pid == 0)
        run_units(listener);
    close(listener);
    snprintf(config, sizeof(config), "%s[Sessions]\nExecutorSocket=%s\n", (const char *) *state,
             units.path);
    return start_with(config);
}

static void end_units(void)
{
    if (units.pid <= 0)
        return;
    (void) kill(units.pid, SIGKILL);
    (void) waitpid(units.pid, NULL, 0);
    units.pid = 0;
}

static int stop_with_units(void **state)
{
    int r = stop(state);

    end_units();
    (void) unlink(units.path);
    return rmdir(units.directory) == 0 ? r : -1;
}

static void wait_for_units(unsigned n, unsigned msec)
{
    uint64_t end = now_usec() + msec * USEC_PER_MSEC;

    while (session_peer_children_of(units.pid, NULL, 0) != n) {
        assert_true(now_usec() < end);
        usleep(2000);
    }
}

/* They are not children of the mediator, and end with the session all the same. */
TEST(test_units)
{
    int fd = session_peer_hello(5);
    SessionGuest g[2];
    char text[80];
    pid_t pid;

    session_peer_up(fd, &g[0], 1, "");
    assert_int_equal(session_peer_children_of(units.pid, &pid, 1), 1);
    assert_int_equal(session_peer_children(NULL, 0), 0);
    snprintf(text, sizeof(text), "its executor is process %d", (int) pid);
    expect_log(text);
    session_peer_up(fd, &g[1], 2, "");
    assert_int_equal(session_peer_ask(&g[0]).n_doorbells, 1);
    session_peer_down(fd, &g[0], 1);
    wait_for_units(1, SOON_MSEC);
    assert_int_equal(session_peer_ask(&g[1]).n_doorbells, 1);
    close(fd);
    wait_for_units(0, SOON_MSEC);
    session_guest_close(&g[1]);

    /* Where nobody listens, the mediator starts them. */
    end_units();
    fd = session_peer_hello(5);
    session_peer_up(fd, &g[0], 1, "");
    assert_int_equal(session_peer_children(NULL, 0), 1);
    session_peer_down(fd, &g[0], 1);
    close(fd);
}

TEST(test_units_end)
{
    unsigned n_fds = settled_fds();
    int fd = session_peer_hello(5);
    SessionGuest g;

    for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
        session_peer_prepare(&g, bad[i].command);
        session_peer_open(fd, &g, 1);
        if (bad[i].serves) {
            expect_session_ready(fd, 1, VGPU_ERROR_NONE, 0);
            session_peer_ring(&g);
        }
        expect_session_ready(fd, 1, bad[i].error, bad[i].cuda_result);
        wait_for_units(0, SOON_MSEC);
        session_guest_close(&g);
    }
    close(fd);
    wait_for_fds(n_fds);
}

/* One that does not end is killed: the kernel says who it is. */
TEST(test_units_stay)
{
    static const char *const commands[] = {FAKE_STAY, FAKE_FLOOD, FAKE_TWICE};
    uint64_t begin = now_usec();
    int fd = session_peer_hello(5);
    SessionGuest g;

    session_peer_up(fd, &g, 1, commands[0]);
    session_peer_down(fd, &g, 1);
    assert_true(now_usec() - begin > 4500 * USEC_PER_MSEC);
    wait_for_units(0, SOON_MSEC);
    for (unsigned i = 1; i < ELEMENTSOF(commands); i++) {
        session_peer_up(fd, &g, 1, commands[i]);
        expect_session_ready(fd, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
        wait_for_units(0, SOON_MSEC);
        session_guest_close(&g);
    }
    close(fd);
}

#define WITH_UNITS(config, test)                                          \
    {                                                                     \
#test, test, start_with_units, stop_with_units, (void *) (config) \
    }

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        WITH_MEDIATOR(SESSION_CONFIG, test_round_trip),
        WITH_MEDIATOR(SESSION_CONFIG, test_close_is_always_answered),
        WITH_MEDIATOR(SESSION_CONFIG, test_several_at_once),
        WITH_MEDIATOR(TWO_AT_ALL, test_limit_of_all_vms),
        WITH_MEDIATOR(NO_GPU, test_no_device),
        WITH_MEDIATOR(SESSION_CONFIG, test_broken_protocol),
        WITH_MEDIATOR(SESSION_CONFIG, test_wrong_messages),
        WITH_MEDIATOR(SMALL_WINDOWS, test_no_session_there),
        WITH_MEDIATOR(SMALL_WINDOWS, test_memory_in_windows),
        WITH_MEDIATOR(NO_FAULTS, test_executors_end),
        WITH_MEDIATOR(NO_FAULTS, test_executors_talk),
        WITH_MEDIATOR(SESSION_CONFIG, test_executors_pass_descriptors),
        WITH_MEDIATOR(NO_FAULTS, test_executors_stay),
        WITH_MEDIATOR(SESSION_CONFIG, test_hang_up),
        WITH_MEDIATOR(SESSION_CONFIG, test_shutdown),
        WITH_MEDIATOR(NO_FAULTS, test_many),
        WITH_MEDIATOR(TWO_FAULTS, test_fault_limit),
        WITH_MEDIATOR(WITH_SPARES, test_spares),
        WITH_UNITS(SESSION_CONFIG, test_units),
        WITH_UNITS(NO_FAULTS, test_units_end),
        WITH_UNITS(NO_FAULTS, test_units_stay),
    };
    const struct CMUnitTest late[] = {
        WITH_MEDIATOR(SESSION_CONFIG, test_executors_start_late),
    };

    /* Another argument is a pattern of names. */
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (argc > 1 && strcmp(argv[1], "*late") == 0)
        return cmocka_run_group_tests_name("service-session-late", late, NULL, NULL);
    return cmocka_run_group_tests_name("service-session", tests, NULL, NULL);
}

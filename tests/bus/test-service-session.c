/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CUDA sessions: how a device opens and closes them, what it must not do, and what that costs it.
 * The executors stand in for the real one. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "ring-peer.h"
#include "session-peer.h"
#include "test.h"

#define WITH_SPARES "[Pool A]\nBackend=cuda\nWarmSpares=2\n[Unregistered]\nPolicy=allow\n"
#define NO_GPU "[Pool A]\nBackend=cpu\nWarmSpares=2\n[Unregistered]\nPolicy=allow\n"
#define TWO_AT_ALL SESSION_CONFIG "[Sessions]\nMaxSessions=2\n"
#define SMALL_WINDOWS SESSION_CONFIG "[Limits]\nWindowSizeMax=2M\n"
#define TWO_FAULTS SESSION_CONFIG "[Limits]\nFaultLimit=2\n"

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
    session_expect_log("CUDA session 1 opened on ring 3, for process ");
    session_expect_log("CUDA session 2 of ring 3 ended: the guest closed it");
    session_expect_log("CUDA session 3 of ring 3 ended: its device is gone");
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
    session_expect_log("no CUDA session on ring 9: it has as many as SessionsMax allows");
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
    unsigned n_fds = session_settled_fds();
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
    session_expect_log("quarantined for 60 s");
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
    SessionGuest g[3];
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

    /* One that dies when it hears of its session is replaced, by one that was not waiting. */
    session_peer_up(fd, &g[2], 3, FAKE_DIE_WARM);
    assert_int_equal(session_peer_ask(&g[2]).is_warm, 0);
    session_expect_log("exited with status 1, and it gets another");
    session_peer_down(fd, &g[2], 3);

    /* Once: it may be the session. */
    wait_for_children(4, WIRE_TIMEOUT_MSEC);
    session_peer_prepare(&g[2], FAKE_DIE_EARLY);
    session_peer_open(fd, &g[2], 3);
    expect_session_ready(fd, 3, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    session_guest_close(&g[2]);
    wait_for_children(4, WIRE_TIMEOUT_MSEC);

    write_config(SESSION_CONFIG);
    assert_int_equal(kill(mediator.pid, SIGHUP), 0);
    wait_for_children(2, WIRE_TIMEOUT_MSEC);
    session_peer_down(fd, &g[0], 1);
    session_peer_down(fd, &g[1], 2);
    wait_for_children(0, SOON_MSEC);
    close(fd);
}

int main(void)
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
        WITH_MEDIATOR(TWO_FAULTS, test_fault_limit),
        WITH_MEDIATOR(WITH_SPARES, test_spares),
    };

    return cmocka_run_group_tests_name("service-session", tests, NULL, NULL);
}

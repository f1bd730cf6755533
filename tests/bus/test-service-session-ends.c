/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CUDA sessions: what executors do to them, how they end, and what stays behind. The executors
 * stand in for the real one. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

#define NO_FAULTS SESSION_CONFIG "[Limits]\nFaultLimit=0\n"

static unsigned count_in_log(const char *text)
{
    char *log = test_mediator_log(&mediator);
    unsigned n = 0;

    for (const char *p = log; log && (p = strstr(p, text)); p++)
        n++;
    free(log);
    return n;
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
    {FAKE_HELLO_AGAIN, false, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0, "it broke the protocol"},
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
        session_expect_log(bad[i].log);
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
        session_expect_log("it broke the protocol, and was killed");
        session_guest_close(&g);
    }
    session_peer_up(fd, &g, 1, FAKE_ENDED_TWICE);
    expect_session_ready(fd, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    session_guest_close(&g);
    close(fd);
    wait_for_children(0, SOON_MSEC);
}

/* Nothing of what nobody wants is kept. */
TEST(test_executors_share)
{
    static const char *const commands[] = {
        FAKE_SHARE_KIND,  FAKE_SHARE_SHORT, FAKE_SHARE_ERROR,   FAKE_SHARE_FD,
        FAKE_DESCRIPTORS, FAKE_SHARE_NO_FD, FAKE_SHARE_TWO_FDS, FAKE_SHARE_FLOOD,
    };
    int fd = session_peer_hello(5);
    unsigned n_fds;
    SessionGuest g;

    session_peer_up(fd, &g, 1, "");
    session_peer_down(fd, &g, 1);
    n_fds = session_settled_fds();
    for (unsigned i = 0; i < ELEMENTSOF(commands); i++) {
        session_peer_prepare(&g, commands[i]);
        session_peer_open(fd, &g, 1);
        if (strcmp(commands[i], FAKE_DESCRIPTORS) != 0)
            expect_session_ready(fd, 1, VGPU_ERROR_NONE, 0);
        session_peer_ring(&g);
        expect_session_ready(fd, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
        session_guest_close(&g);
        assert_int_equal(session_settled_fds(), n_fds);
        if (i % 3 == 2) {
            close(fd);
            assert_int_equal(stop(NULL), 0);
            assert_int_equal(start_with(NO_FAULTS), 0);
            fd = session_peer_hello(5);
            session_peer_up(fd, &g, 1, "");
            session_peer_down(fd, &g, 1);
            n_fds = session_settled_fds();
        }
    }
    close(fd);
}

/* A guest can have its executor ask without end: it gets its answers at a pace that costs nobody
 * else anything. */
TEST(test_executors_ask)
{
    int fd = session_peer_hello(5);
    SessionGuest g, other;
    uint64_t began;

    session_peer_up(fd, &g, 1, FAKE_SHARE_ASK);
    began = now_usec();
    session_peer_ring(&g);
    session_peer_up(fd, &other, 2, "");
    (void) session_peer_ask(&other);
    assert_true(session_guest_sleep(&g, SESSION_GUEST_TIMEOUT_MSEC));
    assert_true(now_usec() - began > USEC_PER_SEC);
    session_peer_down(fd, &other, 2);
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
    session_expect_log(
        "CUDA session 1 of ring 1 ended: the guest closed it: its executor did not end in "
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
    unsigned n_fds = session_settled_fds();
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
    session_expect_log(" of ring 2 ended: its device is gone");
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
            n_fds = session_stable_fds();
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
    session_expect_log(text);
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
    unsigned n_fds = session_settled_fds();
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
        WITH_MEDIATOR(NO_FAULTS, test_executors_end),
        WITH_MEDIATOR(NO_FAULTS, test_executors_talk),
        WITH_MEDIATOR(NO_FAULTS, test_executors_share),
        WITH_MEDIATOR(SESSION_CONFIG, test_executors_ask),
        WITH_MEDIATOR(NO_FAULTS, test_executors_stay),
        WITH_MEDIATOR(SESSION_CONFIG, test_hang_up),
        WITH_MEDIATOR(SESSION_CONFIG, test_shutdown),
        WITH_MEDIATOR(NO_FAULTS, test_many),
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
    return cmocka_run_group_tests_name("service-session-ends", tests, NULL, NULL);
}

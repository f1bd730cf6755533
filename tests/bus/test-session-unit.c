/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CUDA sessions whose executors systemd starts: systemd-socket-activate(1) does what
 * vgpu-executor.socket has the manager do, a process for each connection. And vgpuctl with a
 * mediator that has such sessions. The executors stand in for the real one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "session-peer.h"
#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

#define ACTIVATOR "/usr/bin/systemd-socket-activate"
#define SESSION(id) VGPU_OBJECT_SESSION "/" id

static char directory[] = "/tmp/vgpu-unit.XXXXXX", path[64];
static pid_t activator;

static void start_activator(void)
{
    activator = fork();
    assert_true(activator >= 0);
    if (activator == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        execl(ACTIVATOR, ACTIVATOR, "--seqpacket", "--accept", "--listen", path,
              getenv("VGPU_EXECUTOR"), "--session", "--fd=3", NULL);
        _exit(126);
    }
    for (uint64_t until = now_usec() + 10 * USEC_PER_SEC; access(path, F_OK) < 0; usleep(1000))
        assert_true(now_usec() < until);
}

static void stop_activator(void)
{
    if (activator > 0) {
        (void) kill(activator, SIGTERM);
        (void) waitpid(activator, NULL, 0);
    }
    activator = 0;
}

static int start(void **state)
{
    char config[256];

    (void) state;
    snprintf(config, sizeof(config), SESSION_CONFIG "[Sessions]\nExecutorSocket=%s\n", path);
    return world_start(config);
}

static int end(void **state)
{
    stop_activator();
    (void) unlink(path);
    return world_end(state);
}

/* The parent of a process, or 0 where there is none such. */
static pid_t parent_of(pid_t pid)
{
    char name[64];
    int parent = 0;
    FILE *f;

    snprintf(name, sizeof(name), "/proc/%d/stat", (int) pid);
    f = fopen(name, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%*d (%*[^)]) %*c %d", &parent) != 1)
        parent = 0;
    fclose(f);
    return parent;
}

static void wait_for_end(pid_t pid)
{
    for (uint64_t until = now_usec() + 10 * USEC_PER_SEC; parent_of(pid) == activator; usleep(1000))
        assert_true(now_usec() < until);
}

static pid_t executor_of(const char *session)
{
    return (pid_t) get_u32(session, VGPU_INTERFACE_SESSION, "ExecutorPID");
}

#define expect_in(text, ...) expect_in_at(__LINE__, CTL_ARGUMENTS(__VA_ARGS__), text)
static void expect_in_at(int line, const char *const *arguments, const char *text)
{
    Ctl c = ctl_run_arguments(0, arguments);

    if (c.status != 0 || !strstr(c.out, text))
        fail_msg("line %d: no '%s' in: %s%s", line, text, c.out, c.err);
    ctl_release(&c);
}

/* ---- The unit's way ------------------------------------------------------------------------ */

/* It is another's child, and the mediator knows its number by the kernel. */
TEST(test_an_executor_for_each_connection)
{
    SessionGuest g[2];
    pid_t first, second;
    int fd;

    start_activator();
    fd = session_peer_hello(7);
    session_peer_up(fd, &g[0], 1, "one");
    session_peer_up(fd, &g[1], 2, "two");
    assert_int_equal(session_peer_children(NULL, 0), 0);
    first = executor_of(SESSION("1"));
    second = executor_of(SESSION("2"));
    assert_int_not_equal(first, second);
    assert_int_equal(parent_of(first), activator);
    assert_int_equal(parent_of(second), activator);

    /* The end of one is no other's. */
    session_peer_down(fd, &g[0], 1);
    wait_for_end(first);
    assert_int_equal(parent_of(second), activator);
    assert_int_equal(session_peer_ask(&g[1]).n_doorbells, 1);

    /* Nor is that of the mediator's connection to the device anything but the end. */
    close(fd);
    wait_for_end(second);
    session_guest_close(&g[1]);
}

/* One that dies is noticed, and one that stays is killed. */
TEST(test_the_end_of_an_executor)
{
    SessionGuest g;
    pid_t pid;
    int fd;

    start_activator();
    fd = session_peer_hello(7);
    session_peer_up(fd, &g, 1, "");
    pid = executor_of(SESSION("1"));
    assert_int_equal(kill(pid, SIGKILL), 0);
    expect_session_ready(fd, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    session_peer_down(fd, &g, 1);

    session_peer_up(fd, &g, 1, FAKE_STAY);
    pid = executor_of(SESSION("2"));
    session_peer_down(fd, &g, 1);
    wait_for_end(pid);
    close(fd);
}

/* Where nobody listens any more, there are sessions all the same. */
TEST(test_without_a_listener)
{
    SessionGuest g;
    pid_t child;
    int fd;

    start_activator();
    stop_activator();
    assert_int_equal(access(path, F_OK), 0);
    fd = session_peer_hello(7);
    session_peer_up(fd, &g, 1, "");
    assert_int_equal(session_peer_children(&child, 1), 1);
    assert_int_equal(executor_of(SESSION("1")), child);
    session_peer_down(fd, &g, 1);
    close(fd);
}

/* ---- vgpuctl ------------------------------------------------------------------------------- */

TEST(test_vgpuctl)
{
    char expected[128];
    SessionGuest g[2];
    Ctl c;
    int fd;

    start_activator();
    fd = session_peer_hello(7);
    ctl_expect("No sessions.\n", "sessions");
    session_peer_up(fd, &g[0], 1, "evil\n\033[2J");
    session_peer_up(fd, &g[1], 2, "program");
    session_peer_count(&g[1], &(FakeFigures){.memory = 1 << 20,
                                             .memory_peak = 2 << 20,
                                             .launches = 5,
                                             .bytes_to_device = 4096,
                                             .device_usec = 2000});

    c = ctl_run("sessions", "unregistered-7");
    assert_null(strchr(c.out, '\033'));
    assert_non_null(strstr(c.out, " evil\\x0a\\x1b[2J "));
    snprintf(expected, sizeof(expected), " 2 unregistered-7 %d program ", (int) getpid());
    assert_non_null(strstr(c.out, expected));
    assert_non_null(strstr(c.out, " A    open  1.0M 2.0M    0.0        5\n"));
    ctl_release(&c);
    expect_in("    Sessions: 2 of 8, with 1.0M of device memory\n", "status", "unregistered-7");
    expect_in("  Session 2: program (guest's PID ", "status", "unregistered-7");
    expect_in("    2 1.0M\n", "list", "--interval=0");
    expect_in("\nvgpu_vm_session_device_seconds_total{vm=\"unregistered-7\"} 0.002000\n",
              "metrics");

    ctl_expect("", "end-session", "2");
    expect_session_ready(fd, 2, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    expect_in("\n1 sessions listed.\n", "sessions");
    c = ctl_run("end-session", "2");
    assert_int_equal(c.status, 1);
    assert_true(strncmp(c.err, "Failed to end session 2: ", 25) == 0);
    ctl_release(&c);
    /* What it has done stays the VM's. */
    expect_in("      CUDA work: 2ms on the device, 5 launches, 4.0K to it, 0B from it, 0 faults\n",
              "status", "unregistered-7");
    expect_in("\nvgpu_vm_session_launches_total{vm=\"unregistered-7\"} 5\n", "metrics");

    session_guest_close(&g[0]);
    session_guest_close(&g[1]);
    close(fd);
}

#define WITH_BUS(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUS(test_an_executor_for_each_connection),
        WITH_BUS(test_the_end_of_an_executor),
        WITH_BUS(test_without_a_listener),
        WITH_BUS(test_vgpuctl),
    };
    int r;

    if (access(ACTIVATOR, X_OK) < 0) {
        puts("1..0 # SKIP there is no " ACTIVATOR);
        return 0;
    }
    if (!mkdtemp(directory))
        return EXIT_FAILURE;
    snprintf(path, sizeof(path), "%s/executor.sock", directory);
    r = cmocka_run_group_tests_name("session-unit", tests, NULL, NULL);
    (void) rmdir(directory);
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CUDA sessions whose executors systemd starts, as other users: systemd-socket-activate(1) does
 * what vgpu-executor.socket has the manager do, a process for each connection. And vgpuctl with a
 * mediator that has such sessions. The executors stand in for the real one.
 */
#include <errno.h>
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
#define SETPRIV "/usr/bin/setpriv"
#define ACCEPTS 0x10000 /* a flag in /proc/net/unix: __SO_ACCEPTCON of the kernel's net.h */
#define SESSION(id) VGPU_OBJECT_SESSION "/" id

static char directory[] = "/tmp/vgpu-unit.XXXXXX", path[64], executor[64];
static pid_t activator;

/* Whether somebody listens at @path. A socket that has its name and does not listen yet refuses,
 * and the mediator then starts an executor by itself. */
static bool is_listening(void)
{
    unsigned int flags = 0;
    char line[512];
    FILE *f = fopen("/proc/net/unix", "re");

    assert_non_null(f);
    while (!(flags & ACCEPTS) && fgets(line, sizeof(line), f))
        if (!strstr(line, path) || sscanf(line, "%*s %*s %*s %x", &flags) != 1)
            flags = 0;
    fclose(f);
    return (flags & ACCEPTS) != 0;
}

/* @user: as whom executors run, a number */
static void start_activator(const char *user)
{
    char as[32];

    snprintf(as, sizeof(as), "--reuid=%s", user);
    activator = fork();
    assert_true(activator >= 0);
    if (activator == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        execl(ACTIVATOR, ACTIVATOR, "--seqpacket", "--accept", "--listen", path, SETPRIV, as,
              "--clear-groups", "--", executor, "--session", "--fd=3", NULL);
        _exit(126);
    }
    for (uint64_t until = now_usec() + 10 * USEC_PER_SEC; !is_listening(); usleep(1000))
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

static void wait_for_log(const char *text)
{
    bool found = false;

    for (uint64_t until = now_usec() + 20 * USEC_PER_SEC; !found; usleep(10000)) {
        char *log = test_mediator_log(&mediator);

        assert_non_null(log);
        found = strstr(log, text) != NULL;
        free(log);
        assert_true(found || now_usec() < until);
    }
}

#define expect_in(text, ...) expect_in_at(__LINE__, CTL_ARGUMENTS(__VA_ARGS__), text)
static void expect_in_at(int line, const char *const *arguments, const char *text)
{
    Ctl c = ctl_run_arguments(0, arguments);

    if (c.status != 0 || !strstr(c.out, text))
        fail_msg("line %d: no '%s' in: %s%s", line, text, c.out, c.err);
    ctl_release(&c);
}

/* ---- Another user's ------------------------------------------------------------------------ */

typedef struct FakeSystemd {
    const char *unit; /* the path of every process's unit */
    uint32_t pid;     /* of the last process that was asked about */
} FakeSystemd;

/* A process that systemd does not kill although it was asked to would be waited for in vain. */
static int systemd_on_call(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    FakeSystemd *f = userdata;
    const char *who;
    int32_t signal;

    if (sd_bus_message_is_method_call(call, "org.freedesktop.systemd1.Manager", "GetUnitByPID") >
        0) {
        if (sd_bus_message_read(call, "u", &f->pid) < 0)
            return -EINVAL;
        return sd_bus_reply_method_return(call, "o", f->unit);
    }
    if (sd_bus_message_is_method_call(call, "org.freedesktop.systemd1.Unit", "Kill") <= 0)
        return 0;
    if (sd_bus_message_read(call, "si", &who, &signal) < 0 || strcmp(who, "all") != 0 ||
        signal != SIGKILL || strcmp(sd_bus_message_get_path(call), f->unit) != 0)
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "not what the test expects");
    (void) kill((pid_t) f->pid, SIGKILL);
    return sd_bus_reply_method_return(call, NULL);
}

static pid_t start_systemd(const char *unit)
{
    FakeSystemd fake = {.unit = unit};
    sd_bus *own = NULL;
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (sd_bus_open_system(&own) < 0 ||
            sd_bus_add_fallback(own, NULL, "/org/freedesktop/systemd1", systemd_on_call, &fake) <
                0 ||
            sd_bus_request_name(own, "org.freedesktop.systemd1", 0) < 0 ||
            write(ready[1], "", 1) != 1)
            _exit(EXIT_FAILURE);
        while (sd_bus_process(own, NULL) > 0 || sd_bus_wait(own, UINT64_MAX) >= 0)
            continue;
        _exit(EXIT_FAILURE);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void stop_systemd(pid_t pid)
{
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
}

/* A mediator that may signal processes of its own user alone, as where it is not root. */
static int start_without_kill(void **state)
{
    char program[sizeof(directory) + 16], *real = strdup(getenv("VGPU_MEDIATORD"));
    FILE *f;
    int r;

    snprintf(program, sizeof(program), "%s/mediator", directory);
    f = fopen(program, "we");
    if (!f || !real)
        return -1;
    fprintf(f, "#!/bin/sh\nexec setpriv --inh-caps=-kill --bounding-set=-kill -- '%s' \"$@\"\n",
            real);
    fclose(f);
    (void) chmod(program, 0700);
    setenv("VGPU_MEDIATORD", program, 1);
    r = start(state);
    setenv("VGPU_MEDIATORD", real, 1);
    free(real);
    (void) unlink(program);
    return r;
}

/* An executor that stays, for ever. Returns its process. */
static pid_t leave_one_that_stays(int fd)
{
    SessionGuest g;
    pid_t pid;

    start_activator("65534");
    session_peer_up(fd, &g, 1, FAKE_STAY);
    pid = executor_of(SESSION("1"));
    assert_int_equal(parent_of(pid), activator);
    session_peer_close(fd, 1);
    session_guest_close(&g);
    return pid;
}

/* Whoever has another user, as DynamicUser= gives it, is killed by systemd. */
TEST(test_systemd_kills)
{
    pid_t systemd = start_systemd("/org/freedesktop/systemd1/unit/vgpu_2dexecutor_401_2d2_2d3_2e"
                                  "service"),
          pid;
    int fd = session_peer_hello(7);

    pid = leave_one_that_stays(fd);
    expect_session_closed(fd, 1);
    wait_for_end(pid);
    close(fd);
    stop_systemd(systemd);
}

/* The number of a process that has ended may be that of another, which is nobody's to kill. */
TEST(test_no_other_unit_is_killed)
{
    pid_t systemd = start_systemd("/org/freedesktop/systemd1/unit/cron_2eservice"), pid;
    int fd = session_peer_hello(7);

    pid = leave_one_that_stays(fd);
    wait_for_log("systemd does not kill it: its process is in another unit");
    assert_int_equal(parent_of(pid), activator);
    /* The session is there as long as its executor. */
    expect_in(" ending ", "sessions");
    assert_int_equal(kill(pid, SIGKILL), 0);
    expect_session_closed(fd, 1);
    close(fd);
    stop_systemd(systemd);
}

/* Nor does one stay that has never answered. */
TEST(test_systemd_kills_what_hangs)
{
    pid_t systemd = start_systemd("/org/freedesktop/systemd1/unit/vgpu_2dexecutor_401_2d2_2d3_2e"
                                  "service"),
          pid;
    int fd = session_peer_hello(7);
    uint64_t begin = now_usec();
    SessionGuest g;
    WireMessage m;

    start_activator("65534");
    session_peer_prepare(&g, FAKE_HANG);
    session_peer_open(fd, &g, 1);
    do {
        usleep(1000);
        pid = executor_of(SESSION("1"));
    } while (pid == 0);
    assert_int_equal(parent_of(pid), activator);
    while (wire_receive(fd, &m) == -ETIMEDOUT)
        assert_true(now_usec() - begin < 60 * USEC_PER_SEC);
    assert_int_equal(m.header.msg_type, VGPU_MSG_SESSION_READY);
    wait_for_end(pid);
    session_guest_close(&g);
    close(fd);
    stop_systemd(systemd);
}

/* ---- vgpuctl ------------------------------------------------------------------------------- */

TEST(test_vgpuctl)
{
    char expected[128];
    SessionGuest g[2];
    Ctl c;
    int fd;

    start_activator("0");
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
    assert_non_null(strstr(c.out, " A    0      open  1.0M 2.0M    0.0        5\n"));
    ctl_release(&c);
    expect_in("    Sessions: 2 of 8, with 1.0M of device memory\n", "status", "unregistered-7");
    expect_in("  Session 2: program (guest's PID ", "status", "unregistered-7");
    expect_in("    2 1.0M\n", "list", "--interval=0");
    expect_in("\nvgpu_vm_session_device_seconds_total{vm=\"unregistered-7\"} 0.002000\n",
              "metrics");

    ctl_expect("", "end-session", "2");
    expect_session_ready(fd, 2, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    expect_in("\n1 session listed.\n", "sessions");
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

/* To where every user can run it: others may have no access to the build tree. */
static int copy_executor(void)
{
    char script[512];

    snprintf(script, sizeof(script), "install -m 755 '%s' '%s'", getenv("VGPU_EXECUTOR"), executor);
    return system(script) == 0 ? 0 : -1;
}

#define WITH_BUS(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_systemd_kills, start_without_kill, end),
        cmocka_unit_test_setup_teardown(test_no_other_unit_is_killed, start_without_kill, end),
        cmocka_unit_test_setup_teardown(test_systemd_kills_what_hangs, start_without_kill, end),
        WITH_BUS(test_vgpuctl),
    };
    int r;

    if (access(ACTIVATOR, X_OK) < 0 || access(SETPRIV, X_OK) < 0) {
        puts("1..0 # SKIP there is no " ACTIVATOR ", or no " SETPRIV);
        return 0;
    }
    if (!mkdtemp(directory) || chmod(directory, 0755) < 0)
        return EXIT_FAILURE;
    snprintf(path, sizeof(path), "%s/executor.sock", directory);
    snprintf(executor, sizeof(executor), "%s/session-executor", directory);
    if (copy_executor() < 0)
        return EXIT_FAILURE;
    r = cmocka_run_group_tests_name("session-unit", tests, NULL, NULL);
    (void) unlink(executor);
    (void) rmdir(directory);
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl where it runs on: top on a terminal, monitor. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static int start(void **state)
{
    (void) state;
    return world_start("[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n");
}

/* ---- top ---------------------------------------------------------------------------------- */

/* The terminal of the present test. Our own descriptor keeps its last settings. */
static int terminal;

/* Does the terminal read whole lines and echo them, as it did before? */
static bool is_as_before(void)
{
    struct termios now;

    assert_int_equal(tcgetattr(terminal, &now), 0);
    return (now.c_lflag & ICANON) && (now.c_lflag & ECHO);
}

/* Starts it and waits for its first picture. */
static void start_top(CtlProcess *top)
{
    ctl_start_terminal(top, 0, "top", "--interval=0.1");
    terminal = ioctl(top->fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    ctl_wait_for(top, ENTER);
    ctl_wait_for(top, "REQUESTS FAILED");
    assert_false(is_as_before());
}

/* top ends with @status and writes @last, and the terminal is as it was. */
static void expect_restored(CtlProcess *top, int status, const char *last)
{
    siginfo_t si;
    char *rest;

    ctl_wait_for(top, LEAVE);
    assert_int_equal(waitid(P_PID, (id_t) top->pid, &si, WEXITED | WNOWAIT), 0);
    assert_true(is_as_before());
    close(terminal);
    assert_int_equal(ctl_end(top, &rest), status);
    assert_string_equal(rest, last);
    free(rest);
}

TEST(test_top_shows_what_changes)
{
    CtlProcess top;

    register_vm("first", 1, "A", "high");
    start_top(&top);
    ctl_wait_for(&top, "first");
    register_vm("second", 2, "A", "low");
    ctl_wait_for(&top, "2 VMs, 0 connected");
    ctl_wait_for(&top, "second");
    call_manager(NULL, "PauseVM", "s", "second");
    ctl_wait_for(&top, "paused");
    unregister_vm("first");
    unregister_vm("second");
    ctl_wait_for(&top, "0 VMs, 0 connected");
    ctl_press(&top, "q");
    expect_restored(&top, 0, "");
}

TEST(test_top_sorts)
{
    CtlProcess top;

    register_vm("aa", 1, "A", "low");
    register_vm("bb", 2, "A", "high");
    start_top(&top);
    ctl_wait_for(&top, "by rate");
    ctl_press(&top, "p");
    ctl_wait_for(&top, "by priority");
    ctl_wait_for(&top, "\033[Kbb ");
    ctl_wait_for(&top, "\033[Kaa ");
    ctl_press(&top, "R");
    ctl_wait_for(&top, "by priority reversed");
    ctl_wait_for(&top, "\033[Kaa ");
    ctl_wait_for(&top, "\033[Kbb ");
    ctl_press(&top, "Rn");
    ctl_wait_for(&top, "by name,");
    ctl_wait_for(&top, "\033[Kaa ");
    ctl_wait_for(&top, "\033[Kbb ");
    for (const char *keys = "urwx"; *keys; keys++) {
        static const char *const names[] = {"by queue", "by rate", "by wait", "by run"};

        ctl_press(&top, (char[]){*keys, '\0'});
        ctl_wait_for(&top, names[strchr("urwx", *keys) - "urwx"]);
    }
    ctl_press(&top, "q");
    expect_restored(&top, 0, "");
    unregister_vm("aa");
    unregister_vm("bb");
}

/* The screen has as many lines as the terminal; scrolling shows the other VMs. */
TEST(test_top_resizes)
{
    struct winsize small = {.ws_row = 12, .ws_col = 60};
    char name[16];
    CtlProcess top;

    for (uint8_t i = 1; i <= 40; i++) {
        snprintf(name, sizeof(name), "vm-%u", i);
        register_vm(name, i, "A", "low");
    }
    start_top(&top);
    ctl_press(&top, "n");
    ctl_wait_for(&top, "by name");
    ctl_wait_for(&top, "\033[24Hq quit");
    assert_int_equal(ioctl(top.fd, TIOCSWINSZ, &small), 0);
    ctl_wait_for(&top, "\033[12Hq quit");

    /* Six lines above the VMs, the keys below. */
    ctl_wait_for(&top, "\033[Kvm-5 ");
    for (unsigned i = 0; i < 35; i++)
        ctl_press(&top, "\033[B");
    ctl_wait_for(&top, "\033[Kvm-40 ");
    ctl_press(&top, "\033[A");
    ctl_wait_for(&top, "\033[Kvm-35 ");
    ctl_press(&top, "q");
    expect_restored(&top, 0, "");

    for (uint8_t i = 1; i <= 40; i++) {
        snprintf(name, sizeof(name), "vm-%u", i);
        unregister_vm(name);
    }
}

/* top ends cleanly at each signal, and at ^C. */
TEST(test_top_ends)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    CtlProcess top;

    for (unsigned i = 0; i < 4; i++) {
        start_top(&top);
        assert_int_equal(kill(top.pid, signals[i]), 0);
        expect_restored(&top, 0, "");
    }
    start_top(&top);
    ctl_press(&top, "\003");
    expect_restored(&top, 0, "");
}

TEST(test_top_stops_and_goes_on)
{
    CtlProcess top;
    int status;

    start_top(&top);
    assert_int_equal(kill(top.pid, SIGTSTP), 0);
    ctl_wait_for(&top, LEAVE);
    assert_int_equal(waitpid(top.pid, &status, WUNTRACED), top.pid);
    assert_true(WIFSTOPPED(status));
    assert_true(is_as_before());
    assert_int_equal(kill(top.pid, SIGCONT), 0);
    ctl_wait_for(&top, ENTER);
    ctl_wait_for(&top, "REQUESTS FAILED");
    ctl_press(&top, "q");
    expect_restored(&top, 0, "");
}

/* The keys work while the mediator does not answer. */
TEST(test_top_without_answers)
{
    CtlProcess top;

    start_top(&top);
    assert_int_equal(kill(mediator.pid, SIGSTOP), 0);
    ctl_press(&top, "p");
    ctl_wait_for(&top, "by priority");
    assert_int_equal(kill(mediator.pid, SIGCONT), 0);

    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGTERM), 0);
    ctl_wait_for(&top, "The mediator is not running, and cannot be started.");
    assert_int_equal(test_mediator_run(&mediator, "system"), 0);
    wait_for_name();
    register_vm("again", 1, "A", "low");
    ctl_wait_for(&top, "1 VM, ");
    ctl_wait_for(&top, "\033[Kagain ");
    ctl_press(&top, "q");
    expect_restored(&top, 0, "");
    unregister_vm("again");
}

TEST(test_top_needs_a_terminal)
{
    ctl_refuse("'top' needs a terminal. See 'list'.", "top");
    ctl_refuse("'top' is for a terminal, and takes no --json=. See 'list'.", "top", "--json=short");
}

/* ---- monitor ------------------------------------------------------------------------------ */

static void start_monitor(CtlProcess *monitor, const char *json)
{
    ctl_start(monitor, 0, "monitor", json);
    ctl_wait_for(monitor, "Showing changes as they happen.\n");
}

/* The next line, without its time. */
static void expect_line(CtlProcess *monitor, const char *expected)
{
    char *line = ctl_read_line(monitor), month[4];
    int day, hour, minute, second, usec, n = 0;

    assert_int_equal(
        sscanf(line, "%3s %d %d:%d:%d.%d %n", month, &day, &hour, &minute, &second, &usec, &n), 6);
    assert_string_equal(line + n, expected);
    free(line);
}

static void expect_json(CtlProcess *monitor, const char *expected)
{
    char *line = ctl_read_line(monitor);
    unsigned long long usec;
    int n = 0;

    assert_int_equal(sscanf(line, "{\"timestamp\":%llu,%n", &usec, &n), 1);
    assert_true(usec > UINT64_C(1700000000000000));
    assert_string_equal(line + n, expected);
    free(line);
}

TEST(test_monitor)
{
    CtlProcess text, json;
    char line[128];
    int fd;

    start_monitor(&text, "--json=off");
    start_monitor(&json, "--json=short");

    register_vm("w\"eb", 1, "A", "high");
    fd = dial();
    hello(fd, 1, VGPU_PRIORITY_HIGH, NULL);
    expect_welcome(fd);
    call_manager(NULL, "SetVMPriority", "ssb", "w\"eb", "low", 1);
    call_manager(NULL, "RevertVM", "sas", "w\"eb", 0);
    call_manager(NULL, "ConfigureVM", "sa{sv}", "w\"eb", 1, "Priority", "s", "medium");
    call_manager(NULL, "PauseVM", "s", "w\"eb");
    call_manager(NULL, "QuarantineVM", "s", "w\"eb");
    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Pause", NULL);
    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Resume", NULL);
    unregister_vm("w\"eb");
    close(fd);

    expect_line(&text, "VM w\"eb added");
    snprintf(line, sizeof(line), "VM w\"eb changed: Connected=true LeaderPID=%d", getpid());
    expect_line(&text, line);
    expect_line(&text, "VM w\"eb changed: Priority=low");
    expect_line(&text, "VM w\"eb changed: Priority=high");
    expect_line(&text, "VM w\"eb changed: ConfiguredPriority=medium");
    expect_line(&text, "VM w\"eb changed: Priority=medium");
    expect_line(&text, "VM w\"eb changed: Paused=true");
    expect_line(&text, "VM w\"eb changed: Quarantined=true QuarantineReason=administrator");
    expect_line(&text, "pool A changed: Paused=true");
    expect_line(&text, "pool A changed: Paused=false");
    expect_line(&text, "VM w\"eb removed");

    expect_json(&json, "\"event\":\"added\",\"vm\":\"w\\\"eb\"}");
    snprintf(line, sizeof(line),
             "\"event\":\"changed\",\"vm\":\"w\\\"eb\",\"properties\":{\"Connected\":true,"
             "\"LeaderPID\":%d}}",
             getpid());
    expect_json(&json, line);
    expect_json(&json,
                "\"event\":\"changed\",\"vm\":\"w\\\"eb\",\"properties\":{\"Priority\":\"low\"}}");
    expect_json(&json,
                "\"event\":\"changed\",\"vm\":\"w\\\"eb\",\"properties\":{\"Priority\":\"high\"}}");
    expect_json(&json, "\"event\":\"changed\",\"vm\":\"w\\\"eb\",\"properties\":{"
                       "\"ConfiguredPriority\":\"medium\"}}");
    expect_json(&json, "\"event\":\"changed\",\"vm\":\"w\\\"eb\",\"properties\":{"
                       "\"Priority\":\"medium\"}}");
    expect_json(&json,
                "\"event\":\"changed\",\"vm\":\"w\\\"eb\",\"properties\":{\"Paused\":true}}");
    expect_json(&json,
                "\"event\":\"changed\",\"vm\":\"w\\\"eb\",\"properties\":{\"Quarantined\":true,"
                "\"QuarantineReason\":\"administrator\"}}");
    expect_json(&json, "\"event\":\"changed\",\"pool\":\"A\",\"properties\":{\"Paused\":true}}");
    expect_json(&json, "\"event\":\"changed\",\"pool\":\"A\",\"properties\":{\"Paused\":false}}");
    expect_json(&json, "\"event\":\"removed\",\"vm\":\"w\\\"eb\"}");

    assert_int_equal(kill(text.pid, SIGTERM), 0);
    assert_int_equal(ctl_end(&text, NULL), 0);
    assert_int_equal(kill(json.pid, SIGINT), 0);
    assert_int_equal(ctl_end(&json, NULL), 0);
}

/* No change is missing, and each is in its place. */
TEST(test_monitor_many)
{
    CtlProcess monitor;
    char name[32], line[64];

    start_monitor(&monitor, "--json=off");
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "vm-%u", i);
        register_vm(name, 1, "A", "high");
        unregister_vm(name);
    }
    for (unsigned i = 0; i < 200; i++) {
        snprintf(line, sizeof(line), "VM vm-%u added", i);
        expect_line(&monitor, line);
        snprintf(line, sizeof(line), "VM vm-%u removed", i);
        expect_line(&monitor, line);
    }
    assert_int_equal(kill(monitor.pid, SIGTERM), 0);
    assert_int_equal(ctl_end(&monitor, NULL), 0);
}

TEST(test_monitor_restart)
{
    CtlProcess monitor;

    start_monitor(&monitor, "--json=off");
    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGTERM), 0);
    expect_line(&monitor, "mediator stopped");
    assert_int_equal(test_mediator_run(&mediator, "system"), 0);
    wait_for_name();
    expect_line(&monitor, "mediator started");
    register_vm("web", 1, "A", "high");
    ctl_wait_for(&monitor, "VM web added\n");
    unregister_vm("web");
    ctl_wait_for(&monitor, "VM web removed\n");
    assert_int_equal(kill(monitor.pid, SIGTERM), 0);
    assert_int_equal(ctl_end(&monitor, NULL), 0);
}

/* ---- The bus goes away; the last test ------------------------------------------------------ */

TEST(test_bus_dies)
{
    CtlProcess monitor, top;
    char *rest;

    start_monitor(&monitor, "--json=off");
    start_top(&top);
    test_bus_kill(&test_bus);

    assert_int_equal(ctl_end(&monitor, &rest), 1);
    assert_string_equal(rest, "The connection to the system bus is lost.\n");
    free(rest);
    expect_restored(&top, 1, "The connection to the system bus is lost.\r\n");

    assert_int_equal(test_bus_run(&test_bus), 0);
    bus = sd_bus_flush_close_unref(bus);
    assert_true(sd_bus_open_system(&bus) >= 0);
    wait_for_name();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top_shows_what_changes),
        cmocka_unit_test(test_top_sorts),
        cmocka_unit_test(test_top_resizes),
        cmocka_unit_test(test_top_ends),
        cmocka_unit_test(test_top_stops_and_goes_on),
        cmocka_unit_test(test_top_without_answers),
        cmocka_unit_test(test_top_needs_a_terminal),
        cmocka_unit_test(test_monitor),
        cmocka_unit_test(test_monitor_many),
        cmocka_unit_test(test_monitor_restart),
        cmocka_unit_test(test_bus_dies),
    };

    return cmocka_run_group_tests_name("ctl-live", tests, start, world_end);
}

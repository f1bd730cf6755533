/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vgpuctl shows and changes, against the real mediator. Every test leaves it without VMs. */
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

#define POOLS "[Pool A]\nBackend=cpu\n[Pool C]\nBackend=cpu\n"

static int start(void **state)
{
    (void) state;
    return world_start(POOLS "[Unregistered]\nPolicy=allow\n");
}

/* Does a line of @text have these words, with any number of blanks between them? A * is any. */
static bool has_row(const char *text, const char *row)
{
    char *copy = strdup(text), *line, *save = NULL;
    bool found = false;

    for (line = strtok_r(copy, "\n", &save); line && !found; line = strtok_r(NULL, "\n", &save)) {
        char squeezed[1024] = "", *to = squeezed;

        for (const char *p = line; *p && to < squeezed + sizeof(squeezed) - 2; p++)
            if (*p != ' ')
                *to++ = *p;
            else if (to > squeezed && to[-1] != ' ')
                *to++ = ' ';
        if (to > squeezed && to[-1] == ' ')
            to--;
        *to = '\0';
        found = fnmatch(row, squeezed, 0) == 0;
    }
    free(copy);
    return found;
}

__attribute__((format(printf, 2, 3))) static void expect_row(const Ctl *c, const char *format, ...)
{
    char row[1024];
    va_list ap;

    va_start(ap, format);
    vsnprintf(row, sizeof(row), format, ap);
    va_end(ap);
    if (!has_row(c->out, row))
        fail_msg("no line '%s' in:\n%s%s", row, c->out, c->err);
}

/* ---- Looking ------------------------------------------------------------------------------ */

TEST(test_list_nothing)
{
    ctl_expect("No VMs.\n", NULL);
    ctl_expect("No VMs.\n", "list");
    ctl_expect("", "list", "--no-legend");
    ctl_expect("{\"vms\":[]}\n", "--json=short");
    ctl_expect("{\n   \"vms\": []\n}\n", "--json=pretty");
}

TEST(test_list)
{
    uint32_t web1, web2, web10;
    int fd;
    Ctl c;

    web10 = register_vm("web10", 3, "C", "low");
    web2 = register_vm("web2", 2, "A", "medium");
    web1 = register_vm("web1", 1, "A", "high");
    fd = dial();
    hello(fd, 1, VGPU_PRIORITY_HIGH, NULL);
    expect_welcome(fd);
    call_manager(NULL, "PauseVM", "s", "web2");
    call_manager(NULL, "QuarantineVM", "s", "web10");

    c = ctl_run("--interval=0");
    assert_int_equal(c.status, 0);
    expect_row(&c, "NAME ID POOL PRIORITY STATE QUEUE RUNNING REQUESTS FAILED SHARE RATE "
                   "WAIT-P50/us WAIT-P99/us RUN-P50/us RUN-P99/us SESS MEM");
    expect_row(&c, "web1 %u A high connected 0 0 0 0 * - - - - - 0 0B", web1);
    expect_row(&c, "web2 %u A medium paused 0 0 0 0 * - - - - - 0 0B", web2);
    expect_row(&c, "web10 %u C low quarantined 0 0 0 0 * - - - - - 0 0B", web10);
    expect_row(&c, "3 VMs listed.");
    /* The list is sorted by name, and numbers in names by value. */
    assert_true(strstr(c.out, "web1 ") < strstr(c.out, "web2 "));
    assert_true(strstr(c.out, "web2 ") < strstr(c.out, "web10 "));
    assert_null(strstr(c.out, "\033"));
    ctl_release(&c);

    c = ctl_run("--interval=0", "list", "web1");
    expect_row(&c, "1 VM listed.");
    ctl_release(&c);

    c = ctl_run("--no-legend", "list");
    expect_row(&c, "web1 %u A high connected 0 0 0 0 * 0 - - - - 0 0B", web1);
    assert_null(strstr(c.out, "NAME"));
    assert_null(strstr(c.out, "listed"));
    ctl_release(&c);

    close(fd);
    unregister_vm("web1");
    unregister_vm("web2");
    unregister_vm("web10");
}

/* The numbers of requests that wait, that run, and that have run. */
TEST(test_list_requests)
{
    uint32_t id_of_web;
    int fd;
    pid_t executor;
    Ctl c;

    id_of_web = register_vm("web", 1, "A", "high");
    executor = hold_executor();
    fd = dial();
    hello(fd, 1, VGPU_PRIORITY_HIGH, NULL);
    expect_welcome(fd);
    for (uint32_t id = 0; id < 20; id++)
        assert_true(wire_send_add(fd, 1, id, VGPU_PRIORITY_HIGH, id, 1));
    expect_pong(fd);

    c = ctl_run("--interval=0");
    expect_row(&c, "web %u A high connected 5 15 0 0 * - - - - - 0 0B", id_of_web);
    ctl_release(&c);
    c = ctl_run("pools", "--interval=0", "--no-legend");
    assert_true(strncmp(c.out, "A", 1) == 0);
    assert_non_null(strstr(c.out, " ready "));
    ctl_release(&c);
    c = ctl_run("status", "web");
    expect_row(&c, "Queue: 5 of 64");
    expect_row(&c, "Running: 15");
    expect_row(&c, "Requests: 20 submitted, 0 completed, 0 failed, 0 rejected");
    ctl_release(&c);

    assert_int_equal(kill(executor, SIGCONT), 0);
    for (uint32_t id = 0; id < 20; id++)
        expect_sum(fd, id, id + 1);
    c = ctl_run("status", "web");
    expect_row(&c, "Requests: 20 submitted, 20 completed, 0 failed, 0 rejected");
    expect_row(&c, "Data: 800B in, 720B out");
    assert_non_null(strstr(c.out, "Wait: p50 "));
    assert_non_null(strstr(c.out, "Last request: "));
    ctl_release(&c);

    ctl_expect("", "reset-statistics", "web");
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "RequestsCompleted"), 0);
    close(fd);
    unregister_vm("web");
}

/* A process that sends requests, one after another, until it is killed. */
static pid_t keep_busy(int fd)
{
    pid_t pid = fork();
    WireMessage m;

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    for (uint32_t id = 0;; id++)
        if (!wire_send_add(fd, 1, id, VGPU_PRIORITY_HIGH, id, 1) || wire_receive(fd, &m) != 1)
            _exit(1);
}

/* The list measures the rate itself. */
TEST(test_rate)
{
    double rate = -1;
    int fd = dial();
    pid_t other;
    Ctl c;

    register_vm("web", 1, "A", "high");
    hello(fd, 1, VGPU_PRIORITY_HIGH, NULL);
    expect_welcome(fd);
    other = keep_busy(fd);

    c = ctl_run("--json=short", "--interval=0.5");
    assert_int_equal(sscanf(strstr(c.out, "requests_per_second") + 21, "%lf", &rate), 1);
    assert_true(rate > 10);
    ctl_release(&c);
    (void) kill(other, SIGKILL);
    (void) waitpid(other, NULL, 0);
    close(fd);
    unregister_vm("web");
}

TEST(test_pools)
{
    Ctl c = ctl_run("pools");

    assert_int_equal(c.status, 0);
    assert_non_null(strstr(c.out, "POOL BACKEND STATE HIGH MEDIUM LOW RUNNING REQUESTS"));
    assert_non_null(strstr(c.out, "\nC    cpu     ready"));
    expect_row(&c, "2 pools listed.");
    ctl_release(&c);
}

TEST(test_status)
{
    uint32_t id = register_vm("web", 1, "A", "high");
    char leader[32];
    int fd = dial();
    Ctl c;

    hello(fd, 1, VGPU_PRIORITY_HIGH, NULL);
    expect_welcome(fd);
    call_manager(NULL, "SetVMPriority", "ssb", "web", "low", 1);
    call_manager(NULL, "SetVMPool", "ssb", "web", "C", 1);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "web", 1, "RequestRateLimit", "u", 50, 1);

    c = ctl_run("status", "web");
    assert_int_equal(c.status, 0);
    expect_row(&c, "web (%u)", id);
    expect_row(&c, "UUID: 01010101-0101-0101-0101-010101010101");
    expect_row(&c, "State: connected");
    expect_row(&c, "Pool: C (configured: A)");
    expect_row(&c, "Priority: low (configured: high)");
    expect_row(&c, "Rate limit: 50/s");
    /* We are its QEMU. */
    snprintf(leader, sizeof(leader), "Leader PID: %d ", getpid());
    assert_non_null(strstr(c.out, leader));
    ctl_release(&c);

    close(fd);
    unregister_vm("web");
}

/* Of several VMs, each is tried. */
TEST(test_several)
{
    Ctl c;

    register_vm("one", 1, "A", "high");
    register_vm("two", 2, "A", "high");
    c = ctl_run("status", "--json=short", "one", "none", "two");
    assert_int_equal(c.status, 1);
    assert_string_equal(c.err, "Failed to get status of VM none: No VM 'none' is known.\n");
    assert_non_null(strstr(c.out, "\"name\":\"one\""));
    assert_non_null(strstr(c.out, "\"name\":\"two\""));
    ctl_release(&c);

    ctl_refuse("Failed to pause VM none: No VM 'none' is known.", "pause", "none", "one", "two");
    assert_true(vm_is("one", "Paused"));
    assert_true(vm_is("two", "Paused"));
    ctl_expect("", "unregister", "one", "two");
    ctl_expect("No VMs.\n", NULL);
}

/* A name is printed as it is if the locale can, and never as a control sequence. */
TEST(test_names)
{
    Ctl c;

    register_vm("w\xc3\xbc rm", 1, "A", "high");
    c = ctl_run("--interval=0");
    assert_non_null(strstr(c.out, "w\xc3\xbc rm "));
    ctl_release(&c);

    setenv("LC_ALL", "C", 1);
    c = ctl_run("--interval=0");
    assert_non_null(strstr(c.out, "w\\xc3\\xbc rm "));
    ctl_release(&c);
    c = ctl_run("status", "w\xc3\xbc rm");
    assert_true(strncmp(c.out, "w\\xc3\\xbc rm (", 14) == 0);
    ctl_release(&c);
    /* JSON is UTF-8 whatever the locale is. */
    c = ctl_run("--json=short");
    assert_non_null(strstr(c.out, "\"name\":\"w\xc3\xbc rm\""));
    ctl_release(&c);
    ctl_refuse("Failed to pause VM \\xc3\\xbc: No VM '\\xc3\\xbc' is known.", "pause", "\xc3\xbc");
    setenv("LC_ALL", "C.UTF-8", 1);

    ctl_refuse("Failed to pause VM \\x1b[31m: No VM '\\x1b[31m' is known.", "pause", "\033[31m");
    ctl_refuse("Failed to pause VM \\xff: Invalid argument", "pause", "\xff");
    unregister_vm("w\xc3\xbc rm");
}

/* ---- Changing ----------------------------------------------------------------------------- */

TEST(test_set_priority)
{
    register_vm("web", 1, "A", "high");
    ctl_expect("", "set-priority", "web", "low", "--runtime");
    vm_text_is("web", "Priority", "low");
    unregister_vm("web");
    register_vm("web", 1, "A", "high");
    vm_text_is("web", "Priority", "high");

    /* Without --runtime, the change holds for the next registration too. */
    ctl_expect("", "set-priority", "web", "medium");
    unregister_vm("web");
    register_vm("web", 1, "A", "high");
    vm_text_is("web", "Priority", "medium");

    ctl_refuse("Failed to set priority of VM web: 'urgent' is no priority: it is high, medium or "
               "low.",
               "set-priority", "web", "urgent");
    ctl_refuse("Failed to set priority of VM web1: No VM 'web1' is known.", "set-priority", "web1",
               "low");
    unregister_vm("web");
}

TEST(test_set_pool)
{
    register_vm("move", 1, "A", "high");
    ctl_expect("", "set-pool", "move", "C");
    vm_text_is("move", "Pool", "C");
    ctl_refuse("Failed to set pool of VM move: No pool 'Q' is configured.", "set-pool", "move",
               "Q");
    unregister_vm("move");
}

#define LIMITS "QueueLimit=, RequestRateLimit=, Weight=, SessionsMax= or SessionMemoryMax="

TEST(test_set_limits)
{
    static const struct {
        const char *limit, *error;
    } refused[] = {
        {"Speed=1", "'Speed=1' is no limit: it is " LIMITS " and a number."},
        {"VMID=1", "'VMID=1' is no limit: it is " LIMITS " and a number."},
        {"QueueLimit=0",
         "Failed to set limits of VM web: QueueLimit is 0, and must be from 1 to 65536."},
        {"Weight=0", "Failed to set limits of VM web: Weight is 0, and must be from 1 to 10000."},
        {"Weight=10001",
         "Failed to set limits of VM web: Weight is 10001, and must be from 1 to 10000."},
        {"QueueLimit=-1", "'QueueLimit=-1' is no limit: it is " LIMITS " and a number."},
        {"QueueLimit=4294967296",
         "'QueueLimit=4294967296' is no limit: it is " LIMITS " and a number."},
        {"QueueLimit=1x", "'QueueLimit=1x' is no limit: it is " LIMITS " and a number."},
        {"=1", "'=1' is no limit: it is " LIMITS " and a number."},
        {"7", "'7' is no limit: it is " LIMITS " and a number."},
        {"SessionsMax=16",
         "Failed to set limits of VM web: SessionsMax is 16, and must be from 0 to 15."},
        {"SessionMemoryMax=1025T",
         "'SessionMemoryMax=1025T' is no limit: it is " LIMITS " and a number."},
    };

    register_vm("web", 1, "A", "high");
    ctl_expect("", "set-limits", "web", "QueueLimit=7", "RequestRateLimit=100", "--runtime");
    assert_int_equal(vm_number("web", "QueueLimit"), 7);
    assert_int_equal(vm_number("web", "RequestRateLimit"), 100);
    ctl_expect("", "set-limits", "web", "weight=300", "--runtime");
    assert_int_equal(vm_number("web", "Weight"), 300);
    ctl_expect("", "set-limits", "web", "RequestRateLimit=0", "--runtime");
    assert_int_equal(vm_number("web", "QueueLimit"), 7);
    assert_int_equal(vm_number("web", "RequestRateLimit"), 0);

    for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
        char line[256];

        snprintf(line, sizeof(line), "%s\n", refused[i].error);
        ctl_expect_at(__FILE__, __LINE__, CTL_ARGUMENTS("set-limits", "web", refused[i].limit), 1,
                      "", line);
    }
    assert_int_equal(vm_number("web", "Weight"), 300);
    assert_int_equal(vm_number("web", "QueueLimit"), 7);
    unregister_vm("web");
}

TEST(test_switches)
{
    register_vm("web", 1, "A", "high");
    ctl_expect("", "pause", "web");
    assert_true(vm_is("web", "Paused"));
    ctl_expect("", "resume", "web");
    assert_false(vm_is("web", "Paused"));
    ctl_expect("", "quarantine", "web");
    assert_true(vm_is("web", "Quarantined"));
    ctl_expect("", "release", "web");
    assert_false(vm_is("web", "Quarantined"));
    unregister_vm("web");

    ctl_refuse("Failed to resume VM web: No VM 'web' is known.", "resume", "web");
    ctl_refuse("Failed to quarantine VM web: No VM 'web' is known.", "quarantine", "web");
    ctl_refuse("Failed to release VM web: No VM 'web' is known.", "release", "web");
    ctl_refuse("Failed to unregister VM web: No VM 'web' is known.", "unregister", "web");
}

TEST(test_pool_switches)
{
    ctl_expect("", "pause-pool", "A", "C");
    assert_true(get_bool(POOL_A, VGPU_INTERFACE_POOL, "Paused"));
    assert_true(get_bool(VGPU_OBJECT_POOL "/C", VGPU_INTERFACE_POOL, "Paused"));
    ctl_expect("", "resume-pool", "A", "C");
    assert_false(get_bool(POOL_A, VGPU_INTERFACE_POOL, "Paused"));
    ctl_refuse("Failed to pause pool Q: No pool 'Q' is configured.", "pause-pool", "Q");
    ctl_refuse("Failed to resume pool a/b: No pool 'a/b' is configured.", "resume-pool", "a/b");
    ctl_refuse("Failed to pause pool : No pool '' is configured.", "pause-pool", "");
}

TEST(test_register)
{
    const char *uuid = "12345678-9abc-def0-1234-56789abcdef0";

    ctl_expect("70\n", "register", "new", uuid, "--pool=C", "--priority=low", "QueueLimit=5",
               "requestratelimit=9", "Weight=10000", "vmid=70");
    vm_text_is("new", "UUID", uuid);
    vm_text_is("new", "Pool", "C");
    vm_text_is("new", "Priority", "low");
    assert_int_equal(vm_number("new", "QueueLimit"), 5);
    assert_int_equal(vm_number("new", "RequestRateLimit"), 9);
    assert_int_equal(vm_number("new", "Weight"), 10000);
    assert_int_equal(vm_number("new", "VMID"), 70);

    /* The same VM has the same number again. The defaults are A and medium. */
    ctl_expect("70\n", "register", "new", uuid);
    vm_text_is("new", "ConfiguredPool", "A");
    vm_text_is("new", "ConfiguredPriority", "medium");

    ctl_refuse("Failed to register VM other: VMID 70 is taken.", "register", "other",
               "22345678-9abc-def0-1234-56789abcdef0", "VMID=70");
    ctl_refuse("Failed to register VM new: VM 'new' is known already, with "
               "another UUID. If it is there no more, \"vgpuctl unregister 'new'\" makes room.",
               "register", "new", "22345678-9abc-def0-1234-56789abcdef0");
    ctl_refuse("Failed to register VM other: 'x' is no UUID of a VM.", "register", "other", "x");
    ctl_refuse("Too few arguments for 'register'. See vgpuctl --help.", "register", "other");
    ctl_refuse("Failed to register VM other: No pool 'B' is configured.", "register", "other",
               "22345678-9abc-def0-1234-56789abcdef0", "--pool=B");
    ctl_expect("", "unregister", "new");
    ctl_expect("No VMs.\n", NULL);
}

/* A container, by where its processes are: it needs no UUID. */
TEST(test_register_place)
{
    Ctl c = ctl_run("register", "web", "--unit=web@1.service", "--pool=C", "SessionsMax=3");

    assert_int_equal(c.status, 0);
    ctl_release(&c);
    vm_text_is("web", "Unit", "web@1.service");
    vm_text_is("web", "Pool", "C");
    assert_int_equal(vm_number("web", "SessionsMax"), 3);
    c = ctl_run("register", "lab", "--machine=lab");
    assert_int_equal(c.status, 0);
    ctl_release(&c);
    vm_text_is("lab", "Machine", "lab");

    c = ctl_run("status", "web");
    assert_non_null(strstr(c.out, "Unit: web@1.service\n"));
    ctl_release(&c);
    c = ctl_run("status", "lab");
    assert_non_null(strstr(c.out, "Machine: lab\n"));
    ctl_release(&c);

    ctl_refuse("Failed to register VM x: Unit takes the name of one service or scope.", "register",
               "x", "--unit=x.slice");
    ctl_refuse("Failed to register VM x: Machine takes the name of one machine.", "register", "x",
               "--unit=x.scope", "--machine=x");
    ctl_expect("", "unregister", "web", "lab");
}

TEST(test_reset_statistics)
{
    expect_add_works();
    assert_true(get_u64(POOL_A, VGPU_INTERFACE_POOL, "RequestsCompleted") > 0);
    ctl_expect("", "reset-statistics", "--pool=A");
    assert_int_equal(get_u64(POOL_A, VGPU_INTERFACE_POOL, "RequestsCompleted"), 0);
    expect_add_works();
    ctl_expect("", "reset-statistics", "--all");
    assert_int_equal(get_u64(POOL_A, VGPU_INTERFACE_POOL, "RequestsCompleted"), 0);

    ctl_refuse("Name VMs, or a pool with --pool=, or say --all.", "reset-statistics");
    ctl_refuse("--all goes without VMs and without --pool=.", "reset-statistics", "--all", "web");
    ctl_refuse("--all goes without VMs and without --pool=.", "reset-statistics", "--all",
               "--pool=A");
    ctl_refuse("Failed to reset statistics of VM web: No VM 'web' is known.", "reset-statistics",
               "web");
    ctl_refuse("Failed to reset statistics of pool Q: No pool 'Q' is configured.",
               "reset-statistics", "--pool=Q");
}

TEST(test_reload)
{
    FILE *f = fopen(mediator.config, "we");

    assert_non_null(f);
    fputs(POOLS "[Pool E]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n", f);
    fclose(f);
    ctl_expect("", "reload");
    expect_text(VGPU_OBJECT_POOL "/E", VGPU_INTERFACE_POOL, "Name", "E");
}

/* ---- No mediator -------------------------------------------------------------------------- */

TEST(test_mediator_absent)
{
    char *address = strdup(getenv("DBUS_SYSTEM_BUS_ADDRESS"));

    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGTERM), 0);
    ctl_refuse("Failed to list VMs and pools: The mediator is not running, and cannot be started.",
               "list");
    ctl_refuse("Failed to pause VM web: The mediator is not running, and cannot be started.",
               "pause", "web");
    ctl_refuse("Failed to get metrics: The mediator is not running, and cannot be started.",
               "metrics");

    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
    ctl_refuse("Failed to connect to the system bus: No such file or directory", "list");
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
    free(address);
    assert_int_equal(test_mediator_run(&mediator, "system"), 0);
    wait_for_name();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_nothing),   cmocka_unit_test(test_list),
        cmocka_unit_test(test_list_requests),  cmocka_unit_test(test_rate),
        cmocka_unit_test(test_pools),          cmocka_unit_test(test_status),
        cmocka_unit_test(test_several),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_set_priority),   cmocka_unit_test(test_set_pool),
        cmocka_unit_test(test_set_limits),     cmocka_unit_test(test_switches),
        cmocka_unit_test(test_pool_switches),  cmocka_unit_test(test_register),
        cmocka_unit_test(test_register_place), cmocka_unit_test(test_reset_statistics),
        cmocka_unit_test(test_reload),         cmocka_unit_test(test_mediator_absent),
    };

    return cmocka_run_group_tests_name("ctl", tests, start, world_end);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl's tables and status: what fits the terminal, and what older and newer mediators have to
 * say. The mediator is a stand-in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake-vms.h"
#include "private-bus.h"
#include "test-ctl-run.h"
#include "test.h"

static const FakeObject one_pool[] = {{"A", {{0}}}, {NULL, {{0}}}};

static const FakeObject new_pools[] = {
    {"A", {{"Utilization", 'd', NULL, 0.5}, {"BusyTimeUSec", 'T', NULL, 0.75}}},
    {NULL, {{0}}},
};

/* A long name, and all the numbers. */
static const FakeObject busy_vms[] = {
    {"batch1",
     {{"VMID", 'u', NULL, 3},
      {"Connected", 'b', NULL, 1},
      {"RequestsCompleted", 't', NULL, 724563},
      {"WaitTimeP99USec", 't', NULL, 2560},
      {"ExecutionTimeUSec", 'T', NULL, 0.25},
      {"Share", 'd', NULL, 0.125}}},
    {"web-frontend-production-01",
     {{"VMID", 'u', NULL, 2}, {"Connected", 'b', NULL, 1}, {"Share", 'd', NULL, 0}}},
    {NULL, {{0}}},
};

static const FakeObject old_vms[] = {
    {"old", {{"VMID", 'u', NULL, 1}, {"ExecutionTimeUSec", 'T', NULL, 0.25}}},
    {NULL, {{0}}},
};

static FakeVMs fake;

static int start_bus(void **state)
{
    static TestBus bus;

    unsetenv("PAGER");
    unsetenv("SYSTEMD_PAGER");
    unsetenv("NO_COLOR");
    unsetenv("SYSTEMD_COLORS");
    *state = &bus;
    return test_bus_start(&bus);
}

static int stop_bus(void **state)
{
    test_bus_stop(*state);
    return 0;
}

static int stop_fake(void **state)
{
    (void) state;
    fake_vms_stop(&fake);
    ctl_terminal_columns = 100;
    return 0;
}

/* What "vgpuctl @command" writes to a terminal of so many columns. */
static char *on_terminal(unsigned short columns, const char *command, const char *option)
{
    CtlProcess p;
    char *text;

    ctl_terminal_columns = columns;
    ctl_start_terminal(&p, 0, "--no-pager", "--interval=0", command, option);
    assert_int_equal(ctl_end(&p, &text), 0);
    return text;
}

static size_t longest_line(const char *text)
{
    size_t longest = 0, n;

    for (; *text; text += n + (text[n] != '\0')) {
        n = strcspn(text, "\r\n");
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* ---- Width -------------------------------------------------------------------------------- */

TEST(test_narrow_terminal)
{
    char *text;

    fake_vms_start(&fake, busy_vms, one_pool);
    setenv("SYSTEMD_COLORS", "0", 1);
    text = on_terminal(80, "list", NULL);
    assert_true(longest_line(text) <= 80);
    /* What an administrator looks for first is there, and in the usual order. */
    assert_non_null(strstr(text, "NAME                       POOL PRIORITY STATE     QUEUE SHARE "
                                 "RATE WAIT-P99/us\r\n"));
    assert_non_null(strstr(text, "web-frontend-production-01 A    high     connected"));
    assert_null(strstr(text, "RUN-P50"));
    free(text);

    text = on_terminal(40, "list", NULL);
    assert_true(longest_line(text) <= 40);
    assert_non_null(strstr(text, "NAME                       STATE"));
    free(text);

    text = on_terminal(200, "list", NULL);
    assert_non_null(strstr(text, "RUN-P99/us"));
    free(text);
    text = on_terminal(80, "list", "--full");
    assert_non_null(strstr(text, "RUN-P99/us"));
    free(text);
    text = on_terminal(80, "pools", NULL);
    assert_true(longest_line(text) <= 80);
    assert_non_null(strstr(text, "POOL"));
    assert_non_null(strstr(text, "UTIL"));
    free(text);
    unsetenv("SYSTEMD_COLORS");
}

/* The pager shows the same. */
TEST(test_narrow_pager)
{
    CtlProcess p;
    char *text;

    fake_vms_start(&fake, busy_vms, one_pool);
    setenv("SYSTEMD_PAGERSECURE", "0", 1);
    setenv("SYSTEMD_PAGER", "sed s/^/:/", 1);
    ctl_terminal_columns = 80;
    ctl_start_terminal(&p, 0, "list", "--interval=0");
    assert_int_equal(ctl_end(&p, &text), 0);
    assert_non_null(strstr(text, ":NAME"));
    assert_null(strstr(text, "RUN-P50"));
    free(text);
    unsetenv("SYSTEMD_PAGER");
    unsetenv("SYSTEMD_PAGERSECURE");
}

/* A column has one unit, which its title names. */
TEST(test_units)
{
    Ctl c;

    fake_vms_start(&fake, busy_vms, one_pool);
    c = ctl_run("--interval=0");
    assert_non_null(strstr(c.out, "WAIT-P99/us"));
    assert_non_null(strstr(c.out, " 2560 "));
    assert_null(strstr(c.out, "2.56ms"));
    ctl_release(&c);
}

/* ---- top ---------------------------------------------------------------------------------- */

/* The column that the list is sorted by is always to be seen, and the arrows show the others. */
TEST(test_top_sideways)
{
    CtlProcess top;

    fake_vms_start(&fake, busy_vms, new_pools);
    ctl_terminal_columns = 80;
    ctl_start_terminal(&top, 0, "top", "--interval=0.1");
    ctl_wait_for(&top, "\033[7m\033[KNAME");
    ctl_wait_for(&top, "RATE");
    ctl_press(&top, "x");
    ctl_wait_for(&top, "by run");
    ctl_wait_for(&top, "\033[7m\033[KNAME");
    ctl_wait_for(&top, "RUN-P99/us\033[0m");
    ctl_press(&top, "n\033[C\033[C\033[C");
    ctl_wait_for(&top, "\033[7m\033[KNAME                       STATE");
    ctl_wait_for(&top, "QUEUE RUNNING REQUESTS");
    ctl_press(&top, "\033[D\033[D\033[D\033[D");
    ctl_wait_for(&top, "\033[7m\033[KNAME                       PRIORITY STATE");
    ctl_press(&top, "q");
    assert_int_equal(ctl_end(&top, NULL), 0);
}

/* A line that is as wide as the terminal leaves the cursor on its last character, which must stay:
 * nothing is cleared after a line. */
TEST(test_top_full_width)
{
    CtlProcess top;

    fake_vms_start(&fake, busy_vms, new_pools);
    ctl_terminal_columns = 80;
    ctl_start_terminal(&top, 0, "top", "--interval=0.1");
    ctl_wait_for(&top, "\033[Kbatch1 ");
    ctl_wait_for(&top, " R reverse\033[H");
    ctl_press(&top, "q");
    assert_int_equal(ctl_end(&top, NULL), 0);
}

/* ---- Shares ------------------------------------------------------------------------------- */

TEST(test_shares)
{
    Ctl c;

    fake_vms_start(&fake, busy_vms, new_pools);
    c = ctl_run("--interval=0");
    assert_non_null(strstr(c.out, " 12.5% "));
    assert_non_null(strstr(c.out, " 0.0% ")); /* nothing ran, and that is known */
    ctl_release(&c);
    c = ctl_run("pools", "--interval=0");
    assert_non_null(strstr(c.out, " 50.0% "));
    ctl_release(&c);
    c = ctl_run("status", "batch1");
    assert_non_null(strstr(c.out, "          Share: 12.5% of the last 10s\n"));
    ctl_release(&c);
    c = ctl_run("--json=short", "--interval=0");
    assert_non_null(strstr(c.out, "\"share\":0.125000,"));
    ctl_release(&c);
    c = ctl_run("metrics");
    assert_non_null(strstr(c.out, "# TYPE vgpu_pool_busy_seconds_total counter\n"));
    assert_non_null(strstr(c.out, "\nvgpu_pool_busy_seconds_total{pool=\"A\"} "));
    ctl_release(&c);
}

/* top computes them itself, also with a mediator that has no such property. */
static void expect_shares_in_top(const FakeObject *vms, const FakeObject *pools, const char *pool)
{
    CtlProcess top;

    fake_vms_start(&fake, vms, pools);
    ctl_start_terminal(&top, 0, "top", "--interval=0.5");
    ctl_wait_for(&top, "UTIL");
    /* Around 25 %, however late a picture comes: the counter and the clock go together. */
    ctl_wait_for(&top, pool);
    ctl_wait_for(&top, " 2");
    ctl_wait_for(&top, "% ");
    ctl_press(&top, "q");
    assert_int_equal(ctl_end(&top, NULL), 0);
}

TEST(test_shares_in_top)
{
    expect_shares_in_top(busy_vms, new_pools, " 7");
}

TEST(test_older_mediator)
{
    Ctl c;

    expect_shares_in_top(old_vms, one_pool, " - ");
    c = ctl_run("--interval=0", "--no-legend");
    assert_non_null(strstr(c.out, " waiting "));
    assert_null(strchr(c.out, '%'));
    ctl_release(&c);
    c = ctl_run("pools", "--interval=0", "--no-legend");
    assert_null(strchr(c.out, '%'));
    ctl_release(&c);
    c = ctl_run("status", "old", "--json=short");
    assert_non_null(strstr(c.out, "\"device_problem\":null,\"quarantine_reason\":null,"));
    assert_non_null(strstr(c.out, "\"share\":null"));
    ctl_release(&c);
    c = ctl_run("metrics");
    assert_null(strstr(c.out, "\nvgpu_pool_busy_seconds_total{"));
    ctl_release(&c);
}

/* ---- States ------------------------------------------------------------------------------- */

static const FakeObject odd_vms[] = {
    {"nodev", {{"DeviceProblem", 's', "no plugin for QEMU 11.1.3", 0}}},
    {"idle", {{"DeviceProblem", 's', "", 0}}},
    {"bad",
     {{"Quarantined", 'b', NULL, 1},
      {"QuarantineReason", 's', "fault-limit", 0},
      {"QuarantinedUntilUSec", 't', NULL, 1800000000000000}}},
    {"held",
     {{"Paused", 'b', NULL, 1},
      {"Connected", 'b', NULL, 1},
      {"QueueLimit", 'u', NULL, 64},
      {"WindowSize", 't', NULL, 4096}}},
    /* U+200B, U+202E */
    {"web\xe2\x80\x8b\xe2\x80\xae", {{"DeviceProblem", 's', "\033[2J", 0}}},
    {NULL, {{0}}},
};

static void expect_status(const char *vm, const char *text)
{
    Ctl c = ctl_run("status", vm);

    if (c.status != 0 || !strstr(c.out, text))
        fail_msg("no '%s' in: %s%s", text, c.out, c.err);
    ctl_release(&c);
}

TEST(test_states)
{
    Ctl c;

    fake_vms_start(&fake, odd_vms, one_pool);
    c = ctl_run("list", "--interval=0", "nodev");
    assert_non_null(strstr(c.out, " no device "));
    ctl_release(&c);
    c = ctl_run("list", "--interval=0", "idle");
    assert_non_null(strstr(c.out, " waiting "));
    ctl_release(&c);
    c = ctl_run("list", "--interval=0", "--json=short", "nodev");
    assert_non_null(strstr(c.out, "\"state\":\"no device\""));
    assert_non_null(strstr(c.out, "\"device_problem\":\"no plugin for QEMU 11.1.3\""));
    ctl_release(&c);
    expect_status("nodev", "          State: no device\n"
                           "         Device: none: no plugin for QEMU 11.1.3\n");
    expect_status("bad", "Quarantined: for its faults, until Fri 2027-01-15 08:00:00 UTC\n");
    expect_status("held", "          Queue: 0 of 64, and what its ring holds\n");
    c = ctl_run("metrics");
    assert_non_null(strstr(c.out, "\nvgpu_vm_without_device{vm=\"nodev\"} 1\n"));
    assert_non_null(strstr(c.out, "\nvgpu_vm_without_device{vm=\"idle\"} 0\n"));
    ctl_release(&c);
}

/* A name must not look like another, or turn its line round. JSON has the same name. */
TEST(test_evil_names)
{
    const char *name = "web\xe2\x80\x8b\xe2\x80\xae";
    Ctl c;

    fake_vms_start(&fake, odd_vms, one_pool);
    c = ctl_run("--interval=0");
    assert_non_null(strstr(c.out, "web\\xe2\\x80\\x8b\\xe2\\x80\\xae "));
    assert_null(strstr(c.out, name));
    ctl_release(&c);
    expect_status(name, "web\\xe2\\x80\\x8b\\xe2\\x80\\xae (0)\n");
    expect_status(name, "         Device: none: \\x1b[2J\n");
    c = ctl_run("--json=short", "--interval=0");
    assert_non_null(strstr(c.out, "\"name\":\"web\\u200b\\u202e\""));
    ctl_release(&c);
    c = ctl_run("metrics");
    assert_non_null(strstr(c.out, "{vm=\"web\\\\xe2\\\\x80\\\\x8b\\\\xe2\\\\x80\\\\xae\"}"));
    assert_null(strstr(c.out, name));
    ctl_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_narrow_terminal, stop_fake),
        cmocka_unit_test_teardown(test_narrow_pager, stop_fake),
        cmocka_unit_test_teardown(test_units, stop_fake),
        cmocka_unit_test_teardown(test_top_sideways, stop_fake),
        cmocka_unit_test_teardown(test_top_full_width, stop_fake),
        cmocka_unit_test_teardown(test_shares, stop_fake),
        cmocka_unit_test_teardown(test_shares_in_top, stop_fake),
        cmocka_unit_test_teardown(test_older_mediator, stop_fake),
        cmocka_unit_test_teardown(test_states, stop_fake),
        cmocka_unit_test_teardown(test_evil_names, stop_fake),
    };

    setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests_name("ctl-tables", tests, start_bus, stop_bus);
}

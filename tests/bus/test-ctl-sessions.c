/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl: CUDA sessions, in their own list and wherever VMs are shown. The mediator is a
 * stand-in. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fake-vms.h"
#include "private-bus.h"
#include "test-ctl-run.h"
#include "test.h"

static const FakeObject pools[] = {{"A", {{0}}}, {NULL, {{0}}}};

static const FakeObject vms[] = {
    {"web1",
     {{"VMID", 'u', NULL, 1},
      {"SessionsMax", 'u', NULL, 8},
      {"SessionMemoryMax", 't', NULL, 8589934592},
      {"Sessions", 'u', NULL, 2},
      {"SessionMemoryBytes", 't', NULL, 1610612736},
      {"SessionDeviceTimeUSec", 't', NULL, 83211540},
      {"SessionLaunches", 't', NULL, 51433},
      {"SessionBytesToDevice", 't', NULL, 4096},
      {"SessionBytesFromDevice", 't', NULL, 8192},
      {"SessionFaults", 't', NULL, 3}}},
    {"a b-production-01", {{"VMID", 'u', NULL, 3}}},
    {"idle", {{"VMID", 'u', NULL, 2}, {"SessionsMax", 'u', NULL, 4}}},
    {NULL, {{0}}},
};

/* U+202E, an escape sequence, a line end, and more than there is room for. */
#define EVIL "\xe2\x80\xae\033[2J\nxxxxxxxxxxxxxxxxxxxx"

static const FakeObject sessions[] = {
    {"12",
     {{"Ring", 'u', NULL, 3},
      {"StartTimestamp", 't', NULL, 1800000000000000},
      {"ExecutorPID", 'u', NULL, 777},
      {"MemoryBytes", 't', NULL, 1073741824},
      {"MemoryPeakBytes", 't', NULL, 2147483648},
      {"DeviceTimeUSec", 't', NULL, 12345678},
      {"Launches", 't', NULL, 51433},
      {"BytesToDevice", 't', NULL, 4096},
      {"CUDAError", 'u', NULL, 700}}},
    {"5",
     {{"Command", 's', EVIL, 0},
      {"State", 's', "starting", 0},
      {"GuestPID", 'u', NULL, 4294967295}}},
    {"13", {{"VM", 'o', "/org/vgpu/Mediator1/vm/a_20b_2dproduction_2d01", 0}}},
    {"14", {{"Command", 's', "gone", 0}}},
    {NULL, {{0}}},
};
static const FakeObject no_sessions[] = {{NULL, {{0}}}};

static FakeVMs fake;

static int start_bus(void **state)
{
    static TestBus bus;

    unsetenv("PAGER");
    unsetenv("SYSTEMD_PAGER");
    setenv("SYSTEMD_COLORS", "0", 1);
    *state = &bus;
    return test_bus_start(&bus);
}

static int stop_bus(void **state)
{
    test_bus_stop(*state);
    return 0;
}

static void start_fake(const FakeObject *which)
{
    fake.sessions = which;
    fake_vms_start(&fake, vms, pools);
}

static int stop_fake(void **state)
{
    (void) state;
    fake_vms_stop(&fake);
    ctl_terminal_columns = 100;
    return 0;
}

#define expect_in(text, ...) expect_in_at(__LINE__, CTL_ARGUMENTS(__VA_ARGS__), text)
static void expect_in_at(int line, const char *const *arguments, const char *text)
{
    Ctl c = ctl_run_arguments(0, arguments);

    if (c.status != 0 || !strstr(c.out, text))
        fail_msg("line %d: no '%s' in: %s%s", line, text, c.out, c.err);
    ctl_release(&c);
}

static void expect_json(const char *text)
{
    expect_in(text, "--json=short", "sessions");
}

/* ---- The list ----------------------------------------------------------------------------- */

TEST(test_list)
{
    start_fake(sessions);
    /* By number; one that ended meanwhile is left out. */
    ctl_expect("ID VM                       PID COMMAND                     POOL DEVICE STATE     "
               "MEM PEAK "
               "TIME/s LAUNCHES\n"
               " 5 web1              4294967295 \\xe2\\x80\\xae\\x1b[2J\\x0ax... A    0      "
               "starting   0B   0B "
               "   0.0        0\n"
               "12 web1                    4242 python3                     A    0      open     "
               "1.0G 2.0G "
               "  12.3    51433\n"
               "13 a b-production-01       4242 python3                     A    0      open       "
               "0B   0B "
               "   0.0        0\n"
               "\n3 sessions listed.\n",
               "sessions");
}

TEST(test_names)
{
    start_fake(sessions);
    expect_in("\n1 session listed.\n", "sessions", "a b-*");
    expect_in("\n2 sessions listed.\n", "sessions", "web1", "idle");
    ctl_expect("No sessions.\n", "sessions", "idle");
    ctl_expect("{\"sessions\":[]}\n", "sessions", "--json=short", "idle");
    ctl_refuse("No VM 'web2' is known.", "sessions", "web2");
}

TEST(test_narrow_terminal)
{
    CtlProcess p;
    char *text;

    start_fake(sessions);
    ctl_terminal_columns = 80;
    ctl_start_terminal(&p, 0, "--no-pager", "sessions");
    assert_int_equal(ctl_end(&p, &text), 0);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\r\n") <= 80);
    /* Whatever a guest calls itself, its number and its VM stay. */
    assert_non_null(strstr(text, "ID VM "));
    assert_non_null(strstr(text, " COMMAND "));
    assert_non_null(strstr(text, " STATE "));
    assert_non_null(strstr(text, " MEM "));
    assert_null(strstr(text, "POOL"));
    assert_null(strchr(text, '\033'));
    free(text);

    ctl_terminal_columns = 30;
    ctl_start_terminal(&p, 0, "--no-pager", "sessions");
    assert_int_equal(ctl_end(&p, &text), 0);
    assert_non_null(strstr(text, "ID VM                 MEM\r\n"));
    free(text);
}

TEST(test_json)
{
    start_fake(sessions);
    expect_json("{\"id\":12,\"vm\":\"web1\",\"vm_object\":\"/org/vgpu/Mediator1/vm/web1\","
                "\"guest_pid\":4242,\"command\":\"python3\",\"pool\":\"A\",\"device\":\"0\","
                "\"ring\":3,\"state\":\"open\",\"started_usec\":1800000000000000,"
                "\"executor_pid\":777,\"memory_bytes\":1073741824,"
                "\"memory_peak_bytes\":2147483648,\"images_bytes\":0,\"device_usec\":12345678,"
                "\"launches\":51433,\"operations\":0,\"bytes_to_device\":4096,"
                "\"bytes_from_device\":0,\"cuda_error\":700}");
    expect_json("\"command\":\"\\u202e\\u001b[2J\\nxxxxxxxxxxxxxxxxxxxx\"");
}

/* ---- Their end ---------------------------------------------------------------------------- */

TEST(test_end)
{
    CtlProcess monitor;
    Ctl c;

    start_fake(sessions);
    ctl_start(&monitor, 0, "monitor");
    ctl_wait_for(&monitor, "Showing changes");
    ctl_expect("", "end-session", "12");
    ctl_wait_for(&monitor, " session 12 changed: State=ending\n");
    ctl_refuse("Failed to end session 12: There is no session 12.", "end-session", "12");
    ctl_refuse("'web1' is no number of a session, as vgpuctl sessions shows them.", "end-session",
               "web1");
    ctl_refuse("Too few arguments for 'end-session'. See vgpuctl --help.", "end-session");

    /* Each is tried. */
    c = ctl_run("end-session", "12", "5");
    assert_int_equal(c.status, 1);
    assert_string_equal(c.err, "Failed to end session 12: There is no session 12.\n");
    ctl_release(&c);
    expect_in("\n1 session listed.\n", "sessions");
    assert_int_equal(kill(monitor.pid, SIGTERM), 0);
    assert_int_equal(ctl_end(&monitor, NULL), 0);
}

/* ---- Where VMs are shown ------------------------------------------------------------------ */

TEST(test_status)
{
    Ctl c;

    start_fake(sessions);
    expect_in(
        "       Sessions: 2 of 8, with 1.5G of device memory\n"
        " Session memory: at most 8.0G in all\n"
        "      Session 5: \\xe2\\x80\\xae\\x1b[2J\\x0axxxxxxxxxxxxxxxxxxxx (guest's PID "
        "4294967295), "
        "starting; memory 0B, peak 0B; 0 on the device, 0 launches\n"
        "     Session 12: python3 (guest's PID 4242), open; memory 1.0G, peak 2.0G; 12.3s on the "
        "device, 51433 launches\n"
        "      CUDA work: 1min 23s on the device, 51433 launches, 4.0K to it, 8.0K from it, 3 "
        "faults\n",
        "status", "web1");
    expect_in("\"session_device_usec\":83211540,\"session_launches\":51433,"
              "\"session_bytes_to_device\":4096,\"session_bytes_from_device\":8192,"
              "\"session_faults\":3}",
              "status", "--json=short", "web1");
    c = ctl_run("status", "idle");
    assert_non_null(strstr(c.out, "       Sessions: 0 of 4, with 0B of device memory\n"));
    assert_null(strstr(c.out, "Session memory"));
    assert_null(strstr(c.out, "CUDA work"));
    ctl_release(&c);
}

TEST(test_list_of_vms)
{
    start_fake(sessions);
    expect_in(" SESS  MEM\n", "list", "--interval=0");
    expect_in("    2 1.5G\n", "list", "--interval=0", "web1");
    expect_in("\"sessions\":2,\"session_memory_bytes\":1610612736,", "--json=short",
              "--interval=0");
}

TEST(test_metrics)
{
    static const char *const lines[] = {
        "# TYPE vgpu_vm_sessions gauge\n",
        "\nvgpu_vm_sessions{vm=\"web1\"} 2\n",
        "\nvgpu_vm_sessions_max{vm=\"web1\"} 8\n",
        "\nvgpu_vm_session_memory_max_bytes{vm=\"web1\"} 8589934592\n",
        "\nvgpu_vm_session_memory_bytes{vm=\"web1\"} 1610612736\n",
        "\nvgpu_vm_session_device_seconds_total{vm=\"web1\"} 83.211540\n",
        "\nvgpu_vm_session_launches_total{vm=\"web1\"} 51433\n",
        "\nvgpu_vm_session_to_device_bytes_total{vm=\"web1\"} 4096\n",
        "\nvgpu_vm_session_from_device_bytes_total{vm=\"web1\"} 8192\n",
        "\nvgpu_vm_session_faults_total{vm=\"web1\"} 3\n",
        "\nvgpu_vm_session_faults_total{vm=\"idle\"} 0\n",
    };

    start_fake(sessions);
    for (size_t i = 0; i < ELEMENTSOF(lines); i++)
        expect_in(lines[i], "metrics");
    expect_in("# TYPE vgpu_vm_session_device_seconds counter\n"
              "# UNIT vgpu_vm_session_device_seconds seconds\n",
              "metrics", "--format=openmetrics");
    expect_in("# UNIT vgpu_vm_session_to_device_bytes bytes\n", "metrics", "--format=openmetrics");
}

/* What the user has typed, and what bash offers. */
static void expect_completion(const char *words, const char *offers)
{
    char script[512];
    Ctl c;

    snprintf(script, sizeof(script),
             "vgpuctl() { \"$VGPU_CTL\" \"$@\"; }; . \"$VGPU_CTL_COMPLETION\"; "
             "COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _vgpuctl; "
             "echo \"${COMPREPLY[@]}\"",
             words);
    c = ctl_shell(script);
    assert_string_equal(c.out, offers);
    ctl_release(&c);
}

TEST(test_completion)
{
    start_fake(sessions);
    expect_completion("vgpuctl sessio", "sessions\n");
    expect_completion("vgpuctl end-", "end-session\n");
    expect_completion("vgpuctl sessions w", "web1\n");
    expect_completion("vgpuctl end-session ''", "5 12 13\n");
    expect_completion("vgpuctl end-session 1", "12 13\n");
}

/* ---- Others ------------------------------------------------------------------------------- */

TEST(test_none)
{
    start_fake(no_sessions);
    ctl_expect("No sessions.\n", "sessions");
    ctl_expect("", "sessions", "--no-legend");
}

TEST(test_older_mediator)
{
    Ctl c;

    start_fake(NULL);
    ctl_refuse("Failed to list sessions: Unknown method.", "sessions");
    c = ctl_run("status", "idle");
    assert_int_equal(c.status, 0);
    assert_string_equal(c.err, "");
    assert_null(strstr(c.out, "Session"));
    ctl_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_list, stop_fake),
        cmocka_unit_test_teardown(test_names, stop_fake),
        cmocka_unit_test_teardown(test_narrow_terminal, stop_fake),
        cmocka_unit_test_teardown(test_json, stop_fake),
        cmocka_unit_test_teardown(test_end, stop_fake),
        cmocka_unit_test_teardown(test_status, stop_fake),
        cmocka_unit_test_teardown(test_list_of_vms, stop_fake),
        cmocka_unit_test_teardown(test_metrics, stop_fake),
        cmocka_unit_test_teardown(test_completion, stop_fake),
        cmocka_unit_test_teardown(test_none, stop_fake),
        cmocka_unit_test_teardown(test_older_mediator, stop_fake),
    };

    return cmocka_run_group_tests_name("ctl-sessions", tests, start_bus, stop_bus);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vgpuctl writes, and where: help, JSON, metrics, pager, colours, completion. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json.h>

#include "cleanup.h"
#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

static int start(void **state)
{
    (void) state;
    unsetenv("PAGER");
    unsetenv("SYSTEMD_PAGER");
    unsetenv("NO_COLOR");
    unsetenv("SYSTEMD_COLORS");
    if (world_start("[Pool A]\nBackend=cpu\n[Pool C]\nBackend=cpu\n") < 0)
        return -1;
    register_vm("web1", 1, "A", "high");
    register_vm("web2", 2, "C", "low");
    register_vm("back\\slash \"quoted\"", 3, "A", "medium");
    return 0;
}

/* ---- Words on the command line --------------------------------------------------------------- */

TEST(test_help)
{
    static const char *const verbs[] = {
        "list",        "status",           "pools",    "top",        "monitor",    "metrics",
        "check",       "set-priority",     "set-pool", "set-limits", "revert",     "pause",
        "resume",      "quarantine",       "release",  "register",   "unregister", "pause-pool",
        "resume-pool", "reset-statistics", "reload",
    };
    Ctl c = ctl_run("--help"), v;

    assert_int_equal(c.status, 0);
    assert_string_equal(c.err, "");
    for (unsigned i = 0; i < ELEMENTSOF(verbs); i++)
        assert_non_null(strstr(c.out, verbs[i]));
    for (const char *line = c.out; *line; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") <= 80);
    ctl_release(&c);

    v = ctl_run("--version");
    assert_int_equal(v.status, 0);
    assert_true(strncmp(v.out, "vgpu-mediator 0.", 16) == 0);
    ctl_release(&v);
}

TEST(test_usage)
{
    Ctl c;

    ctl_refuse("Unknown command 'lst', did you mean 'list'?", "lst");
    ctl_refuse("Unknown command 'set-prio', did you mean 'set-priority'?", "set-prio");
    ctl_refuse("Unknown command 'mon', did you mean 'monitor'?", "mon");
    ctl_refuse("Unknown command 'frobnicate'. See vgpuctl --help.", "frobnicate");
    ctl_refuse("Unknown command '\\x1b[2J'. See vgpuctl --help.", "\033[2J");
    ctl_refuse("Too few arguments for 'status'. See vgpuctl --help.", "status");
    ctl_refuse("Too few arguments for 'set-priority'. See vgpuctl --help.", "set-priority", "web1");
    ctl_refuse("Too many arguments for 'set-priority'. See vgpuctl --help.", "set-priority", "web1",
               "high", "low");
    ctl_refuse("Too many arguments for 'top'. See vgpuctl --help.", "top", "web1");
    ctl_refuse("No VM 'web9' is known.", "list", "web9", "--interval=0");
    ctl_refuse("No pool 'Q' is configured.", "pools", "Q", "--interval=0");
    ctl_refuse("--json= takes pretty, short or off, not 'long'.", "--json=long");
    ctl_refuse("--interval= takes a number of seconds up to 3600, not '1s'.", "--interval=1s");
    ctl_refuse("--interval= takes a number of seconds up to 3600, not '-1'.", "--interval=-1");
    ctl_refuse("--interval= takes a number of seconds up to 3600, not 'nan'.", "--interval=nan");
    ctl_refuse("vgpuctl: unrecognized option '--frob'\nSee vgpuctl --help.", "--frob");
    ctl_refuse("vgpuctl: option '--json' requires an argument\nSee vgpuctl --help.", "--json");

    /* What follows "--" is no option. */
    c = ctl_run("status", "--", "--json");
    assert_int_equal(c.status, 1);
    assert_string_equal(c.err, "Failed to get status of VM --json: No VM '--json' is known.\n");
    ctl_release(&c);
}

/* What a list of some VMs or pools shows, and nothing else. */
TEST(test_list_of_names)
{
    Ctl c = ctl_run("list", "--interval=0", "web2", "web9", "back*");

    assert_int_equal(c.status, 1);
    assert_string_equal(c.err, "No VM 'web9' is known.\n");
    assert_non_null(strstr(c.out, "\nweb2 "));
    assert_non_null(strstr(c.out, "\nback\\slash "));
    assert_null(strstr(c.out, "web1"));
    assert_non_null(strstr(c.out, "\n2 VMs listed.\n"));
    ctl_release(&c);

    c = ctl_run("pools", "--interval=0", "--no-legend", "C");
    assert_int_equal(c.status, 0);
    assert_true(c.out[0] == 'C' && strchr(c.out, '\n')[1] == '\0');
    ctl_release(&c);

    /* Other programs' words for "status". */
    for (unsigned i = 0; i < 2; i++) {
        c = ctl_run(i == 0 ? "show" : "info", "web1");
        assert_int_equal(c.status, 0);
        assert_true(strncmp(c.out, "web1 (", 6) == 0);
        ctl_release(&c);
    }
}

/* vgpuctl asks the mediator once, however many VMs there are. A monitor of the bus sees it. */
TEST(test_one_call)
{
    sd_bus_message *m = NULL;
    sd_bus *eavesdropper = NULL;
    char *address = getenv("DBUS_SYSTEM_BUS_ADDRESS");
    unsigned calls = 0;
    Ctl c;

    assert_true(sd_bus_new(&eavesdropper) >= 0);
    assert_true(sd_bus_set_address(eavesdropper, address) >= 0);
    assert_true(sd_bus_set_bus_client(eavesdropper, true) >= 0);
    assert_true(sd_bus_set_monitor(eavesdropper, true) >= 0);
    assert_true(sd_bus_start(eavesdropper) >= 0);
    assert_true(sd_bus_call_method(eavesdropper, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                   "org.freedesktop.DBus.Monitoring", "BecomeMonitor", NULL, NULL,
                                   "asu", 1, "type='method_call',destination='" VGPU_BUS_NAME "'",
                                   0) >= 0);

    c = ctl_run("list", "--interval=0");
    assert_int_equal(c.status, 0);
    ctl_release(&c);
    call_manager(NULL, "GetVM", "s", "web1"); /* what comes after the list's */
    for (bool last = false; !last;) {
        int r = sd_bus_process(eavesdropper, &m);

        assert_true(r >= 0);
        if (r == 0)
            assert_true(sd_bus_wait(eavesdropper, UINT64_C(10000000)) > 0);
        if (m && sd_bus_message_get_member(m)) {
            last = sd_bus_message_is_method_call(m, NULL, "GetVM") > 0;
            if (!last && sd_bus_message_is_method_call(m, NULL, NULL) > 0) {
                assert_string_equal(sd_bus_message_get_member(m), "GetManagedObjects");
                calls++;
            }
        }
        m = sd_bus_message_unref(m);
    }
    assert_int_equal(calls, 1);
    sd_bus_flush_close_unref(eavesdropper);
}

/* ---- JSON --------------------------------------------------------------------------------- */

/* Parses strictly, and returns the array that is the only member. */
static struct json_object *parse(const Ctl *c, const char *name)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *o, *array = NULL;

    assert_int_equal(c->status, 0);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    o = json_tokener_parse_ex(tokener, c->out, (int) strlen(c->out));
    if (!o)
        fail_msg("%s in: %s", json_tokener_error_desc(json_tokener_get_error(tokener)), c->out);
    json_tokener_free(tokener);
    assert_int_equal(json_object_object_length(o), 1);
    assert_true(json_object_object_get_ex(o, name, &array));
    array = json_object_get(array);
    json_object_put(o);
    return array;
}

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
    struct json_object *value = NULL;

    assert_true(json_object_object_get_ex(o, key, &value));
    assert_int_equal(json_object_get_type(value), type);
    return value;
}

static void expect_member(struct json_object *o, const char *key, const char *expected)
{
    assert_string_equal(json_object_get_string(member(o, key, json_type_string)), expected);
}

static void test_json_list(void **state)
{
    static const char *const modes[] = {"--json=short", "--json=pretty"};

    (void) state;
    for (unsigned i = 0; i < 2; i++) {
        Ctl c = ctl_run("list", modes[i]);
        struct json_object *vms = parse(&c, "vms"), *vm;

        assert_int_equal(json_object_array_length(vms), 3);
        vm = json_object_array_get_idx(vms, 0);
        expect_member(vm, "name", "back\\slash \"quoted\"");
        vm = json_object_array_get_idx(vms, 1);
        expect_member(vm, "name", "web1");
        expect_member(vm, "pool", "A");
        expect_member(vm, "priority", "high");
        expect_member(vm, "state", "waiting");
        assert_int_equal(json_object_get_int(member(vm, "queue_depth", json_type_int)), 0);
        member(vm, "requests_per_second", json_type_double);
        member(vm, "wait_p99_usec", json_type_null);
        /* The short form is one line. */
        assert_int_equal(strchr(c.out, '\n') + 1 - c.out == (ptrdiff_t) strlen(c.out), i == 0);
        json_object_put(vms);
        ctl_release(&c);
    }
}

TEST(test_json_others)
{
    struct json_object *list, *o;
    Ctl c;

    c = ctl_run("pools", "--json=pretty");
    list = parse(&c, "pools");
    assert_int_equal(json_object_array_length(list), 2);
    o = json_object_array_get_idx(list, 1);
    expect_member(o, "name", "C");
    expect_member(o, "backend", "cpu");
    expect_member(o, "policy", "fifo");
    member(o, "starvation_limit_usec", json_type_null);
    assert_true(json_object_get_int64(member(o, "device_memory_bytes", json_type_int)) > 0);
    json_object_put(list);
    ctl_release(&c);

    c = ctl_run("status", "web2", "--json=short");
    list = parse(&c, "vms");
    assert_int_equal(json_object_array_length(list), 1);
    o = json_object_array_get_idx(list, 0);
    expect_member(o, "name", "web2");
    expect_member(o, "uuid", "02020202-0202-0202-0202-020202020202");
    expect_member(o, "configured_priority", "low");
    assert_true(json_object_get_boolean(member(o, "registered", json_type_boolean)));
    assert_false(json_object_get_boolean(member(o, "connected", json_type_boolean)));
    assert_int_equal(json_object_get_int(member(o, "queue_limit", json_type_int)), 64);
    assert_int_equal(json_object_get_int(member(o, "weight", json_type_int)), 100);
    json_object_put(list);
    ctl_release(&c);
}

/* ---- Metrics ------------------------------------------------------------------------------ */

/* The value of the sample with this whole name; fails if there is none. */
static double sample(const Ctl *c, const char *name)
{
    for (const char *line = c->out; *line; line = strchr(line, '\n') + 1)
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ' ')
            return strtod(line + strlen(name) + 1, NULL);
    fail_msg("no sample %s", name);
    return 0;
}

TEST(test_metrics_say_what_is)
{
    uint64_t wait;
    double before = 0, sum;
    int fd = dial();
    Ctl c;

    hello(fd, 1, VGPU_PRIORITY_HIGH, NULL);
    expect_welcome(fd);
    for (uint32_t id = 0; id < 60; id++)
        assert_true(wire_send_add(fd, 1, id, VGPU_PRIORITY_HIGH, id, 1));
    for (uint32_t id = 0; id < 60; id++)
        expect_sum(fd, id, id + 1);

    c = ctl_run("metrics");
    assert_float_equal(sample(&c, "vgpu_vm_connected{vm=\"web1\"}"), 1, 0);
    assert_float_equal(sample(&c, "vgpu_vm_connected{vm=\"web2\"}"), 0, 0);
    assert_float_equal(sample(&c, "vgpu_vm_requests_completed_total{vm=\"web1\"}"), 60, 0);
    assert_float_equal(sample(&c, "vgpu_vm_received_bytes_total{vm=\"web1\"}"), 60 * 40, 0);
    assert_float_equal(sample(&c, "vgpu_vm_wait_seconds_count{vm=\"web1\"}"), 60, 0);
    assert_float_equal(sample(&c, "vgpu_vm_wait_seconds_bucket{vm=\"web1\",le=\"+Inf\"}"), 60, 0);
    assert_float_equal(sample(&c, "vgpu_vm_execution_seconds_count{vm=\"web1\"}"), 60, 0);
    wait = get_u64(VM("web1"), VGPU_INTERFACE_VM, "WaitTimeUSec");
    sum = sample(&c, "vgpu_vm_wait_seconds_sum{vm=\"web1\"}");
    assert_float_equal(sum, (double) wait / 1e6, 1e-9);

    /* Counts grow with the bounds. */
    for (const char *p = c.out; (p = strstr(p, "vgpu_vm_wait_seconds_bucket{vm=\"web1\""));) {
        double count = strtod(strchr(p, ' ') + 1, NULL);

        assert_true(count >= before);
        before = count;
        p = strchr(p, '\n');
    }
    assert_float_equal(before, 60, 0);
    assert_non_null(strstr(c.out, "{vm=\"back\\\\slash \\\"quoted\\\"\"}"));
    ctl_release(&c);
    close(fd);
    ctl_refuse("'metrics' has a format of its own, and takes no --json=.", "metrics",
               "--json=pretty");
}

/* ---- Pager and colours ---------------------------------------------------------------------- */

/* What "vgpuctl list" shows on a terminal. */
static char *on_terminal(const char *option)
{
    CtlProcess p;
    char *text;

    ctl_start_terminal(&p, 0, "list", "--interval=0", option);
    assert_int_equal(ctl_end(&p, &text), 0);
    return text;
}

static void expect_on_terminal(const char *option, const char *text, bool there)
{
    char *seen = on_terminal(option);

    if ((strstr(seen, text) != NULL) != there)
        fail_msg("%s'%s' in: %s", there ? "no " : "", text, seen);
    free(seen);
}

TEST(test_pager)
{
    CtlProcess p;

    setenv("SYSTEMD_PAGERSECURE", "0", 1);
    setenv("PAGER", "sed 's/^/wrong: /'", 1);
    setenv("SYSTEMD_PAGER", "sed 's/^/paged: /'", 1);
    expect_on_terminal("--no-legend", "paged: web1", true);
    expect_on_terminal("--no-pager", "paged: ", false);
    unsetenv("SYSTEMD_PAGER");
    expect_on_terminal("--no-legend", "wrong: web1", true);
    setenv("SYSTEMD_PAGER", "", 1);
    expect_on_terminal("--no-legend", "wrong: ", false);
    setenv("SYSTEMD_PAGER", "cat", 1);
    expect_on_terminal("--no-legend", "wrong: ", false);

    /* A pager that reads nothing ends vgpuctl without an error. */
    setenv("SYSTEMD_PAGER", "true", 1);
    expect_on_terminal("--no-legend", "web1", false);

    /* In the secure mode, the pager gets LESSSECURE. */
    setenv("SYSTEMD_PAGERSECURE", "1", 1);
    setenv("SYSTEMD_PAGER", "echo secure: $LESSSECURE, options: $LESS", 1);
    expect_on_terminal("--no-legend", "secure: 1, options: FRSXMK", true);
    setenv("SYSTEMD_LESS", "FX", 1);
    expect_on_terminal("--no-legend", "secure: 1, options: FX", true);
    unsetenv("SYSTEMD_LESS");
    unsetenv("SYSTEMD_PAGERSECURE");
    unsetenv("SYSTEMD_PAGER");
    unsetenv("PAGER");

    /* less, which the user leaves. */
    ctl_start_terminal(&p, 0, "list", "--no-legend");
    ctl_wait_for(&p, "web1");
    ctl_press(&p, "q");
    assert_int_equal(ctl_end(&p, NULL), 0);
}

TEST(test_colors)
{
    Ctl c;

    call_manager(NULL, "QuarantineVM", "s", "web2");
    expect_on_terminal("--no-pager", "\033[31mquarantined\033[0m", true);
    setenv("NO_COLOR", "1", 1);
    expect_on_terminal("--no-pager", "\033[31m", false);
    setenv("SYSTEMD_COLORS", "1", 1);
    c = ctl_run("list");
    assert_non_null(strstr(c.out, "\033[31mquarantined"));
    ctl_release(&c);
    c = ctl_run("status", "web2");
    assert_non_null(strstr(c.out, "State: \033[31mquarantined\033[0m"));
    ctl_release(&c);
    c = ctl_run("list", "--json=short");
    assert_null(strstr(c.out, "\033"));
    ctl_release(&c);
    setenv("SYSTEMD_COLORS", "0", 1);
    unsetenv("NO_COLOR");
    expect_on_terminal("--no-pager", "\033[31m", false);
    unsetenv("SYSTEMD_COLORS");
    call_manager(NULL, "ReleaseVM", "s", "web2");
}

/* ---- Completion --------------------------------------------------------------------------- */

/* What bash offers for the last of @words, sorted, with a space behind each. */
static void expect_offers(const char *words, const char *offers)
{
    char script[2048];
    Ctl c;

    snprintf(script, sizeof(script),
             "set -euo pipefail\n"
             "vgpuctl() { \"$VGPU_CTL\" \"$@\"; }\n"
             "source \"$VGPU_CTL_COMPLETION\"\n"
             "COMP_WORDS=(vgpuctl %s) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
             "_vgpuctl || :\n"
             "printf '%%s\\n' \"${COMPREPLY[@]}\" | sort | tr '\\n' ' '\n",
             words);
    c = ctl_shell(script);
    if (c.status != 0 || strcmp(c.out, offers) != 0)
        fail_msg("for '%s' bash offers '%s' instead of '%s'; %s", words, c.out, offers, c.err);
    ctl_release(&c);
}

TEST(test_completion)
{
    expect_offers("se", "sessions set-limits set-pool set-priority ");
    expect_offers("--json=short po", "pools ");
    expect_offers("status we", "web1 web2 ");
    expect_offers("status web1 ''", "web1 web2 ");
    expect_offers("set-priority web2", "web2 ");
    expect_offers("set-priority web1 ''", "high low medium ");
    expect_offers("set-pool web1 ''", "A C ");
    expect_offers("set-limits web1 Q", "QueueLimit= ");
    expect_offers("attach web1 W", "Weight= ");
    expect_offers("pause-pool ''", "A C ");
    expect_offers("register new uuid --pool ''", "A C ");
    expect_offers("register new uuid --pool = ''", "A C ");
    expect_offers("--priority = hi", "high ");
    expect_offers("--json = ''", "off pretty short ");
    expect_offers("--no-", "--no-ask-password --no-legend --no-pager ");
    expect_offers("list we", "web1 web2 ");
    expect_offers("pools ''", "A C ");
    expect_offers("ch", "check ");
    expect_offers("--format = o", "openmetrics ");
    expect_offers("top ''", " ");

    /* What is kept for a VM that is gone can be taken back, and nothing else be done with it. */
    register_vm("gone", 8, "A", "high");
    call_manager(NULL, "SetVMPriority", "ssb", "gone", "low", 0);
    unregister_vm("gone");
    expect_offers("revert go", "gone ");
    expect_offers("set-priority go", " ");
    call_manager(NULL, "RevertVM", "sas", "gone", 0);
}

/* A name is quoted, so that the shell takes it as it is and runs nothing in it. */
TEST(test_completion_of_evil_names)
{
    char name[256], path[128];

    snprintf(path, sizeof(path), "%s/touched", mediator.directory);
    snprintf(name, sizeof(name), "x$(touch %s);y z", path);
    register_vm(name, 9, "A", "low");
    snprintf(name, sizeof(name), "x\\$\\(touch\\ %s\\)\\;y\\ z ", path);
    expect_offers("status x", name);
    assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_list_of_names),
        cmocka_unit_test(test_one_call),
        cmocka_unit_test(test_json_list),
        cmocka_unit_test(test_json_others),
        cmocka_unit_test(test_metrics_say_what_is),
        cmocka_unit_test(test_pager),
        cmocka_unit_test(test_colors),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_completion_of_evil_names),
    };

    return cmocka_run_group_tests_name("ctl-output", tests, start, world_end);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl and polkit: who is refused and how it is said, who is asked for a password. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake-polkit.h"
#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

static FakePolkit polkit;
static char agent_directory[] = "/tmp/vgpu-agent-XXXXXX";

/* A pkttyagent that says when it starts and when it is ended. */
static const char agent_script[] = "#!/bin/bash\n"
                                   "[ \"$1 $3\" = '--notify-fd --fallback' ] || exit 1\n"
                                   "trap 'echo agent ends; exit' TERM\n"
                                   "echo agent starts\n"
                                   "eval \"exec $2>&-\"\n"
                                   "while :; do read -rt 1 <> <(:) || :; done\n";

static int install_agent(void)
{
    char path[64], search[4096];
    FILE *f;

    if (!mkdtemp(agent_directory) || chmod(agent_directory, 0755) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/pkttyagent", agent_directory);
    f = fopen(path, "we");
    if (!f)
        return -1;
    fputs(agent_script, f);
    fclose(f);
    snprintf(search, sizeof(search), "%s:%s", agent_directory, getenv("PATH"));
    return chmod(path, 0755) < 0 ? -1 : setenv("PATH", search, 1);
}

static int start(void **state)
{
    (void) state;
    if (install_agent() < 0 || world_start("[Pool A]\nBackend=cpu\n") < 0)
        return -1;
    register_vm("web", 1, "A", "high");
    return fake_polkit_start(&polkit);
}

static int end(void **state)
{
    char path[64];

    fake_polkit_stop(&polkit);
    snprintf(path, sizeof(path), "%s/pkttyagent", agent_directory);
    (void) unlink(path);
    (void) rmdir(agent_directory);
    return world_end(state);
}

static void expect_refused(Ctl c, const char *line)
{
    assert_int_equal(c.status, 1);
    assert_string_equal(c.out, "");
    assert_string_equal(c.err, line);
    ctl_release(&c);
}

/* Everybody may look. */
TEST(test_looking)
{
    Ctl c;

    c = ctl_run_as(NOBODY, "status", "web");
    assert_int_equal(c.status, 0);
    assert_non_null(strstr(c.out, "UUID: 01010101"));
    ctl_release(&c);
    c = ctl_run_as(NOBODY, "metrics");
    assert_int_equal(c.status, 0);
    assert_non_null(strstr(c.out, "\nvgpu_vm_info{vm=\"web\""));
    ctl_release(&c);
    assert_false(fake_polkit_any_call(&polkit));
}

TEST(test_refused)
{
    FakePolkitCall call;

    assert_int_equal(fake_polkit_set(&polkit, NULL, (uid_t) -1, FAKE_POLKIT_NO), 0);
    expect_refused(ctl_run_as(NOBODY, "set-priority", "web", "low"),
                   "Failed to set priority of VM web: Not authorized for "
                   "org.vgpu.mediator1.manage-vms.\n");
    assert_int_equal(fake_polkit_next_call(&polkit, &call), 0);
    assert_string_equal(call.action, "org.vgpu.mediator1.manage-vms");
    assert_string_equal(call.vm, "web");
    assert_int_equal(call.uid, NOBODY);
    assert_true(call.interactive);

    expect_refused(ctl_run_as(NOBODY, "pause-pool", "A"),
                   "Failed to pause pool A: Not authorized for org.vgpu.mediator1.manage-pools.\n");
    assert_int_equal(fake_polkit_next_call(&polkit, &call), 0);
    expect_refused(ctl_run_as(NOBODY, "reload"),
                   "Failed to reload the configuration: Not authorized for "
                   "org.vgpu.mediator1.reload.\n");
    assert_int_equal(fake_polkit_next_call(&polkit, &call), 0);
    vm_text_is("web", "Priority", "high");
}

TEST(test_no_ask_password)
{
    FakePolkitCall call;

    assert_int_equal(fake_polkit_set(&polkit, NULL, NOBODY, FAKE_POLKIT_CHALLENGE), 0);
    expect_refused(ctl_run_as(NOBODY, "--no-ask-password", "set-priority", "web", "low"),
                   "Failed to set priority of VM web: Interactive authentication required for "
                   "org.vgpu.mediator1.manage-vms.\n");
    assert_int_equal(fake_polkit_next_call(&polkit, &call), 0);
    assert_false(call.interactive);
    vm_text_is("web", "Priority", "high");
}

TEST(test_allowed)
{
    FakePolkitCall call;
    Ctl c;

    assert_int_equal(
        fake_polkit_set(&polkit, "org.vgpu.mediator1.manage-vms", NOBODY, FAKE_POLKIT_YES), 0);
    c = ctl_run_as(NOBODY, "set-priority", "web", "low", "--runtime");
    assert_int_equal(c.status, 0);
    assert_string_equal(c.err, "");
    ctl_release(&c);
    assert_int_equal(fake_polkit_next_call(&polkit, &call), 0);
    vm_text_is("web", "Priority", "low");
}

/* On a terminal, polkit's agent runs before vgpuctl asks, and not longer than vgpuctl. */
TEST(test_agent)
{
    FakePolkitCall call;
    CtlProcess p;

    assert_int_equal(fake_polkit_set(&polkit, NULL, NOBODY, FAKE_POLKIT_CHALLENGE), 0);
    assert_int_equal(fake_polkit_hold(&polkit), 0);
    ctl_start_terminal(&p, NOBODY, "set-priority", "web", "medium", "--runtime");
    ctl_wait_for(&p, "agent starts");
    assert_int_equal(fake_polkit_next_call(&polkit, &call), 0);
    assert_true(call.interactive);
    vm_text_is("web", "Priority", "low");

    /* The user has typed the password. */
    assert_int_equal(fake_polkit_release(&polkit), 0);
    ctl_wait_for(&p, "agent ends");
    assert_int_equal(ctl_end(&p, NULL), 0);
    vm_text_is("web", "Priority", "medium");
}

/* No agent is started for root, for a command that only reads, and with --no-ask-password. */
TEST(test_no_agent)
{
    FakePolkitCall call;
    CtlProcess p;
    char *rest;

    ctl_start_terminal(&p, 0, "set-priority", "web", "low", "--runtime");
    assert_int_equal(ctl_end(&p, &rest), 0);
    assert_string_equal(rest, "");
    free(rest);
    ctl_start_terminal(&p, NOBODY, "list", "--no-pager");
    assert_int_equal(ctl_end(&p, &rest), 0);
    assert_null(strstr(rest, "agent"));
    free(rest);
    ctl_start_terminal(&p, NOBODY, "set-priority", "web", "high", "--no-ask-password");
    assert_int_equal(ctl_end(&p, &rest), 1);
    assert_string_equal(rest, "Failed to set priority of VM web: Interactive authentication "
                              "required for org.vgpu.mediator1.manage-vms.\r\n");
    free(rest);
    assert_int_equal(fake_polkit_next_call(&polkit, &call), 0);
    assert_false(fake_polkit_any_call(&polkit));
}

/* A missing agent is not an error by itself. */
TEST(test_without_agent_program)
{
    char *path = strdup(getenv("PATH"));
    FakePolkitCall call;
    CtlProcess p;

    setenv("PATH", "/nonexistent", 1);
    assert_int_equal(fake_polkit_set(&polkit, NULL, NOBODY, FAKE_POLKIT_YES), 0);
    ctl_start_terminal(&p, NOBODY, "set-priority", "web", "high", "--runtime");
    assert_int_equal(ctl_end(&p, NULL), 0);
    assert_int_equal(fake_polkit_next_call(&polkit, &call), 0);
    vm_text_is("web", "Priority", "high");
    setenv("PATH", path, 1);
    free(path);
}

TEST(test_no_polkit)
{
    fake_polkit_stop(&polkit);
    expect_refused(ctl_run_as(NOBODY, "set-priority", "web", "low"),
                   "Failed to set priority of VM web: Not authorized for "
                   "org.vgpu.mediator1.manage-vms.\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looking),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_ask_password),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_agent),
        cmocka_unit_test(test_no_agent),
        cmocka_unit_test(test_without_agent_program),
        cmocka_unit_test(test_no_polkit),
    };

    if (getuid() != 0) {
        puts("1..0 # SKIP needs root, to be another user");
        return 0;
    }
    return cmocka_run_group_tests_name("ctl-access", tests, start, end);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl where its output cannot be written: each command says so, and fails. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

static int start(void **state)
{
    (void) state;
    unsetenv("PAGER");
    unsetenv("SYSTEMD_PAGER");
    if (world_start("[Pool A]\nBackend=cpu\n") < 0)
        return -1;
    register_vm("web1", 1, "A", "high");
    return 0;
}

/* Runs "vgpuctl @arguments", a piece of a shell's script. */
static Ctl run_script(const char *arguments)
{
    char script[512];

    snprintf(script, sizeof(script), "\"$VGPU_CTL\" %s", arguments);
    return ctl_shell(script);
}

/* After this, the reason, or that some of it is missing where the reason came too early. */
#define FAILED "Failed to write to standard output: "

static void expect_failure(const char *arguments, const char *reason, const char *or_reason)
{
    Ctl c = run_script(arguments);
    bool said = strncmp(c.err, FAILED, strlen(FAILED)) == 0 &&
                (strcmp(c.err + strlen(FAILED), reason) == 0 ||
                 strcmp(c.err + strlen(FAILED), or_reason) == 0);

    if (c.status != 1 || !said)
        fail_msg("vgpuctl %s exited with %d and said '%s'", arguments, c.status, c.err);
    ctl_release(&c);
}

TEST(test_full_disk)
{
    static const char *const commands[] = {
        "",
        "list",
        "pools",
        "status web1",
        "metrics",
        "--json=short list",
        "--json=pretty pools",
        "--json=pretty status web1",
        "register new 12345678-9abc-def0-1234-56789abcdef0",
        "--help",
        "--version",
        "--list-limits",
    };
    char arguments[256];

    for (unsigned i = 0; i < ELEMENTSOF(commands); i++) {
        snprintf(arguments, sizeof(arguments), "%s >/dev/full", commands[i]);
        expect_failure(arguments, "No space left on device\n", "some of it is missing.\n");
    }
    unregister_vm("new");
}

/* The output must not get into what is opened after the start: the connection to the bus. */
TEST(test_closed_output)
{
    Ctl c;

    expect_failure("list >&-", "Bad file descriptor\n", "");
    c = run_script("pause web1 >&- <&- && \"$VGPU_CTL\" resume web1 >&-");
    assert_int_equal(c.status, 0);
    assert_string_equal(c.err, "");
    ctl_release(&c);
}

/* The monitor ends with the first line that it cannot write. */
TEST(test_monitor)
{
    CtlProcess monitor;
    char *rest;

    ctl_start_shell(&monitor, "exec \"$VGPU_CTL\" monitor >/dev/full");
    ctl_wait_for(&monitor, "Showing changes as they happen.\n");
    call_manager(NULL, "PauseVM", "s", "web1");
    assert_int_equal(ctl_end(&monitor, &rest), 1);
    assert_string_equal(rest, "Failed to write to standard output: some of it is missing.\n");
    free(rest);
    call_manager(NULL, "ResumeVM", "s", "web1");
}

static void expect_pager(const char *pager, int status, const char *message)
{
    CtlProcess p;
    char *text;

    setenv("SYSTEMD_PAGER", pager, 1);
    ctl_start_terminal(&p, 0, "list", "--interval=0");
    assert_int_equal(ctl_end(&p, &text), status);
    if ((strstr(text, "pager") != NULL) != (message != NULL) || (message && !strstr(text, message)))
        fail_msg("with the pager '%s' vgpuctl says '%s'", pager, text);
    free(text);
    unsetenv("SYSTEMD_PAGER");
}

TEST(test_pager)
{
    setenv("SYSTEMD_PAGERSECURE", "0", 1);
    expect_pager("dd status=none of=/dev/full 2>/dev/null", 1,
                 "The pager ended with exit status 1: the output may be incomplete.");
    expect_pager("exit 127", 1,
                 "The pager ended with exit status 127: the output may be incomplete.");
    expect_pager("kill -SEGV $$", 1,
                 "The pager was ended by signal 11: the output may be incomplete.");
    /* The user has seen enough. */
    expect_pager("true", 0, NULL);
    expect_pager("exit 2", 0, NULL);
    expect_pager("kill -INT $$", 0, NULL);
    unsetenv("SYSTEMD_PAGERSECURE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_closed_output),
        cmocka_unit_test(test_monitor),
        cmocka_unit_test(test_pager),
    };

    return cmocka_run_group_tests_name("ctl-write", tests, start, world_end);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may call what: the table of access.c against the contract, and against a polkit that is
 * slow. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access.h"
#include "fake-polkit.h"
#include "test.h"
#include "world.h"

#define NOBODY 65534

/* An exit status that is no errno */
#define WANTS_A_PASSWORD 253

static FakePolkit polkit;

static int start(void **state)
{
    (void) state;
    return world_start("[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n");
}

/* ---- Another user ------------------------------------------------------------------------- */

typedef struct Call {
    const char *path;
    const char *interface;
    const char *member;
    const char *types;
} Call;

/* Every member that changes something, with arguments that it would take. */
static const Call calls[] = {
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "RegisterVM", "ssssa{sv}"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "UnregisterVM", "s"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "SetVMStarted", "sa{sv}"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "SetVMPriority", "ssb"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "SetVMPool", "ssb"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "SetVMLimits", "sa{sv}b"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "ConfigureVM", "sa{sv}"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "RevertVM", "sas"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "PauseVM", "s"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "ResumeVM", "s"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "QuarantineVM", "s"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "ReleaseVM", "s"},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "Reload", ""},
    {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "ResetStatistics", ""},
    {VM("web"), VGPU_INTERFACE_VM, "SetPriority", "sb"},
    {VM("web"), VGPU_INTERFACE_VM, "SetPool", "sb"},
    {VM("web"), VGPU_INTERFACE_VM, "SetLimits", "a{sv}b"},
    {VM("web"), VGPU_INTERFACE_VM, "Configure", "a{sv}"},
    {VM("web"), VGPU_INTERFACE_VM, "Revert", "as"},
    {VM("web"), VGPU_INTERFACE_VM, "Pause", ""},
    {VM("web"), VGPU_INTERFACE_VM, "Resume", ""},
    {VM("web"), VGPU_INTERFACE_VM, "Quarantine", ""},
    {VM("web"), VGPU_INTERFACE_VM, "Release", ""},
    {VM("web"), VGPU_INTERFACE_VM, "Unregister", ""},
    {VM("web"), VGPU_INTERFACE_VM, "ResetStatistics", ""},
    {POOL_A, VGPU_INTERFACE_POOL, "Pause", ""},
    {POOL_A, VGPU_INTERFACE_POOL, "Resume", ""},
    {POOL_A, VGPU_INTERFACE_POOL, "ResetStatistics", ""},
};

#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

/* Those that need a session, Session.End and EndSession: test-session-bus.c has one, and makes
 * them. */
#define N_SESSION_CALLS 2

static int append_arguments(sd_bus_message *m, const char *types)
{
    int r = 0;

    for (const char *t = types; *t && r >= 0; t++) {
        if (*t == 's')
            r = sd_bus_message_append(m, "s", "web");
        else if (*t == 'b')
            r = sd_bus_message_append(m, "b", 1);
        else if (*t == 'a') {
            r = sd_bus_message_append(m, t[1] == '{' ? "a{sv}" : "as", 0);
            t += t[1] == '{' ? strlen("{sv}") : strlen("s");
        }
    }
    return r;
}

/* Runs in a child: becomes another user, makes the call, and exits with the errno of its error. */
static void call_and_exit(const Call *call)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *m = NULL;
    sd_bus *own = NULL;
    int r;

    if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0 || sd_bus_open_system(&own) < 0 ||
        sd_bus_message_new_method_call(own, &m, VGPU_BUS_NAME, call->path, call->interface,
                                       call->member) < 0 ||
        append_arguments(m, call->types) < 0)
        _exit(254);
    r = sd_bus_call(own, m, 0, &error, NULL);
    if (sd_bus_error_has_name(&error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
        _exit(WANTS_A_PASSWORD);
    _exit(r < 0 ? -r : 0);
}

static pid_t start_as_nobody(const Call *call)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        call_and_exit(call);
    return pid;
}

static int result_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- The table ---------------------------------------------------------------------------- */

static bool only_reads(const char *member)
{
    return strncmp(member, "Get", 3) == 0 || strncmp(member, "List", 4) == 0;
}

/* The table has a row for each method of the contract that changes something, and no other row. */
TEST(test_table_is_the_contract)
{
    FILE *f = fopen(getenv("VGPU_BUS_CONTRACT"), "re");
    char line[512], interface[128] = "", member[128];
    unsigned n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, " <interface name=\"%127[^\"]", interface) == 1 ||
            sscanf(line, " <method name=\"%127[^\"]", member) != 1)
            continue;
        if (only_reads(member) != (access_action(interface, member) == NULL))
            fail_msg("%s.%s", interface, member);
        n += !only_reads(member);
    }
    fclose(f);
    assert_int_equal(n, N_CALLS + N_SESSION_CALLS);
    assert_null(access_action(VGPU_INTERFACE_VM, "Nonsense"));
}

/* ---- Verdicts that nobody asks for any more ----------------------------------------------- */

/* Of two calls to unregister a VM the second finds no object when it is allowed. None of these may
 * stay, since a connection can have 32 calls in hand. */
TEST(test_calls_to_a_VM_that_goes)
{
    for (unsigned i = 0; i < 300; i++) {
        register_vm("goes", 2, "A", "low");
        for (unsigned twice = 0; twice < 2; twice++) {
            sd_bus_message *m = NULL;

            assert_true(sd_bus_message_new_method_call(bus, &m, VGPU_BUS_NAME, VM("goes"),
                                                       VGPU_INTERFACE_VM, "Unregister") >= 0);
            assert_true(sd_bus_send(bus, m, NULL) >= 0);
            sd_bus_message_unref(m);
        }
        expect_signal(NULL, "VMRemoved", "goes");
    }
    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Pause", NULL);
    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Resume", NULL);
}

/* ---- polkit ------------------------------------------------------------------------------- */

TEST(test_without_polkit_nobody_may)
{
    register_vm("web", 1, "A", "low");
    for (unsigned i = 0; i < N_CALLS; i++)
        if (result_of(start_as_nobody(&calls[i])) != EACCES)
            fail_msg("%s.%s", calls[i].interface, calls[i].member);
    call_manager(NULL, "GetVM", "s", "web");
}

static int start_polkit(void **state)
{
    (void) state;
    return fake_polkit_start(&polkit);
}

static int stop_polkit(void **state)
{
    (void) state;
    fake_polkit_stop(&polkit);
    return 0;
}

/* Each call asks polkit for its own action, and names the VM that it is about. */
TEST(test_polkit_says_no)
{
    for (unsigned i = 0; i < N_CALLS; i++) {
        FakePolkitCall asked;

        assert_int_equal(result_of(start_as_nobody(&calls[i])), EACCES);
        assert_int_equal(fake_polkit_next_call(&polkit, &asked), 0);
        assert_string_equal(asked.action, access_action(calls[i].interface, calls[i].member));
        assert_string_equal(asked.method, calls[i].member);
        assert_int_equal(asked.uid, NOBODY);
        if (strcmp(calls[i].path, VM("web")) == 0)
            assert_string_equal(asked.vm, "web");
    }
}

TEST(test_polkit_says_yes)
{
    static const Call pause = {VM("web"), VGPU_INTERFACE_VM, "Pause", ""};
    static const Call resume = {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "ResumeVM", "s"};
    static const Call reload = {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "Reload", ""};

    assert_int_equal(fake_polkit_set(&polkit, VGPU_ACTION_MANAGE_VMS, NOBODY, FAKE_POLKIT_YES), 0);
    assert_int_equal(result_of(start_as_nobody(&pause)), 0);
    assert_true(get_bool(VM("web"), VGPU_INTERFACE_VM, "Paused"));
    assert_int_equal(result_of(start_as_nobody(&resume)), 0);
    assert_false(get_bool(VM("web"), VGPU_INTERFACE_VM, "Paused"));
    assert_int_equal(result_of(start_as_nobody(&reload)), EACCES);
}

TEST(test_polkit_wants_a_password)
{
    static const Call reload = {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "Reload", ""};

    assert_int_equal(fake_polkit_set(&polkit, VGPU_ACTION_RELOAD, NOBODY, FAKE_POLKIT_CHALLENGE),
                     0);
    assert_int_equal(result_of(start_as_nobody(&reload)), WANTS_A_PASSWORD);
}

/* While somebody types a password, requests are served and others may call. */
TEST(test_slow_polkit_holds_up_nobody)
{
    static const Call quarantine = {VM("web"), VGPU_INTERFACE_VM, "Quarantine", ""};
    FakePolkitCall asked;
    pid_t pid;

    assert_int_equal(fake_polkit_set(&polkit, NULL, NOBODY, FAKE_POLKIT_YES), 0);
    assert_int_equal(fake_polkit_hold(&polkit), 0);
    pid = start_as_nobody(&quarantine);
    do
        assert_int_equal(fake_polkit_next_call(&polkit, &asked), 0);
    while (strcmp(asked.method, "Quarantine") != 0);

    expect_add_works();
    call_manager(NULL, "PauseVM", "s", "web");
    assert_false(get_bool(VM("web"), VGPU_INTERFACE_VM, "Quarantined"));
    assert_int_equal(fake_polkit_release(&polkit), 0);
    assert_int_equal(result_of(pid), 0);
    assert_true(get_bool(VM("web"), VGPU_INTERFACE_VM, "Quarantined"));
}

/* The VM may be gone when the verdict comes. */
TEST(test_vm_goes_while_polkit_thinks)
{
    static const Call release = {VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "ReleaseVM", "s"};
    FakePolkitCall asked;
    pid_t pid;

    assert_int_equal(fake_polkit_set(&polkit, NULL, NOBODY, FAKE_POLKIT_YES), 0);
    assert_int_equal(fake_polkit_hold(&polkit), 0);
    pid = start_as_nobody(&release);
    do
        assert_int_equal(fake_polkit_next_call(&polkit, &asked), 0);
    while (strcmp(asked.method, "ReleaseVM") != 0);
    call_manager(NULL, "UnregisterVM", "s", "web");
    assert_int_equal(fake_polkit_release(&polkit), 0);
    assert_int_not_equal(result_of(pid), 0);
    expect_add_works();
}

/* ---- Callers in a crowd ------------------------------------------------------------------- */

/* Users that every Debian has: the bus takes no others. */
static const uid_t crowd_uids[] = {1, 2, NOBODY};

#define CROWD_UIDS 3
#define CROWD_PER_UID 4
#define CROWD_CALLS 100

/* Runs in a child: as another user, sends many calls that polkit has to decide on, and reports on
 * @fd how many were refused for lack of a place. Goes on until it is killed. */
static void crowd(uid_t uid, int fd)
{
    sd_bus *own = NULL;

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setgid(uid) < 0 || setuid(uid) < 0 || sd_bus_open_system(&own) < 0)
        _exit(1);
    for (unsigned i = 0; i < CROWD_CALLS; i++) {
        sd_bus_message *m = NULL;
        uint64_t cookie; /* without one, no reply is expected */

        if (sd_bus_message_new_method_call(own, &m, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                           VGPU_INTERFACE_MANAGER, "PauseVM") < 0 ||
            sd_bus_message_append(m, "s", "crowd") < 0 || sd_bus_send(own, m, &cookie) < 0)
            _exit(2);
        sd_bus_message_unref(m);
    }
    for (;;) {
        sd_bus_message *m = NULL;
        int r = sd_bus_process(own, &m);

        if (r < 0 || (r == 0 && sd_bus_wait(own, UINT64_MAX) < 0))
            _exit(3);
        if (m && sd_bus_message_is_method_error(m, SD_BUS_ERROR_LIMITS_EXCEEDED) > 0 &&
            write(fd, &(char){0}, 1) != 1)
            _exit(4);
        sd_bus_message_unref(m);
    }
}

/* Twelve processes of three users send 1,200 calls, and polkit never answers. Each user has four
 * places, all further calls are refused, and root's calls need none. */
TEST(test_a_crowd_without_rights_costs_nobody)
{
    unsigned n = 0, wanted = CROWD_UIDS * (CROWD_PER_UID * CROWD_CALLS - 4);
    pid_t pids[CROWD_UIDS * CROWD_PER_UID];
    FakePolkitCall asked;
    int fds[2];

    register_vm("crowd", 7, "A", "low");
    while (fake_polkit_any_call(&polkit))
        assert_int_equal(fake_polkit_next_call(&polkit, &asked), 0);
    assert_int_equal(fake_polkit_hold(&polkit), 0);
    assert_int_equal(pipe(fds), 0);
    for (unsigned i = 0; i < CROWD_UIDS * CROWD_PER_UID; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            crowd(crowd_uids[i % CROWD_UIDS], fds[1]);
    }

    while (n < wanted) {
        char byte[64];
        ssize_t r = read(fds[0], byte, wanted - n < 64 ? wanted - n : 64);

        assert_true(r > 0);
        n += (unsigned) r;
        call_manager(NULL, "ResumeVM", "s", "crowd");
    }
    for (unsigned i = 0; i < CROWD_UIDS * 4; i++)
        assert_int_equal(fake_polkit_next_call(&polkit, &asked), 0);
    assert_false(fake_polkit_any_call(&polkit));
    call_manager(NULL, "PauseVM", "s", "crowd");
    call_manager(NULL, "UnregisterVM", "s", "crowd");

    for (unsigned i = 0; i < CROWD_UIDS * CROWD_PER_UID; i++) {
        assert_int_equal(kill(pids[i], SIGKILL), 0);
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    }
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(fake_polkit_release(&polkit), 0);
}

#define WITH_POLKIT(test) cmocka_unit_test_setup_teardown(test, start_polkit, stop_polkit)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_the_contract),
        cmocka_unit_test(test_calls_to_a_VM_that_goes),
        cmocka_unit_test(test_without_polkit_nobody_may),
        WITH_POLKIT(test_polkit_says_no),
        WITH_POLKIT(test_polkit_says_yes),
        WITH_POLKIT(test_polkit_wants_a_password),
        WITH_POLKIT(test_slow_polkit_holds_up_nobody),
        WITH_POLKIT(test_vm_goes_while_polkit_thinks),
        WITH_POLKIT(test_a_crowd_without_rights_costs_nobody),
    };

    if (getuid() != 0) {
        printf("1..0 # SKIP needs root, to play another user\n");
        return EXIT_SUCCESS;
    }
    return cmocka_run_group_tests_name("access", tests, start, world_end);
}

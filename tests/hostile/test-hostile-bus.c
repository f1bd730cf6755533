/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mediator that administrators have told who may come, and a user who may not: he claims a VM
 * that is another's, one that nobody knows, and makes calls on the bus that polkit would have to
 * decide.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"
#include "fake-polkit.h"
#include "test.h"
#include "world.h"

#define LINES_MAX 200
#define SECONDS 1.5
#define WEB 1
#define STRANGER 2

static int start(void **state)
{
    (void) state;
    if (world_start("[Pool A]\nBackend=cpu\n") < 0 || chmod(mediator.directory, 0711) < 0 ||
        chmod(mediator.socket, 0666) < 0)
        return -1;
    register_vm("web", WEB, "A", "high");
    return 0;
}

static int end(void **state)
{
    (void) attack_teardown(state);
    return world_end(state);
}

/* Says HELLO as the VM of @tag, and takes the answer. */
static void claim(uint8_t tag)
{
    VGPUHello message = {.features = VGPU_FEATURE_RING};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 1, 70, 0, sizeof(message));
    int fd = attack_dial();
    WireMessage m;

    memset(message.uuid, tag, sizeof(message.uuid));
    (void) wire_send(fd, &h, &message);
    (void) wire_receive(fd, &m);
    close(fd);
}

static void claim_busy(void)
{
    claim(WEB);
}

static void claim_unknown(void)
{
    claim(STRANGER);
}

/* The real one is served all the while, and the log stays short. */
static void expect_claims_to_fail(void (*round)(void))
{
    unsigned before;
    int fd = dial();
    Attack *a;

    hello(fd, WEB, 0, NULL);
    (void) expect_welcome(fd);
    before = mediator_lines();
    a = attack_repeat(round);
    neighbour_works(fd, SECONDS);
    assert_true(a->rounds > 0);
    attack_end(a);
    assert_in_range(mediator_lines() - before, 0, LINES_MAX);
    close(fd);
}

TEST(test_claims_of_a_busy_identity_in_the_log)
{
    expect_claims_to_fail(claim_busy);
}

TEST(test_claims_of_an_unknown_identity_in_the_log)
{
    expect_claims_to_fail(claim_unknown);
}

/* As many calls as a bus allows a connection to have unanswered, on some connections. */
static void call_without_rights(Attack *a)
{
    (void) a;
    for (unsigned c = 0; c < 5; c++) {
        sd_bus *caller = NULL;

        if (sd_bus_open_system(&caller) < 0)
            _exit(1);
        for (unsigned i = 0; i < 120; i++) {
            sd_bus_message *m = NULL;

            if (sd_bus_message_new_method_call(caller, &m, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                               VGPU_INTERFACE_MANAGER, "PauseVM") < 0 ||
                sd_bus_message_set_allow_interactive_authorization(m, true) < 0 ||
                sd_bus_message_append(m, "s", "web") < 0 ||
                sd_bus_call_async(caller, NULL, m, NULL, NULL, 0) < 0)
                _exit(1);
            sd_bus_message_unref(m);
        }
        if (sd_bus_flush(caller) < 0)
            _exit(1);
    }
}

/* Polkit thinks about each of them; whoever needs no polkit does not wait, and is not refused. */
TEST(test_calls_that_wait_for_polkit_take_no_place)
{
    FakePolkit polkit;
    Attack *a;

    assert_int_equal(fake_polkit_start(&polkit), 0);
    assert_int_equal(fake_polkit_hold(&polkit), 0);
    a = attack_start(call_without_rights);
    for (unsigned i = 0; i < 20; i++) {
        call_manager(NULL, "SetVMPriority", "ssb", "web", i % 2 ? "high" : "low", true);
        usleep(20000);
    }
    attack_end(a);
    fake_polkit_stop(&polkit);
}

/* A call with a descriptor that takes a day to close. */
static void send_lingering(void)
{
    int fd = attack_make_lingering();
    pid_t pid = fork();

    if (pid == 0) {
        sd_bus *caller = NULL;
        sd_bus_message *m = NULL;

        if (sd_bus_open_system(&caller) < 0 ||
            sd_bus_message_new_method_call(caller, &m, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                           VGPU_INTERFACE_MANAGER, "SetVMLimits") < 0)
            _exit(1);
        if (sd_bus_message_append(m, "sa{sv}b", "web", 1, "Weight", "h", fd, false) >= 0)
            (void) sd_bus_send(caller, m, NULL);
        (void) sd_bus_flush(caller);
        usleep(20000);
        _exit(0);
    }
    close(fd);
    (void) waitpid(pid, NULL, 0);
}

/* When polkit refuses the calls that have waited for it, whoever sent the descriptors has no longer
 * any. */
TEST(test_descriptors_in_calls)
{
    FakePolkit polkit;
    int fd = dial();
    Attack *a;

    assert_int_equal(fake_polkit_start(&polkit), 0);
    assert_int_equal(fake_polkit_hold(&polkit), 0);
    hello(fd, WEB, 0, NULL);
    (void) expect_welcome(fd);
    a = attack_repeat(send_lingering);
    neighbour_works(fd, SECONDS / 2);
    assert_int_equal(fake_polkit_release(&polkit), 0);
    neighbour_works(fd, SECONDS);
    attack_end(a);
    call_manager(NULL, "SetVMPriority", "ssb", "web", "low", true);
    fake_polkit_stop(&polkit);
    close(fd);
}

/* The error's name that a call of a stranger's gets; "" for none */
static const char *call_error(const char *path, const char *interface, const char *member,
                              const char *text)
{
    static char name[100];
    static sd_bus *caller;
    sd_bus_error error = SD_BUS_ERROR_NULL;

    if (!caller && sd_bus_open_system(&caller) < 0)
        _exit(1);
    (void) sd_bus_call_method(caller, VGPU_BUS_NAME, path, interface, member, &error, NULL, "s",
                              text);
    snprintf(name, sizeof(name), "%s", error.name ? error.name : "");
    sd_bus_error_free(&error);
    return name;
}

/* As long as sd-bus lets a path be. */
static void call_long_path(void)
{
    static char path[65001];

    for (unsigned i = 0; i < sizeof(path) - 1; i++)
        path[i] = i % 2 ? 'a' : '/';
    if (strcmp(call_error(path, "org.freedesktop.DBus.Properties", "GetAll", "x.y"),
               SD_BUS_ERROR_UNKNOWN_OBJECT) != 0)
        _exit(1);
}

/* Each of them used to take two seconds, of everybody's. */
TEST(test_long_paths)
{
    int fd = dial();
    Attack *a;

    hello(fd, WEB, 0, NULL);
    (void) expect_welcome(fd);
    a = attack_repeat(call_long_path);
    neighbour_works(fd, SECONDS);
    assert_true(a->rounds >= 10);
    attack_end(a);
    close(fd);
}

/* Nobody gets a megabyte of his own back. */
TEST(test_long_names)
{
    static char name[1 << 20];

    memset(name, 'a', sizeof(name) - 1);
    assert_string_equal(call_error(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "GetVM", name),
                        SD_BUS_ERROR_INVALID_ARGS);
    name[4096] = '\0';
    assert_string_equal(call_error(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "GetVM", name),
                        VGPU_BUS_ERROR_NO_SUCH_VM);
}

#define ON_A_BUS(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_BUS(test_claims_of_a_busy_identity_in_the_log),
        ON_A_BUS(test_claims_of_an_unknown_identity_in_the_log),
        ON_A_BUS(test_calls_that_wait_for_polkit_take_no_place),
        ON_A_BUS(test_descriptors_in_calls),
        ON_A_BUS(test_long_paths),
        ON_A_BUS(test_long_names),
    };

    if (getuid() != 0) {
        printf("1..0 # SKIP needs root, to play another user\n");
        return EXIT_SUCCESS;
    }
    return cmocka_run_group_tests_name("hostile on the bus", tests, NULL, NULL);
}

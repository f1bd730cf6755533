/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Containers as VMs: all processes of a unit, or of a machine, that somebody registered. systemd
 * and systemd-machined are stand-ins, and so are the executors. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-machined.h"
#include "fake-units.h"
#include "session-world.h"
#include "test.h"

#define UNIT FAKE_UNITS_UNIT
#define OTHER_PATH "/org/freedesktop/systemd1/unit/other_2eservice"

static int start(void **state)
{
    int r = session_world_start(state);

    fake_units_start();
    return r;
}

static int end(void **state)
{
    fake_units_stop();
    return world_end(state);
}

/* ---- Processes --------------------------------------------------------------------------------
 */

static void register_place(const char *name, const char *kind, const char *place)
{
    call_manager(NULL, "RegisterVM", "ssssa{sv}", name, "", "A", "low", 1, kind, "s", place);
}

static int say_hello(const uint8_t *uuid)
{
    VGPUHello hello = {.features = VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 1, 70, 0, sizeof(hello));
    int fd = dial();

    if (uuid)
        memcpy(hello.uuid, uuid, sizeof(hello.uuid));
    assert_true(wire_send(fd, &h, &hello));
    return fd;
}

/* It has sessions, and no ring for requests. */
static int join(void)
{
    static const uint8_t none[16];
    int fd = say_hello(NULL);
    VGPUWelcome welcome = expect_welcome(fd);

    assert_int_equal(welcome.features, VGPU_FEATURE_SESSIONS);
    assert_memory_equal(welcome.resume, none, sizeof(none));
    return fd;
}

static void expect_end(int fd)
{
    WireMessage m;

    assert_int_equal(wire_receive(fd, &m), 0);
    close(fd);
}

static void expect_no(int fd)
{
    expect_quarantined(fd, 70);
    expect_end(fd);
}

static uint64_t vm_number(const char *vm, const char *property)
{
    return get_u64(vm, VGPU_INTERFACE_VM, property);
}

static void expect_vm(const char *session, const char *vm)
{
    sd_bus_message *reply = NULL;
    const char *path;

    assert_true(sd_bus_get_property(bus, VGPU_BUS_NAME, session, VGPU_INTERFACE_SESSION, "VM", NULL,
                                    &reply, "o") >= 0);
    assert_true(sd_bus_message_read(reply, "o", &path) > 0);
    assert_string_equal(path, vm);
    sd_bus_message_unref(reply);
}

/* ---- Units ------------------------------------------------------------------------------------
 */

/* Several processes, with a ring number of their own each, are one VM's sessions. */
TEST(test_unit)
{
    SessionGuest g[3];
    int fd[3];

    register_place("web", "Unit", UNIT);
    expect_text(VM("web"), VGPU_INTERFACE_VM, "Unit", UNIT);
    expect_text(VM("web"), VGPU_INTERFACE_VM, "Machine", "");
    assert_false(get_bool(VM("web"), VGPU_INTERFACE_VM, "Connected"));
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "web", 2, "SessionsMax", "u", 2,
                 "SessionMemoryMax", "t", UINT64_C(1000), 1);
    for (unsigned i = 0; i < 3; i++)
        fd[i] = join();
    assert_true(get_bool(VM("web"), VGPU_INTERFACE_VM, "Connected"));

    for (unsigned i = 0; i < 2; i++) {
        session_peer_up(fd[i], &g[i], 1, "");
        session_peer_count(&g[i], &(FakeFigures){.memory = 100, .launches = 3});
        assert_int_equal(session_peer_ask(&g[i]).memory_max, 1000);
    }
    expect_vm(SESSION("1"), VM("web"));
    assert_int_equal(list_sessions(NULL, 0), 2);
    assert_int_equal(vm_number(VM("web"), "SessionMemoryBytes"), 200);
    assert_int_equal(vm_number(VM("web"), "SessionLaunches"), 6);
    session_peer_prepare(&g[2], "");
    session_peer_open(fd[2], &g[2], 1);
    expect_session_ready(fd[2], 1, VGPU_ERROR_QUEUE_FULL, 0);

    call_manager(NULL, "PauseVM", "s", "web");
    assert_int_equal(session_peer_ask(&g[0]).gate, 0);
    call_manager(NULL, "ResumeVM", "s", "web");

    /* One that goes takes its own along. */
    close(fd[0]);
    wait_for_children(1, WIRE_TIMEOUT_MSEC);
    session_expect_log("CUDA session 1 of ring 1 ended: its device is gone");
    assert_int_equal(list_sessions(NULL, 0), 1);
    session_peer_open(fd[2], &g[2], 1);
    expect_session_ready(fd[2], 1, VGPU_ERROR_NONE, 0);
    session_peer_down(fd[1], &g[1], 1);
    assert_int_equal(vm_number(VM("web"), "SessionLaunches"), 6);

    call_manager(NULL, "UnregisterVM", "s", "web");
    expect_end(fd[1]);
    expect_end(fd[2]);
    wait_for_children(0, WIRE_TIMEOUT_MSEC);
    session_guest_close(&g[0]);
    session_guest_close(&g[2]);
}

/* Whoever is in another unit, or in none, is no part of it. */
TEST(test_others)
{
    register_place("web", "Unit", UNIT);
    strcpy(fake_units->path, OTHER_PATH);
    expect_no(say_hello(NULL));
    fake_units->path[0] = '\0';
    expect_no(say_hello(NULL));
    strcpy(fake_units->error, "org.freedesktop.DBus.Error.ServiceUnknown");
    expect_no(say_hello(NULL));
    /* Who cannot be told may try again. */
    strcpy(fake_units->error, "org.freedesktop.DBus.Error.NoReply");
    expect_end(say_hello(NULL));
    fake_units->error[0] = '\0';
    strcpy(fake_units->path, FAKE_UNITS_PATH);
    close(join());
}

/* It takes no more connections than the processes of a user may have. */
TEST(test_many_members)
{
    int fd[2];

    register_place("web", "Unit", UNIT);
    for (unsigned i = 0; i < 2; i++)
        fd[i] = join();
    expect_end(say_hello(NULL));
    close(fd[0]);
    session_expect_log("its VM has as many connections as ConnectionsPerUser= allows");
    expect_pong(fd[1]); /* which is answered when the mediator knows that the first is gone */
    fd[0] = join();
    close(fd[0]);
    close(fd[1]);
}

/* Where others are let in, they are VMs of their own. */
TEST(test_others_are_strangers)
{
    int fd;

    register_place("web", "Unit", UNIT);
    strcpy(fake_units->path, OTHER_PATH);
    fd = say_hello(NULL);
    assert_int_equal(expect_welcome(fd).features, VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS);
    assert_false(get_bool(VM("web"), VGPU_INTERFACE_VM, "Connected"));
    close(fd);
}

/* A device is none of its processes, whatever UUID it shows. */
TEST(test_devices)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    char *text = NULL;
    sd_id128_t id;

    register_place("web", "Unit", UNIT);
    assert_true(sd_bus_get_property_string(bus, VGPU_BUS_NAME, VM("web"), VGPU_INTERFACE_VM, "UUID",
                                           &error, &text) >= 0);
    assert_true(sd_id128_from_string(text, &id) >= 0);
    free(text);
    expect_no(say_hello(id.bytes));
}

/* Its processes have sessions, and nothing else. */
TEST(test_no_requests)
{
    const VGPUSocketHeader request = wire_header(VGPU_MSG_REQUEST, 1, 71, 0, 0);
    const VGPUSocketHeader off = wire_header(VGPU_MSG_RING_OFF, 1, 71, 0, 0);
    int fd;

    register_place("web", "Unit", UNIT);
    fd = join();
    assert_true(wire_send(fd, &off, NULL));
    expect_end(fd);
    fd = join();
    (void) wire_send(fd, &request, NULL);
    expect_end(fd);
    fd = join();
    expect_pong(fd);
    close(fd);
}

TEST(test_kept)
{
    register_place("web", "Unit", UNIT);
    close(join());
    restart_mediator(SIGTERM);
    expect_text(VM("web"), VGPU_INTERFACE_VM, "Unit", UNIT);
    close(join());
}

/* ---- Machines ---------------------------------------------------------------------------------
 */

TEST(test_machine)
{
    const uint8_t uuid[16] = {1};
    FakeMachined machined;
    SessionGuest g;
    int fd;

    /* The fake one's only machine is "x". */
    fake_machined_start(&machined, getpid(), uuid);
    register_place("web", "Unit", "nothing.service");
    register_place("box", "Machine", "x");
    expect_text(VM("box"), VGPU_INTERFACE_VM, "Machine", "x");
    fd = join();
    session_peer_up(fd, &g, 1, "");
    expect_vm(SESSION("1"), VM("box"));
    session_peer_down(fd, &g, 1);
    close(fd);
    fake_machined_stop(&machined);
}

/* ---- Registrations ----------------------------------------------------------------------------
 */

static void expect_refused(const char *error, const char *kind, const char *name)
{
    call_manager(error, "RegisterVM", "ssssa{sv}", "bad", "", "A", "low", 1, kind, "s", name);
}

TEST(test_registrations)
{
    static const char *const no_units[] = {"",         "x",           "x.slice",     ".service",
                                           "x.socket", "a b.service", "a/b.service", "@x.service"};
    static const char *const no_machines[] = {"", ".x", "-x", "a/b", "a b"};

    for (unsigned i = 0; i < sizeof(no_units) / sizeof(no_units[0]); i++)
        expect_refused(VGPU_BUS_ERROR_INVALID_LIMIT, "Unit", no_units[i]);
    for (unsigned i = 0; i < sizeof(no_machines) / sizeof(no_machines[0]); i++)
        expect_refused(VGPU_BUS_ERROR_INVALID_LIMIT, "Machine", no_machines[i]);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "RegisterVM", "ssssa{sv}", "bad", "", "A", "low", 2,
                 "Unit", "s", UNIT, "Machine", "s", "x");
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "RegisterVM", "ssssa{sv}", "bad", "", "A", "low", 1,
                 "Unit", "u", 1);
    call_manager(VGPU_BUS_ERROR_INVALID_UUID, "RegisterVM", "ssssa{sv}", "bad", "", "A", "low", 0);

    /* Again changes it; a place has one name, and a name one place. */
    register_place("web", "Unit", UNIT);
    register_place("web", "Unit", UNIT);
    expect_refused(VGPU_BUS_ERROR_VM_EXISTS, "Unit", UNIT);
    call_manager(VGPU_BUS_ERROR_VM_EXISTS, "RegisterVM", "ssssa{sv}", "web", "", "A", "low", 1,
                 "Unit", "s", "y.service");
    call_manager(NULL, "UnregisterVM", "s", "web");
    register_place("web", "Unit", "y.service");
}

#define WITH_PLACES(config, test)                  \
    {                                              \
#test, test, start, end, (void *) (config) \
    }

#define REFUSE "[Pool A]\nBackend=cuda\n"

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACES(REFUSE, test_unit),
        WITH_PLACES(REFUSE, test_others),
        WITH_PLACES(REFUSE "[Limits]\nConnectionsPerUser=2\n", test_many_members),
        WITH_PLACES(NULL, test_others_are_strangers),
        WITH_PLACES(REFUSE, test_devices),
        WITH_PLACES(REFUSE, test_no_requests),
        WITH_PLACES(REFUSE, test_kept),
        WITH_PLACES(REFUSE, test_machine),
        WITH_PLACES(REFUSE, test_registrations),
    };

    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}

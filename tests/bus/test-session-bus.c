/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CUDA sessions on D-Bus: what an administrator sees of them, and who may end them. The executors
 * stand in for the real one. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fake-polkit.h"
#include "session-world.h"
#include "test.h"

#define NOBODY 65534

/* ---- Objects --------------------------------------------------------------------------------- */

TEST(test_object)
{
    uint64_t before = clock_usec(CLOCK_REALTIME);
    char row[256], expected[256];
    SessionGuest g;
    pid_t pid;
    int fd;

    register_vm("web", 1, "A", "low");
    assert_int_equal(list_sessions(NULL, 0), 0);
    fd = connect_as(1);
    session_peer_up(fd, &g, 3, "program");
    assert_int_equal(session_peer_children(&pid, 1), 1);

    assert_int_equal(session_u32(SESSION("1"), "ID"), 1);
    expect_session_text(SESSION("1"), "Pool", "A");
    expect_session_text(SESSION("1"), "Device", "0");
    expect_session_text(SESSION("1"), "Command", "program");
    expect_session_text(SESSION("1"), "State", "open");
    assert_int_equal(session_u32(SESSION("1"), "Ring"), 3);
    assert_int_equal(session_u32(SESSION("1"), "GuestPID"), getpid());
    assert_int_equal(session_u32(SESSION("1"), "ExecutorPID"), pid);
    assert_true(session_u64(SESSION("1"), "StartTimestamp") >= before);
    assert_true(session_u64(SESSION("1"), "StartTimestamp") <= clock_usec(CLOCK_REALTIME));
    assert_int_equal(get_u32(VM("web"), VGPU_INTERFACE_VM, "Sessions"), 1);

    session_peer_count(&g, &(FakeFigures){.memory = 1,
                                          .memory_peak = 2,
                                          .images = 3,
                                          .operations = 4,
                                          .launches = 5,
                                          .bytes_to_device = 6,
                                          .bytes_from_device = 7,
                                          .device_usec = 8,
                                          .sticky = 9});
    assert_int_equal(session_u64(SESSION("1"), "MemoryBytes"), 1);
    assert_int_equal(session_u64(SESSION("1"), "MemoryPeakBytes"), 2);
    assert_int_equal(session_u64(SESSION("1"), "ImagesBytes"), 3);
    assert_int_equal(session_u64(SESSION("1"), "Operations"), 4);
    assert_int_equal(session_u64(SESSION("1"), "Launches"), 5);
    assert_int_equal(session_u64(SESSION("1"), "BytesToDevice"), 6);
    assert_int_equal(session_u64(SESSION("1"), "BytesFromDevice"), 7);
    assert_int_equal(session_u64(SESSION("1"), "DeviceTimeUSec"), 8);
    assert_int_equal(session_u32(SESSION("1"), "CUDAError"), 9);

    assert_int_equal(list_sessions(row, sizeof(row)), 1);
    snprintf(expected, sizeof(expected), "1 %s %s program %d open", SESSION("1"), VM("web"),
             (int) getpid());
    assert_string_equal(row, expected);

    /* One number, one object. */
    assert_false(has_object(SESSION("01")));
    assert_false(has_object(SESSION("0")));
    assert_false(has_object(SESSION("2")));
    assert_false(has_object(SESSION("_31")));
    assert_false(has_object(SESSION("4294967297")));

    session_peer_down(fd, &g, 3);
    assert_false(has_object(SESSION("1")));
    assert_int_equal(list_sessions(NULL, 0), 0);
    assert_int_equal(get_u32(VM("web"), VGPU_INTERFACE_VM, "Sessions"), 0);
    close(fd);
}

/* What a guest says of itself is shown, and is text of one line whatever it is. */
TEST(test_claims)
{
    static const struct {
        const char *command, *shown;
    } cases[] = {{"a\\b", "a\\x5cb"},
                 {"\x1b[2J\n\t", "\\x1b[2J\\x0a\\x09"},
                 {"\xff\xfe", "\\xff\\xfe"},
                 {"\xc3\xa4", "\\xc3\\xa4"},
                 {"with blanks ", "with blanks "},
                 {"\x7f\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15"
                  "\x16\x17\x18\x19\x1a\x1c\x1d\x1e\x1f\x80\x81\x82",
                  "\\x7f\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\x0b\\x0c\\x0e\\x0f\\x10\\x11"
                  "\\x12\\x13\\x14\\x15\\x16\\x17\\x18\\x19\\x1a\\x1c\\x1d\\x1e\\x1f\\x80\\x81"
                  "\\x82"}};
    SessionGuest g;
    char path[64];
    int fd;

    register_vm("web", 1, "A", "low");
    fd = connect_as(1);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        session_peer_prepare(&g, cases[i].command);
        g.header->guest_pid = UINT32_MAX;
        session_peer_open(fd, &g, 1);
        expect_session_ready(fd, 1, VGPU_ERROR_NONE, 0);
        snprintf(path, sizeof(path), VGPU_OBJECT_SESSION "/%u", i + 1);
        expect_session_text(path, "Command", cases[i].shown);
        assert_true(session_u32(path, "GuestPID") == UINT32_MAX);
        session_peer_down(fd, &g, 1);
    }
    close(fd);
}

static bool managed_objects_have(const char *wanted)
{
    sd_bus_message *reply = NULL;
    const char *path;
    bool found = false;

    assert_true(sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                   "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL,
                                   &reply, NULL) >= 0);
    assert_true(sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}") >= 0);
    while (sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}") > 0) {
        assert_true(sd_bus_message_read(reply, "o", &path) > 0);
        found |= strcmp(path, wanted) == 0;
        assert_true(sd_bus_message_skip(reply, "a{sa{sv}}") >= 0);
        assert_true(sd_bus_message_exit_container(reply) >= 0);
    }
    sd_bus_message_unref(reply);
    return found;
}

TEST(test_signals)
{
    SessionGuest g;
    int fd;

    register_vm("web", 1, "A", "low");
    fd = connect_as(1);
    session_peer_up(fd, &g, 1, "");
    expect_signal(VGPU_OBJECT_MANAGER, "InterfacesAdded", SESSION("1"));
    expect_signal(SESSION("1"), "PropertiesChanged", VGPU_INTERFACE_SESSION);
    assert_true(managed_objects_have(SESSION("1")));
    session_peer_close(fd, 1);
    expect_signal(SESSION("1"), "PropertiesChanged", VGPU_INTERFACE_SESSION);
    expect_signal(VGPU_OBJECT_MANAGER, "InterfacesRemoved", SESSION("1"));
    expect_session_closed(fd, 1);
    assert_false(managed_objects_have(SESSION("1")));
    session_guest_close(&g);

    /* A VM that goes takes them along, from the bus at once. */
    session_peer_up(fd, &g, 1, FAKE_STAY);
    expect_signal(VGPU_OBJECT_MANAGER, "InterfacesAdded", SESSION("2"));
    call_manager(NULL, "UnregisterVM", "s", "web");
    expect_signal(VGPU_OBJECT_MANAGER, "InterfacesRemoved", SESSION("2"));
    assert_int_equal(list_sessions(NULL, 0), 0);
    session_guest_close(&g);
    close(fd);
    wait_for_children(0, 10000);
}

/* Counts the sessions that were announced, in what has come so far. */
static unsigned count_added(void)
{
    unsigned n = 0;
    sd_bus_message *m;

    for (;;) {
        m = NULL;
        assert_true(sd_bus_process(bus, &m) >= 0);
        if (!m)
            return n;
        n += sd_bus_message_is_signal(m, NULL, "InterfacesAdded") > 0;
        sd_bus_message_unref(m);
    }
}

/* A guest that opens and closes all the time does not flood the bus. */
TEST(test_many_come_and_go)
{
    enum { N = 60 };
    uint64_t begin = now_usec();
    SessionGuest g;
    unsigned n;
    int fd;

    register_vm("web", 1, "A", "low");
    (void) count_added();
    fd = connect_as(1);
    for (unsigned i = 0; i < N; i++) {
        session_peer_up(fd, &g, 1, "");
        session_peer_down(fd, &g, 1);
    }
    assert_int_equal(list_sessions(NULL, 0), 0); /* answered behind all signals */
    n = count_added();
    assert_true(n >= 16);
    assert_true(n <= 16 + (now_usec() - begin) / 100000 + 2);
    close(fd);
}

/* ---- Sums ------------------------------------------------------------------------------------ */

static void count_launches(const SessionGuest *g, uint64_t launches)
{
    session_peer_count(g, &(FakeFigures){.memory = 100,
                                         .launches = launches,
                                         .bytes_to_device = 10 * launches,
                                         .bytes_from_device = 20 * launches,
                                         .device_usec = launches});
}

static void expect_sums(uint64_t memory, uint64_t launches)
{
    assert_int_equal(vm_u64("web", "SessionMemoryBytes"), memory);
    assert_int_equal(vm_u64("web", "SessionLaunches"), launches);
    assert_int_equal(vm_u64("web", "SessionBytesToDevice"), 10 * launches);
    assert_int_equal(vm_u64("web", "SessionBytesFromDevice"), 20 * launches);
    assert_int_equal(vm_u64("web", "SessionDeviceTimeUSec"), launches);
}

/* Over sessions that are there and that have ended; and nothing goes backwards. */
TEST(test_sums)
{
    SessionGuest g[2];
    uint64_t most;
    int fd;

    register_vm("web", 1, "A", "low");
    fd = connect_as(1);
    expect_sums(0, 0);
    session_peer_up(fd, &g[0], 1, "");
    session_peer_up(fd, &g[1], 2, "");
    count_launches(&g[0], 5);
    count_launches(&g[1], 7);
    expect_sums(200, 12);
    count_launches(&g[0], 3);
    expect_sums(200, 12);
    session_peer_down(fd, &g[0], 1);
    expect_sums(100, 12);

    call_object(NULL, VM("web"), VGPU_INTERFACE_VM, "ResetStatistics", NULL);
    expect_sums(100, 0);
    count_launches(&g[1], 9);
    expect_sums(100, 2);
    session_peer_down(fd, &g[1], 2);
    expect_sums(0, 2);

    /* An executor that says the largest numbers is believed as little as possible. */
    session_peer_up(fd, &g[0], 1, "");
    session_peer_count(&g[0], &(FakeFigures){.memory = UINT64_MAX,
                                             .launches = UINT64_MAX,
                                             .bytes_to_device = UINT64_MAX,
                                             .device_usec = UINT64_MAX});
    most = vm_u64("web", "SessionLaunches");
    assert_true(most > 2 && most < UINT64_MAX / 256);
    assert_true(vm_u64("web", "SessionBytesToDevice") < UINT64_MAX / 256);
    assert_true(vm_u64("web", "SessionMemoryBytes") < UINT64_MAX / 256);
    assert_true(vm_u64("web", "SessionDeviceTimeUSec") < 60 * USEC_PER_SEC);
    session_peer_down(fd, &g[0], 1);
    assert_int_equal(vm_u64("web", "SessionLaunches"), most);
    assert_int_equal(vm_u64("web", "SessionMemoryBytes"), 0);
    close(fd);
}

/* ---- Who may --------------------------------------------------------------------------------- */

/* Calls as another user, and returns the errno of the error, or 0. */
static int call_as_nobody(const char *path, const char *interface, const char *member,
                          const uint32_t *id)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        sd_bus_message *m = NULL;
        sd_bus *own = NULL;
        int r;

        if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0 || sd_bus_open_system(&own) < 0 ||
            sd_bus_message_new_method_call(own, &m, VGPU_BUS_NAME, path, interface, member) < 0 ||
            (id && sd_bus_message_append(m, "u", *id) < 0))
            _exit(254);
        r = sd_bus_call(own, m, 0, NULL, NULL);
        _exit(r < 0 ? -r : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int end_as_nobody(uint32_t id)
{
    char path[64];

    snprintf(path, sizeof(path), VGPU_OBJECT_SESSION "/%u", id);
    return call_as_nobody(path, VGPU_INTERFACE_SESSION, "End", NULL);
}

static int end_session_as_nobody(uint32_t id)
{
    return call_as_nobody(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "EndSession", &id);
}

static void expect_asked(FakePolkit *polkit, const char *method)
{
    FakePolkitCall asked;

    assert_int_equal(fake_polkit_next_call(polkit, &asked), 0);
    assert_string_equal(asked.action, VGPU_ACTION_MANAGE_VMS);
    assert_string_equal(asked.method, method);
    assert_string_equal(asked.vm, "web");
}

TEST(test_who_may)
{
    FakePolkit polkit;
    SessionGuest g[2];
    int fd;

    register_vm("web", 1, "A", "low");
    fd = connect_as(1);
    session_peer_up(fd, &g[0], 1, "");
    session_peer_up(fd, &g[1], 2, "");
    assert_int_equal(
        call_as_nobody(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "ListSessions", NULL), 0);
    assert_int_equal(end_as_nobody(1), EACCES);
    assert_int_equal(end_session_as_nobody(1), EACCES);

    assert_int_equal(fake_polkit_start(&polkit), 0);
    assert_int_equal(end_as_nobody(1), EACCES);
    expect_asked(&polkit, "End");
    assert_int_equal(end_session_as_nobody(2), EACCES);
    expect_asked(&polkit, "EndSession");
    assert_int_equal(list_sessions(NULL, 0), 2);

    assert_int_equal(fake_polkit_set(&polkit, VGPU_ACTION_MANAGE_VMS, NOBODY, FAKE_POLKIT_YES), 0);
    assert_int_equal(end_as_nobody(1), 0);
    expect_session_ready(fd, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    assert_int_equal(end_session_as_nobody(2), 0);
    expect_session_ready(fd, 2, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    fake_polkit_stop(&polkit);
    session_guest_close(&g[0]);
    session_guest_close(&g[1]);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SESSIONS(NULL, test_object),  WITH_SESSIONS(NULL, test_claims),
        WITH_SESSIONS(NULL, test_signals), WITH_SESSIONS(NULL, test_many_come_and_go),
        WITH_SESSIONS(NULL, test_sums),    WITH_SESSIONS(NULL, test_who_may),
    };

    return cmocka_run_group_tests_name("session-bus", tests, NULL, NULL);
}

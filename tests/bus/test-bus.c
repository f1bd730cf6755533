/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.vgpu.Mediator1 on a private system bus. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "test.h"
#include "world.h"

#define NOBODY 65534

static int start(void **state)
{
    (void) state;
    return world_start("[Pool A]\nBackend=cpu\n[Pool C]\nBackend=cpu\n"
                       "[Unregistered]\nPolicy=allow\n");
}

/* ---- The tests ------------------------------------------------------------------------- */

TEST(test_pools)
{
    sd_bus_message *reply = NULL;
    const char *name, *backend, *path;

    expect_add_works();
    assert_true(sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                                   "ListPools", NULL, &reply, NULL) >= 0);
    assert_true(sd_bus_message_enter_container(reply, 'a', "(sso)") > 0);
    assert_true(sd_bus_message_read(reply, "(sso)", &name, &backend, &path) > 0);
    assert_string_equal(name, "A");
    assert_string_equal(backend, "cpu");
    assert_string_equal(path, VGPU_OBJECT_POOL "/A");
    assert_true(sd_bus_message_read(reply, "(sso)", &name, &backend, &path) > 0);
    assert_string_equal(name, "C");
    assert_int_equal(sd_bus_message_read(reply, "(sso)", &name, &backend, &path), 0);
    sd_bus_message_unref(reply);

    expect_text(VGPU_OBJECT_POOL "/A", VGPU_INTERFACE_POOL, "Backend", "cpu");
    expect_text(VGPU_OBJECT_POOL "/A", VGPU_INTERFACE_POOL, "ExecutorState", "ready");
    assert_int_equal(get_u32(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "NPools"), 2);
    assert_true(get_u32(VGPU_OBJECT_POOL "/A", VGPU_INTERFACE_POOL, "ExecutorPID") > 0);
}

TEST(test_vm_comes_and_goes)
{
    const char *path = VGPU_OBJECT_VM "/unregistered_2d42";
    VGPUHello hello = {.uuid = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4}};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 42, 0, VGPU_PRIORITY_HIGH, sizeof(hello));
    sd_bus_message *reply = NULL;
    WireMessage m;
    int fd = dial();

    assert_true(wire_send(fd, &h, &hello));
    assert_int_equal(wire_receive(fd, &m), 1);
    expect_signal(NULL, "VMAdded", "unregistered-42");

    expect_text(path, VGPU_INTERFACE_VM, "Name", "unregistered-42");
    expect_text(path, VGPU_INTERFACE_VM, "UUID", "12345678-9abc-def0-0102-030400000000");
    expect_text(path, VGPU_INTERFACE_VM, "Priority", "high");
    expect_text(path, VGPU_INTERFACE_VM, "Pool", "A");
    assert_int_equal(get_u32(path, VGPU_INTERFACE_VM, "VMID"), 42);
    assert_int_equal(get_u32(path, VGPU_INTERFACE_VM, "LeaderPID"), getpid());
    assert_int_equal(get_u32(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "NVMs"), 1);
    assert_true(sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                                   "ListVMs", NULL, &reply, NULL) >= 0);
    assert_true(sd_bus_message_has_signature(reply, "a(susso)"));
    sd_bus_message_unref(reply);

    call_manager(VGPU_BUS_ERROR_VM_EXISTS, "RegisterVM", "ssssa{sv}", "unregistered-42",
                 "12345678-9abc-def0-0102-030400000000", "A", "low", 0);
    close(fd);
    expect_signal(NULL, "VMRemoved", "unregistered-42");
    assert_true(sd_bus_get_property_string(bus, VGPU_BUS_NAME, path, VGPU_INTERFACE_VM, "Name",
                                           NULL, &(char *){NULL}) < 0);
}

TEST(test_counters)
{
    const char *path = VGPU_OBJECT_VM "/unregistered_2d7", *pool = VGPU_OBJECT_POOL "/A";
    uint64_t before = get_u64(pool, VGPU_INTERFACE_POOL, "RequestsCompleted");
    pid_t executor = hold_executor();
    int fd = dial();

    before++; /* hold_executor() makes one request */
    for (uint32_t id = 0; id < 20; id++)
        assert_true(wire_send_add(fd, 7, id, VGPU_PRIORITY_LOW, id, 1));
    assert_true(wire_send_request(fd, 7, 20, 0, VGPU_OP_SYNCHRONIZE, NULL, 0, NULL, 0));
    expect_response(fd, 20, VGPU_ERROR_UNSUPPORTED_OP);

    assert_int_equal(get_u32(path, VGPU_INTERFACE_VM, "InFlight"), 14);
    assert_int_equal(get_u32(path, VGPU_INTERFACE_VM, "QueueDepth"), 6);
    assert_int_equal(get_u32(pool, VGPU_INTERFACE_POOL, "QueueDepthLow"), 6);
    assert_int_equal(get_u32(pool, VGPU_INTERFACE_POOL, "QueueDepthHigh"), 0);
    assert_int_equal(kill(executor, SIGCONT), 0);
    for (uint32_t id = 0; id < 20; id++)
        expect_sum(fd, id, id + 1);

    assert_int_equal(get_u64(path, VGPU_INTERFACE_VM, "RequestsSubmitted"), 20);
    assert_int_equal(get_u64(path, VGPU_INTERFACE_VM, "RequestsCompleted"), 20);
    assert_int_equal(get_u64(path, VGPU_INTERFACE_VM, "RequestsRejected"), 1);
    assert_int_equal(get_u64(path, VGPU_INTERFACE_VM, "BytesIn"), 20 * 40);
    assert_int_equal(get_u64(path, VGPU_INTERFACE_VM, "BytesOut"), 20 * 36);
    assert_true(get_u64(path, VGPU_INTERFACE_VM, "WaitTimeUSec") > 0);
    assert_true(get_u64(path, VGPU_INTERFACE_VM, "LastRequestTimestamp") > 0);
    assert_int_equal(get_u64(pool, VGPU_INTERFACE_POOL, "RequestsCompleted"), before + 20);
    assert_int_equal(get_u32(pool, VGPU_INTERFACE_POOL, "InFlight"), 0);
    close(fd);
}

/* The live introspection is that of the contract. */
TEST(test_contract)
{
    static const char *const objects[] = {"", "/pool/A", "/vm/unregistered_2d9"};
    int fd = dial();

    expect_add(fd, 9, 1, VGPU_PRIORITY_LOW, 1, 1);
    for (unsigned i = 0; i < 3; i++) {
        char command[1024];

        snprintf(command, sizeof(command),
                 "busctl --xml-interface introspect " VGPU_BUS_NAME " " VGPU_OBJECT_MANAGER "%s"
                 " | python3 %s %s",
                 objects[i], getenv("VGPU_COMPARE_XML"), getenv("VGPU_BUS_CONTRACT"));
        assert_int_equal(system(command), 0);
    }
    close(fd);
}

/* Runs @call as another user in a child. Returns the number that @call returned. */
static int as_nobody(int (*call)(sd_bus *))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        sd_bus *own = NULL;

        if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0 || sd_bus_open_system(&own) < 0)
            _exit(100);
        _exit(call(own));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

static int read_something(sd_bus *own)
{
    uint64_t value;

    if (sd_bus_call_method(own, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                           "ListVMs", NULL, NULL, NULL) < 0)
        return 1;
    return sd_bus_get_property_trivial(own, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                       VGPU_INTERFACE_MANAGER, "RequestsCompleted", NULL, 't',
                                       &value) < 0;
}

static int set_something(sd_bus *own)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;

    (void) sd_bus_set_property(own, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                               "NVMs", &error, "u", 3);
    return !sd_bus_error_has_name(&error, SD_BUS_ERROR_ACCESS_DENIED);
}

static int own_name(sd_bus *own)
{
    return sd_bus_request_name(own, "org.vgpu.Mediator1", SD_BUS_NAME_REPLACE_EXISTING) != -EACCES;
}

TEST(test_nobody)
{
    assert_int_equal(as_nobody(read_something), 0);
    assert_int_equal(as_nobody(set_something), 0);
    assert_int_equal(as_nobody(own_name), 0);
}

TEST(test_second_mediator)
{
    TestMediator second;

    assert_int_equal(test_mediator_start(&second, "[Pool A]\nBackend=cpu\n", "system"), 0);
    assert_int_equal(test_mediator_signal_and_wait(&second, 0), 1);
    assert_int_equal(test_mediator_wait_log(&second, "another process owns"), 0);
    assert_int_equal(test_mediator_stop(&second), 0);
    expect_add_works();
}

/* ---- The journal ---------------------------------------------------------------------------- */

static void expect_log(const char *format, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (test_mediator_wait_log(&mediator, text) < 0)
        fail_msg("no line: %s", text);
}

/* A line says of each change which VM or pool, what, from, to, and who. */
TEST(test_journal_says_who)
{
    int pid = getpid(), fd;

    register_vm("told", 30, "A", "low");
    expect_log("told: registered, with number %u, for pool A with priority low, by user 0 (process "
               "%d)\n",
               get_u32(VM("told"), VGPU_INTERFACE_VM, "VMID"), pid);
    call_manager(NULL, "SetVMPriority", "ssb", "told", "high", 1);
    expect_log("told: Priority changed from low to high, by user 0 (process %d)\n", pid);
    call_manager(NULL, "SetVMPool", "ssb", "told", "C", 1);
    expect_log("told: Pool changed from A to C, by user 0 (process %d)\n", pid);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "told", 1, "Weight", "u", 7, 1);
    expect_log("told: Weight changed from 100 to 7, by user 0 (process %d)\n", pid);
    call_object(NULL, VM("told"), VGPU_INTERFACE_VM, "Pause", NULL);
    expect_log("told: paused, by user 0 (process %d)\n", pid);
    call_manager(NULL, "ResumeVM", "s", "told");
    expect_log("told: resumed, by user 0 (process %d)\n", pid);
    call_manager(NULL, "QuarantineVM", "s", "told");
    expect_log("told: quarantined, by user 0 (process %d)\n", pid);
    call_manager(NULL, "ReleaseVM", "s", "told");
    expect_log("told: released from quarantine, by user 0 (process %d)\n", pid);

    fd = dial();
    hello(fd, 30, VGPU_PRIORITY_LOW, NULL);
    (void) expect_welcome(fd);
    expect_log("told: connected from process %d\n", pid);
    close(fd);
    expect_log("told: disconnected\n");
    call_manager(NULL, "UnregisterVM", "s", "told");
    expect_log("told: unregistered, by user 0 (process %d)\n", pid);

    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Pause", NULL);
    expect_log("pool A: paused, by user 0 (process %d)\n", pid);
    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Resume", NULL);
    expect_log("pool A: resumed, by user 0 (process %d)\n", pid);
    call_manager(NULL, "Reload", NULL);
    expect_log("reading the configuration again, by user 0 (process %d)\n", pid);
}

static unsigned count_in_log(const char *text)
{
    char *log = test_mediator_log(&mediator);
    unsigned n = 0;

    assert_non_null(log);
    for (const char *at = log; (at = strstr(at, text)); at++)
        n++;
    free(log);
    return n;
}

TEST(test_journal_of_a_guest_in_a_loop)
{
    register_vm("looping", 31, "A", "low");
    for (unsigned i = 0; i < 100; i++) {
        int fd = dial();

        hello(fd, 31, VGPU_PRIORITY_LOW, NULL);
        (void) expect_welcome(fd);
        close(fd);
    }
    expect_log("looping: more lines about this VM, not logged for a while\n");
    assert_true(count_in_log("looping: connected") + count_in_log("looping: disconnected") <= 20);
    call_manager(NULL, "UnregisterVM", "s", "looping");
}

/* ---- A bus that goes ---------------------------------------------------------------------- */

/* Requests are served without a bus, and the objects come back with it. */
TEST(test_bus_dies)
{
    test_bus_kill(&test_bus);
    assert_int_equal(test_mediator_wait_log(&mediator, "no D-Bus"), 0);
    expect_add_works();

    assert_int_equal(test_bus_run(&test_bus), 0);
    bus = sd_bus_flush_close_unref(bus);
    assert_true(sd_bus_open_system(&bus) >= 0);
    wait_for_name();
    assert_true(get_u64(VGPU_OBJECT_POOL "/A", VGPU_INTERFACE_POOL, "RequestsCompleted") > 0);
}

/* A bus that restarts finds the service before a caller who waits a few seconds has given up. */
TEST(test_bus_restarts)
{
    for (unsigned i = 0; i < 3; i++) {
        uint64_t begin;

        test_bus_kill(&test_bus);
        assert_int_equal(test_bus_run(&test_bus), 0);
        begin = now_usec();
        bus = sd_bus_flush_close_unref(bus);
        assert_true(sd_bus_open_system(&bus) >= 0);
        wait_for_name();
        assert_true(now_usec() - begin < 3 * USEC_PER_SEC);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_vm_comes_and_goes),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_contract),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_second_mediator),
        cmocka_unit_test(test_journal_says_who),
        cmocka_unit_test(test_journal_of_a_guest_in_a_loop),
        cmocka_unit_test(test_bus_dies),
        cmocka_unit_test(test_bus_restarts),
    };

    if (getuid() != 0) {
        printf("1..0 # SKIP needs root, to play another user\n");
        return EXIT_SUCCESS;
    }
    return cmocka_run_group_tests_name("bus", tests, start, world_end);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registered VMs: what is known of them, and which peer is taken for which VM. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-util.h"
#include "fake-machined.h"
#include "test.h"
#include "world.h"

#define UNUSED_UUID "41414141414141414141414141414141"

static int start(void **state)
{
    (void) state;
    return world_start("[Pool A]\nBackend=cpu\n[Pool B]\nBackend=cpu\n");
}

static void unregister(const char *name)
{
    call_manager(NULL, "UnregisterVM", "s", name);
}

/* ---- Registering ----------------------------------------------------------------- */

TEST(test_register)
{
    const char *path = VM("web_2d1");
    uint32_t id = register_vm("web-1", 0x11, "B", "low");

    expect_signal(VGPU_OBJECT_MANAGER, "InterfacesAdded", path);
    expect_signal(VGPU_OBJECT_MANAGER, "VMAdded", "web-1");
    expect_text(path, VGPU_INTERFACE_VM, "Name", "web-1");
    expect_text(path, VGPU_INTERFACE_VM, "UUID", "11111111-1111-1111-1111-111111111111");
    expect_text(path, VGPU_INTERFACE_VM, "Pool", "B");
    expect_text(path, VGPU_INTERFACE_VM, "ConfiguredPriority", "low");
    assert_int_equal(get_u32(path, VGPU_INTERFACE_VM, "VMID"), id);
    assert_true(get_bool(path, VGPU_INTERFACE_VM, "Registered"));
    assert_false(get_bool(path, VGPU_INTERFACE_VM, "Connected"));

    call_manager(NULL, "GetVM", "s", "web-1");
    call_manager(NULL, "GetVMByID", "u", id);
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "GetVMByPID", "u", 1);

    unregister("web-1");
    expect_signal(VGPU_OBJECT_MANAGER, "VMRemoved", "web-1");
    expect_signal(VGPU_OBJECT_MANAGER, "InterfacesRemoved", path);
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "GetVM", "s", "web-1");
}

/* RegisterVM ends in this error. */
static void expect_refused(const char *error, const char *name, const char *uuid, const char *pool,
                           const char *priority)
{
    call_manager(error, "RegisterVM", "ssssa{sv}", name, uuid, pool, priority, 0);
}

static void expect_limit_refused(const char *limit, uint32_t value)
{
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "RegisterVM", "ssssa{sv}", "x", UNUSED_UUID, "A",
                 "low", 1, limit, "u", value);
}

TEST(test_register_again)
{
    uint32_t id = register_vm("again", 0x21, "A", "low");

    assert_int_equal(register_vm("again", 0x21, "B", "high"), id);
    expect_text(VM("again"), VGPU_INTERFACE_VM, "Pool", "B");
    expect_text(VM("again"), VGPU_INTERFACE_VM, "Priority", "high");

    expect_refused(VGPU_BUS_ERROR_VM_EXISTS, "again", UNUSED_UUID, "A", "low");
    expect_refused(VGPU_BUS_ERROR_VM_EXISTS, "other", "21212121212121212121212121212121", "A",
                   "low");
    call_manager(VGPU_BUS_ERROR_VM_ID_TAKEN, "RegisterVM", "ssssa{sv}", "other", UNUSED_UUID, "A",
                 "low", 1, "VMID", "u", id);
    unregister("again");
}

TEST(test_names)
{
    char long_name[257];

    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[256] = '\0';
    register_vm("größer als 1/2 ;=#[]", 0x31, "A", "low");
    call_manager(NULL, "GetVM", "s", "größer als 1/2 ;=#[]");
    restart_mediator(SIGTERM);
    call_manager(NULL, "GetVM", "s", "größer als 1/2 ;=#[]");
    unregister("größer als 1/2 ;=#[]");

    for (unsigned i = 0; i < 8; i++) {
        const char *bad[] = {"",           long_name,    "two\nlines", "\xc2\x85",
                             "web\u202e1", "web\u200b1", "\ufeffweb",  "web\U000e0041"};

        expect_refused(VGPU_BUS_ERROR_INVALID_NAME, bad[i], UNUSED_UUID, "A", "low");
    }
}

TEST(test_bad_arguments)
{
    expect_refused(VGPU_BUS_ERROR_INVALID_UUID, "x", "no uuid", "A", "low");
    expect_refused(VGPU_BUS_ERROR_INVALID_UUID, "x", "00000000-0000-0000-0000-000000000000", "A",
                   "low");
    expect_refused(VGPU_BUS_ERROR_NO_SUCH_POOL, "x", UNUSED_UUID, "C", "low");
    expect_refused(VGPU_BUS_ERROR_NO_SUCH_POOL, "x", UNUSED_UUID, "AB", "low");
    expect_refused(VGPU_BUS_ERROR_NO_SUCH_POOL, "x", UNUSED_UUID, "", "low");
    expect_refused(VGPU_BUS_ERROR_INVALID_PRIORITY, "x", UNUSED_UUID, "A", "urgent");
    expect_limit_refused("QueueLimit", 0);
    expect_limit_refused("Weight", 0);
    expect_limit_refused("Weight", 10001);
    expect_limit_refused("Colour", 1);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "RegisterVM", "ssssa{sv}", "x", UNUSED_UUID, "A",
                 "low", 1, "QueueLimit", "s", "many");
    call_manager(SD_BUS_ERROR_INVALID_ARGS, "RegisterVM", "s", "x");
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "GetVM", "s", "x");

    for (unsigned i = 0; i < 5; i++) {
        const char *members[] = {"UnregisterVM", "PauseVM", "ResumeVM", "QuarantineVM",
                                 "ReleaseVM"};

        call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, members[i], "s", "x");
    }
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "SetVMPriority", "ssb", "x", "low", 1);
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "SetVMPool", "ssb", "x", "A", 1);
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "SetVMLimits", "sa{sv}b", "x", 0, 1);
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "GetVMByID", "u", 12345);

    register_vm("x", 0x41, "A", "low");
    call_manager(VGPU_BUS_ERROR_INVALID_PRIORITY, "SetVMPriority", "ssb", "x", "HIGH", 1);
    call_manager(VGPU_BUS_ERROR_NO_SUCH_POOL, "SetVMPool", "ssb", "x", "Q", 1);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "SetVMLimits", "sa{sv}b", "x", 1, "VMID", "u", 3, 1);
    call_object(VGPU_BUS_ERROR_INVALID_PRIORITY, VM("x"), VGPU_INTERFACE_VM, "SetPriority", "sb",
                "", 1);
    expect_text(VM("x"), VGPU_INTERFACE_VM, "Priority", "low");
    unregister("x");
}

/* A client of sd-bus that has the error map gets an errno that fits. */
TEST(test_errors_have_an_errno)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;

    assert_true(bus_add_errors() >= 0);
    assert_int_equal(sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                        VGPU_INTERFACE_MANAGER, "GetVM", &error, NULL, "s", "x"),
                     -ENOENT);
    sd_bus_error_free(&error);
    register_vm("x", 0x42, "A", "low");
    assert_int_equal(sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                        VGPU_INTERFACE_MANAGER, "SetVMPool", &error, NULL, "ssb",
                                        "x", "Q", 1),
                     -ENODEV);
    sd_bus_error_free(&error);
    unregister("x");
}

/* ---- Who is taken for a VM ------------------------------------------------------------- */

/* The device's own claims of pool, priority and number have no effect. */
TEST(test_claims_are_ignored)
{
    uint32_t id = register_vm("claims", 0x51, "B", "low");
    uint64_t before = get_u64(VGPU_OBJECT_POOL "/B", VGPU_INTERFACE_POOL, "RequestsCompleted");
    int fd = dial();

    hello(fd, 0x51, VGPU_PRIORITY_HIGH, NULL);
    assert_int_equal(expect_welcome(fd).vm_id, id);
    expect_add(fd, 999, 1, VGPU_PRIORITY_HIGH, 2, 3); /* wire_send_add() claims pool A */

    expect_text(VM("claims"), VGPU_INTERFACE_VM, "Priority", "low");
    assert_true(get_bool(VM("claims"), VGPU_INTERFACE_VM, "Connected"));
    assert_int_equal(get_u32(VM("claims"), VGPU_INTERFACE_VM, "LeaderPID"), getpid());
    assert_int_equal(get_u64(VGPU_OBJECT_POOL "/B", VGPU_INTERFACE_POOL, "RequestsCompleted"),
                     before + 1);
    call_manager(NULL, "GetVMByPID", "u", getpid());

    unregister("claims");
    expect_closed(fd);
}

static void expect_hello_refused(uint8_t tag, const uint8_t resume[16])
{
    int fd = dial();

    hello(fd, tag, VGPU_PRIORITY_HIGH, resume);
    expect_quarantined(fd, 70);
    expect_closed(fd);
}

TEST(test_unregistered_is_refused)
{
    int fd;

    expect_hello_refused(0x59, NULL);
    fd = dial();
    assert_true(wire_send_add(fd, 1, 3, VGPU_PRIORITY_HIGH, 2, 3));
    expect_quarantined(fd, 3);
    expect_closed(fd);
}

TEST(test_one_claim)
{
    VGPUWelcome first;
    uint8_t wrong[16];
    int a = dial(), b;

    register_vm("one", 0x61, "A", "low");
    hello(a, 0x61, 0, NULL);
    first = expect_welcome(a);

    expect_hello_refused(0x61, NULL);
    memcpy(wrong, first.resume, sizeof(wrong));
    wrong[15] ^= 1;
    expect_hello_refused(0x61, wrong);

    /* The secret of the last WELCOME lets a peer take over, once. */
    b = dial();
    hello(b, 0x61, 0, first.resume);
    assert_memory_not_equal(expect_welcome(b).resume, first.resume, sizeof(first.resume));
    expect_closed(a);
    expect_hello_refused(0x61, first.resume);

    expect_add(b, 1, 1, 0, 2, 3);
    close(b);
    unregister("one");
}

/* A request right behind the HELLO is not lost while the peer's identity is checked. */
TEST(test_pipelined_behind_hello)
{
    int fd = dial();

    register_vm("pipe", 0x71, "A", "low");
    hello(fd, 0x71, 0, NULL);
    for (uint32_t id = 1; id <= 40; id++)
        assert_true(wire_send_add(fd, 1, id, 0, id, 1));
    expect_welcome(fd);
    for (uint32_t id = 1; id <= 40; id++)
        expect_sum(fd, id, id + 1);
    close(fd);
    unregister("pipe");
}

/* systemd-machined knows which machine a process is in. */
TEST(test_machined)
{
    FakeMachined machined;
    uint8_t uuid[16];
    int fd;

    register_vm("machine", 0x81, "A", "low");
    memset(uuid, 0x99, sizeof(uuid));
    fake_machined_start(&machined, getpid(), uuid);
    expect_hello_refused(0x81, NULL);
    assert_int_equal(test_mediator_wait_log(&mediator, "belongs to another machine"), 0);
    fake_machined_stop(&machined);

    memset(uuid, 0x81, sizeof(uuid));
    fake_machined_start(&machined, getpid(), uuid);
    fd = dial();
    hello(fd, 0x81, 0, NULL);
    expect_welcome(fd);
    close(fd);
    fake_machined_stop(&machined);
    unregister("machine");
}

/* ---- A VM that runs, and one that is gone ------------------------------------------------- */

/* A process that does nothing. */
static pid_t make_process(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        pause();
        _exit(0);
    }
    return pid;
}

static void end_process(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

TEST(test_started)
{
    pid_t pid = make_process();
    int fd;

    register_vm("runs", 0xd1, "A", "low");
    assert_int_equal(get_u32(VM("runs"), VGPU_INTERFACE_VM, "LeaderPID"), 0);
    expect_text(VM("runs"), VGPU_INTERFACE_VM, "DeviceProblem", "");
    call_manager(NULL, "SetVMStarted", "sa{sv}", "runs", 2, "Leader", "u", pid, "DeviceProblem",
                 "s", "no plugin for QEMU 11.1.3");
    expect_signal(VM("runs"), "PropertiesChanged", VGPU_INTERFACE_VM);
    restart_mediator(SIGTERM);
    assert_int_equal(get_u32(VM("runs"), VGPU_INTERFACE_VM, "LeaderPID"), pid);
    expect_text(VM("runs"), VGPU_INTERFACE_VM, "DeviceProblem", "no plugin for QEMU 11.1.3");
    call_manager(NULL, "GetVMByPID", "u", pid);

    /* What is not said stays. */
    call_manager(NULL, "SetVMStarted", "sa{sv}", "runs", 0);
    assert_int_equal(get_u32(VM("runs"), VGPU_INTERFACE_VM, "LeaderPID"), pid);
    call_manager(NULL, "SetVMStarted", "sa{sv}", "runs", 1, "DeviceProblem", "s", "");
    expect_text(VM("runs"), VGPU_INTERFACE_VM, "DeviceProblem", "");
    call_manager(NULL, "SetVMStarted", "sa{sv}", "runs", 1, "DeviceProblem", "s", "none");

    /* The kernel knows better who connects, and who connects has a device. */
    fd = dial();
    hello(fd, 0xd1, 0, NULL);
    expect_welcome(fd);
    expect_text(VM("runs"), VGPU_INTERFACE_VM, "DeviceProblem", "");
    call_manager(NULL, "SetVMStarted", "sa{sv}", "runs", 1, "Leader", "u", pid);
    assert_int_equal(get_u32(VM("runs"), VGPU_INTERFACE_VM, "LeaderPID"), getpid());

    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "SetVMStarted", "sa{sv}", "nobody", 0);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "SetVMStarted", "sa{sv}", "runs", 1, "Leader", "u",
                 0);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "SetVMStarted", "sa{sv}", "runs", 1, "Leader", "s",
                 "1");
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "SetVMStarted", "sa{sv}", "runs", 1, "DeviceProblem",
                 "s", "two\nlines");
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "SetVMStarted", "sa{sv}", "runs", 1, "Colour", "s",
                 "red");
    unregister("runs");
    expect_closed(fd);
    end_process(pid);
}

static int ignore_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    (void) reply, (void) userdata, (void) error;
    return 0;
}

/* Registers @name with the UUID of @tag, and expects the error VMExists with these words. */
static void expect_exists(const char *name, const char *uuid, const char *words)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;

    assert_true(sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                                   "RegisterVM", &error, NULL, "ssssa{sv}", name, uuid, "A", "low",
                                   0) < 0);
    assert_string_equal(error.name, VGPU_BUS_ERROR_VM_EXISTS);
    assert_non_null(strstr(error.message, words));
    sd_bus_error_free(&error);
}

/* A VM of which nobody said that it is gone gives way when its process has ended, and not before;
 * also after a restart. */
TEST(test_gone)
{
    pid_t pid = make_process(), other = make_process();

    register_vm("gone", 0xd2, "A", "high");
    call_manager(NULL, "SetVMStarted", "sa{sv}", "gone", 1, "Leader", "u", pid);
    expect_exists("gone", UUID_OF("d3"), "VM 'gone' is known already, with another UUID");
    expect_exists("gone", UUID_OF("d3"), "\"vgpuctl unregister 'gone'\"");
    expect_exists("another", UUID_OF("d2"), "VM 'gone' is known already, and has this UUID");
    restart_mediator(SIGKILL);
    expect_exists("gone", UUID_OF("d3"), "with another UUID");
    end_process(pid);
    register_vm("gone", 0xd3, "A", "low");
    expect_text(VM("gone"), VGPU_INTERFACE_VM, "UUID", UUID_OF("d3"));
    assert_int_equal(test_mediator_wait_log(&mediator, "gone: forgotten for another VM"), 0);

    /* By UUID, with another name; and one in the way of each. */
    call_manager(NULL, "SetVMStarted", "sa{sv}", "gone", 1, "Leader", "u", other);
    end_process(other);
    register_vm("another", 0xd3, "A", "low");
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "GetVM", "s", "gone");
    unregister("another");
}

static void register_machine(const char *name, const char *uuid)
{
    call_manager(NULL, "RegisterVM", "ssssa{sv}", name, uuid, "A", "low", 1, "RequireMachine", "b",
                 1);
}

/* The hook was killed before it could say which process the VM is, or that it has ended. */
TEST(test_machine_is_gone)
{
    FakeMachined machined;
    uint8_t uuid[16];
    int fd;

    memset(uuid, 0xe1, sizeof(uuid));
    register_machine("lost", UUID_OF("e1"));
    register_machine("lost-too", UUID_OF("e2"));

    /* Nobody to ask, nobody who answers, and a machine that is there. */
    expect_exists("lost", UUID_OF("e3"), "VM 'lost' is known already, with another UUID");
    fake_machined_start_failing(&machined, SD_BUS_ERROR_NO_REPLY);
    expect_exists("lost", UUID_OF("e3"), "VM 'lost' is known already, with another UUID");
    fake_machined_stop(&machined);
    fake_machined_start(&machined, 1, uuid);
    expect_exists("lost", UUID_OF("e3"), "\"vgpuctl unregister 'lost'\"");
    expect_exists("another", UUID_OF("e1"), "VM 'lost' is known already, and has this UUID");
    register_machine("lost-two", UUID_OF("e2"));
    fake_machined_stop(&machined);

    /* One that is connected is there, and one that is not held to its machine may be. */
    memset(uuid, 0xe9, sizeof(uuid));
    register_vm("by-hand", 0xe8, "A", "low");
    fake_machined_start(&machined, 0, uuid);
    fd = dial();
    hello(fd, 0xe8, 0, NULL);
    expect_welcome(fd);
    expect_exists("by-hand", UUID_OF("e3"), "with another UUID");
    close(fd);
    register_vm("by-hand-too", 0xe7, "A", "low");
    expect_exists("by-hand-too", UUID_OF("e3"), "with another UUID");

    /* One by name and one by UUID, also after a restart. */
    restart_mediator(SIGKILL);
    register_machine("lost", UUID_OF("e2"));
    expect_text(VM("lost"), VGPU_INTERFACE_VM, "UUID", UUID_OF("e2"));
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "GetVM", "s", "lost-two");
    assert_int_equal(test_mediator_wait_log(&mediator, "lost: forgotten for another VM"), 0);
    assert_int_equal(test_mediator_wait_log(&mediator, "lost-two: forgotten for another VM"), 0);
    fake_machined_stop(&machined);
    unregister("lost");
    unregister("by-hand");
    unregister("by-hand-too");
}

/* Such a call does not keep the mediator from its end, nor from another bus. */
TEST(test_end_while_asking)
{
    FakeMachined machined;
    uint8_t uuid[16] = {1};

    register_machine("lost", UUID_OF("e1"));
    fake_machined_start(&machined, 0, uuid);
    assert_int_equal(kill(machined.pid, SIGSTOP), 0);
    for (unsigned i = 0; i < 40; i++)
        assert_true(sd_bus_call_method_async(bus, NULL, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                             VGPU_INTERFACE_MANAGER, "RegisterVM", ignore_reply,
                                             NULL, "ssssa{sv}", "lost", UUID_OF("e3"), "A", "low",
                                             0) >= 0);
    assert_true(sd_bus_flush(bus) >= 0);
    (void) get_bool(VM("lost"), VGPU_INTERFACE_VM, "Registered");
    usleep(100000);
    restart_mediator(SIGTERM);
    fake_machined_stop(&machined);
    unregister("lost");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_register),
        cmocka_unit_test(test_register_again),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_errors_have_an_errno),
        cmocka_unit_test(test_claims_are_ignored),
        cmocka_unit_test(test_unregistered_is_refused),
        cmocka_unit_test(test_one_claim),
        cmocka_unit_test(test_pipelined_behind_hello),
        cmocka_unit_test(test_machined),
        cmocka_unit_test(test_started),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_machine_is_gone),
        cmocka_unit_test(test_end_while_asking),
    };

    return cmocka_run_group_tests_name("registration", tests, start, world_end);
}

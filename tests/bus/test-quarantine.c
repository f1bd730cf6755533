/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fault limit: a VM whose requests run into the time limit is quarantined, and released by time
 * or by an administrator. Its neighbour notices nothing. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "test.h"
#include "world.h"

static int start_world(void **state)
{
    (void) state;
    return world_start("[Pool A]\nBackend=cpu\n"
                       "[Limits]\nFaultLimit=1\nQuarantineSec=4\n"
                       "[Timeouts]\nRequestTimeoutSec=1\n");
}

#define UNREGISTERED "unregistered_2d7"

static int start_open_world(void **state)
{
    (void) state;
    return world_start("[Pool A]\nBackend=cpu\n"
                       "[Limits]\nFaultLimit=1\nQuarantineSec=4\n"
                       "[Timeouts]\nRequestTimeoutSec=1\n[Unregistered]\nPolicy=allow\n");
}

static int connect_as(const char *name, uint8_t tag)
{
    int fd;

    (void) register_vm(name, tag, "A", "low");
    fd = dial();
    hello(fd, tag, VGPU_PRIORITY_LOW, NULL);
    expect_welcome(fd);
    return fd;
}

/* The executor of the pool is stopped, so the first that it gets runs into the time limit. */
static void run_into_the_limit(int fd, uint32_t id)
{
    pid_t executor;

    expect_add(fd, 0, id, 0, 1, 1);
    executor = (pid_t) get_u32(POOL_A, VGPU_INTERFACE_POOL, "ExecutorPID");
    assert_true(test_process_stop(executor));
    assert_true(wire_send_add(fd, 0, id + 1, 0, 1, 1));
}

static void expect_reason(const char *reason)
{
    assert_int_equal(get_bool(VM("a"), VGPU_INTERFACE_VM, "Quarantined"), *reason != '\0');
    expect_text(VM("a"), VGPU_INTERFACE_VM, "QuarantineReason", reason);
}

static void wait_until_released(void)
{
    while (get_bool(VM("a"), VGPU_INTERFACE_VM, "Quarantined"))
        usleep(10000);
}

TEST(test_fault_limit)
{
    int a = connect_as("a", 1), b = connect_as("b", 2);
    uint64_t begin = clock_usec(CLOCK_REALTIME), until;

    run_into_the_limit(a, 1);
    assert_true(wire_send_add(a, 0, 3, 0, 1, 1));
    expect_pong(a);
    assert_true(wire_send_add(b, 0, 4, 0, 4, 4));

    /* What it had on the executor beside that does not run again; what another had does. */
    expect_response(a, 2, VGPU_ERROR_TIMEOUT);
    expect_response(a, 3, VGPU_ERROR_VM_QUARANTINED);
    expect_sum(b, 4, 8);
    expect_signal(VM("a"), "PropertiesChanged", VGPU_INTERFACE_VM);
    expect_reason("fault-limit");
    until = get_u64(VM("a"), VGPU_INTERFACE_VM, "QuarantinedUntilUSec");
    assert_in_range(until, begin + 5 * USEC_PER_SEC, clock_usec(CLOCK_REALTIME) + 4 * USEC_PER_SEC);
    assert_true(wire_send_add(a, 0, 5, 0, 1, 1));
    expect_quarantined(a, 5);
    assert_int_equal(test_mediator_wait_log(&mediator, "a: quarantined for 4 s"), 0);

    wait_until_released();
    assert_true(clock_usec(CLOCK_REALTIME) + USEC_PER_SEC > until);
    assert_int_equal(test_mediator_wait_log(&mediator, "a: released from quarantine"), 0);
    expect_reason("");
    assert_int_equal(get_u64(VM("a"), VGPU_INTERFACE_VM, "QuarantinedUntilUSec"), 0);
    expect_add(a, 0, 6, 0, 6, 6);

    /* The second lasts longer; an administrator ends it, and it is forgotten. */
    run_into_the_limit(a, 10);
    expect_response(a, 11, VGPU_ERROR_TIMEOUT);
    assert_int_equal(test_mediator_wait_log(&mediator, "a: quarantined for 8 s"), 0);
    call_manager(NULL, "ReleaseVM", "s", "a");
    expect_reason("");
    run_into_the_limit(a, 20);
    expect_response(a, 21, VGPU_ERROR_TIMEOUT);
    expect_reason("fault-limit");

    /* An administrator's takes its place, and has no end. */
    call_manager(NULL, "QuarantineVM", "s", "a");
    expect_reason("administrator");
    assert_int_equal(test_mediator_wait_log(&mediator, "a: quarantined, by user"), 0);
    assert_int_equal(get_u64(VM("a"), VGPU_INTERFACE_VM, "QuarantinedUntilUSec"), 0);
    call_manager(NULL, "ReleaseVM", "s", "a");
    expect_add(a, 0, 30, 0, 6, 6);
    close(a);
    close(b);
}

/* A restart of the mediator changes nothing of it. */
TEST(test_restart)
{
    int a = connect_as("a", 1);
    uint64_t until;

    run_into_the_limit(a, 1);
    expect_response(a, 2, VGPU_ERROR_TIMEOUT);
    expect_reason("fault-limit");
    until = get_u64(VM("a"), VGPU_INTERFACE_VM, "QuarantinedUntilUSec");
    restart_mediator(SIGKILL);
    close(a);
    expect_reason("fault-limit");
    assert_int_equal(get_u64(VM("a"), VGPU_INTERFACE_VM, "QuarantinedUntilUSec"), until);
    a = dial();
    hello(a, 1, VGPU_PRIORITY_LOW, NULL);
    expect_welcome(a);
    assert_true(wire_send_add(a, 0, 3, 0, 1, 1));
    expect_quarantined(a, 3);
    wait_until_released();
    assert_true(clock_usec(CLOCK_REALTIME) + USEC_PER_SEC > until);

    /* Neither is it forgotten how long the next one is. */
    restart_mediator(SIGTERM);
    close(a);
    a = dial();
    hello(a, 1, VGPU_PRIORITY_LOW, NULL);
    expect_welcome(a);
    run_into_the_limit(a, 10);
    expect_response(a, 11, VGPU_ERROR_TIMEOUT);
    assert_int_equal(test_mediator_wait_log(&mediator, "a: quarantined for 8 s"), 0);
    close(a);
}

/* Who hangs up before his request is at fault has cost the others an executor all the same. */
TEST(test_hanging_up)
{
    int a = connect_as("a", 1);

    run_into_the_limit(a, 1);
    expect_pong(a);
    close(a);
    assert_int_equal(test_mediator_wait_log(&mediator, "a: quarantined for 4 s"), 0);
    expect_reason("fault-limit");
}

/* Returns another connection, when the mediator knows of the end of this one. */
static int reconnect(int fd)
{
    close(fd);
    while (get_u32(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "NVMs") > 1)
        usleep(1000);
    return dial();
}

/* A process without a registration is the same one when it connects again. */
TEST(test_unregistered)
{
    int fd = dial(), other = dial();

    expect_add(other, 8, 1, 0, 1, 1);
    run_into_the_limit(fd, 1);
    expect_pong(fd);
    fd = reconnect(fd);
    while (!get_bool(VM("unregistered_2d8"), VGPU_INTERFACE_VM, "Quarantined"))
        usleep(10000);
    assert_true(wire_send_add(other, 8, 2, 0, 1, 1));
    expect_quarantined(other, 2);

    assert_true(wire_send_add(fd, 7, 3, 0, 1, 1));
    expect_quarantined(fd, 3);
    assert_int_equal(test_mediator_wait_log(&mediator, "unregistered-7: quarantined, as its"), 0);
    expect_text(VM(UNREGISTERED), VGPU_INTERFACE_VM, "QuarantineReason", "fault-limit");
    while (get_bool(VM(UNREGISTERED), VGPU_INTERFACE_VM, "Quarantined"))
        usleep(10000);
    expect_add(fd, 7, 4, 0, 1, 1);

    /* An administrator's release is for the process, too. */
    run_into_the_limit(fd, 10);
    expect_response(fd, 11, VGPU_ERROR_TIMEOUT);
    call_manager(NULL, "ReleaseVM", "s", "unregistered-7");
    fd = reconnect(fd);
    expect_add(fd, 7, 20, 0, 1, 1);

    /* So is his quarantine. */
    call_manager(NULL, "QuarantineVM", "s", "unregistered-7");
    fd = reconnect(fd);
    assert_true(wire_send_add(fd, 7, 30, 0, 1, 1));
    expect_quarantined(fd, 30);
    expect_text(VM(UNREGISTERED), VGPU_INTERFACE_VM, "QuarantineReason", "administrator");
    call_manager(NULL, "ReleaseVM", "s", "unregistered-7");
    fd = reconnect(fd);
    expect_add(fd, 7, 40, 0, 1, 1);
    close(fd);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fault_limit, start_world, world_end),
        cmocka_unit_test_setup_teardown(test_restart, start_world, world_end),
        cmocka_unit_test_setup_teardown(test_hanging_up, start_world, world_end),
        cmocka_unit_test_setup_teardown(test_unregistered, start_open_world, world_end),
    };

    return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}

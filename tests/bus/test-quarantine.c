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
    assert_int_equal(get_u64(VM("a"), VGPU_INTERFACE_VM, "QuarantinedUntilUSec"), 0);
    call_manager(NULL, "ReleaseVM", "s", "a");
    expect_add(a, 0, 30, 0, 6, 6);
    close(a);
    close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fault_limit, start_world, world_end),
    };

    return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}

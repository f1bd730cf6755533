/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an administrator changes while requests wait. The executor computes over the fake CUDA
 * driver, which takes 30 ms for a kernel and runs one at a time: so the answers come one by one,
 * and their order can be seen. A stopped executor (SIGSTOP) gives no answers at all.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"
#include "world.h"

static const char config[] = "[Pool A]\nBackend=cuda\nInFlight=1\n[Pool B]\nBackend=cpu\n"
                             "[Timeouts]\nDrainTimeoutSec=infinity\n";

static int start(void **state)
{
    (void) state;
    setenv("LD_LIBRARY_PATH", getenv("VGPU_FAKE_CUDA_DIR"), 1);
    setenv("VGPU_REAL_EXECUTOR", getenv("VGPU_EXECUTOR"), 1);
    setenv("VGPU_EXECUTOR", getenv("VGPU_FAKE_CUDA_EXECUTOR"), 1);
    setenv("VGPU_FAKE_CUDA", "slow=30", 1);
    return world_start(config);
}

static int connect_as(const char *name, uint8_t tag, const char *pool, const char *priority)
{
    int fd = dial();

    register_vm(name, tag, pool, priority);
    hello(fd, tag, 0, NULL);
    expect_welcome(fd);
    return fd;
}

static void leave(const char *name, int fd)
{
    close(fd);
    call_manager(NULL, "UnregisterVM", "s", name);
}

/* Sends @n requests with the numbers from @first on, each for the sum of its number and itself,
 * and waits until the mediator has handled them all. */
static void send_adds(int fd, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        assert_true(wire_send_add(fd, 0, i, 0, i, i));
    expect_pong(fd);
}

static void expect_sums(int fd, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        expect_sum(fd, i, 2 * i);
}

/* Makes one request, so that pool A has an executor, and stops that. */
static pid_t hold_pool_a(int fd)
{
    pid_t executor;

    expect_add(fd, 0, 1000, 0, 1, 1);
    executor = (pid_t) get_u32(POOL_A, VGPU_INTERFACE_POOL, "ExecutorPID");
    assert_true(executor > 0);
    assert_true(test_process_stop(executor));
    return executor;
}

/* Returns which of the two connections has the next answer. */
static int next_of(int a, int b)
{
    struct pollfd p[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};

    assert_true(poll(p, 2, WIRE_TIMEOUT_MSEC) > 0);
    return p[0].revents ? 0 : 1;
}

/* The next answers on the two connections come in this order, a letter an answer. */
static void expect_order(int a, int b, const char *order)
{
    char got[32] = "";
    unsigned n = (unsigned) strlen(order);

    for (unsigned i = 0; i < n; i++) {
        WireMessage m;
        int which = next_of(a, b);

        assert_int_equal(wire_receive(which == 0 ? a : b, &m), 1);
        assert_int_equal(m.response.status, VGPU_ERROR_NONE);
        got[i] = (char) ('a' + which);
    }
    assert_string_equal(got, order);
}

/* Sends three requests on each connection, in turn. The very first one runs, the others wait. */
static void send_in_turn(int a, int b)
{
    for (uint32_t i = 0; i < 3; i++) {
        send_adds(a, i, 1);
        send_adds(b, i, 1);
    }
}

TEST(test_priority_moves_the_queue)
{
    int a = connect_as("a", 1, "A", "low"), b = connect_as("b", 2, "A", "medium");
    pid_t executor = hold_pool_a(a);

    send_in_turn(a, b);
    call_manager(NULL, "SetVMPriority", "ssb", "a", "high", 1);
    expect_signal(VM("a"), "PropertiesChanged", VGPU_INTERFACE_VM);
    expect_text(VM("a"), VGPU_INTERFACE_VM, "Priority", "high");
    assert_int_equal(get_u32(POOL_A, VGPU_INTERFACE_POOL, "QueueDepthHigh"), 2);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_order(a, b, "aaabbb");
    leave("a", a);
    leave("b", b);
}

/* VMs of one priority are served in the order of arrival, also when one of them gets that
 * priority late. */
TEST(test_priority_keeps_arrival)
{
    int a = connect_as("a", 1, "A", "low"), b = connect_as("b", 2, "A", "medium");
    pid_t executor = hold_pool_a(a);

    send_in_turn(a, b);
    call_object(NULL, VM("a"), VGPU_INTERFACE_VM, "SetPriority", "sb", "medium", 1);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_order(a, b, "ababab");
    leave("a", a);
    leave("b", b);
}

TEST(test_pool_moves_the_queue)
{
    int a = connect_as("a", 1, "A", "low");
    pid_t executor = hold_pool_a(a);

    send_adds(a, 0, 4);
    call_manager(NULL, "SetVMPool", "ssb", "a", "B", 1);
    /* Pool A stands still; pool B answers what waited there. */
    expect_sums(a, 1, 3);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_sum(a, 0, 0);
    expect_add(a, 0, 9, 0, 9, 9);
    leave("a", a);
}

TEST(test_pause)
{
    int a = connect_as("a", 1, "B", "low"), b = connect_as("b", 2, "B", "low");

    call_manager(NULL, "PauseVM", "s", "a");
    assert_true(get_bool(VM("a"), VGPU_INTERFACE_VM, "Paused"));
    for (uint32_t i = 0; i < 5; i++)
        assert_true(wire_send_add(a, 0, i, 0, i, 1));
    expect_pong(a);
    expect_add(b, 0, 1, 0, 1, 1);
    assert_int_equal(get_u32(VM("a"), VGPU_INTERFACE_VM, "QueueDepth"), 5);
    assert_int_equal(get_u32(VGPU_OBJECT_POOL "/B", VGPU_INTERFACE_POOL, "QueueDepthLow"), 5);

    call_manager(NULL, "ResumeVM", "s", "a");
    for (uint32_t i = 0; i < 5; i++)
        expect_sum(a, i, i + 1);
    leave("a", a);
    leave("b", b);
}

TEST(test_pause_pool)
{
    const char *pool = VGPU_OBJECT_POOL "/B";
    int a = connect_as("a", 1, "B", "low");

    call_object(NULL, pool, VGPU_INTERFACE_POOL, "Pause", NULL);
    expect_signal(pool, "PropertiesChanged", VGPU_INTERFACE_POOL);
    send_adds(a, 1, 1);
    assert_int_equal(get_u32(pool, VGPU_INTERFACE_POOL, "QueueDepthLow"), 1);
    call_object(NULL, pool, VGPU_INTERFACE_POOL, "Resume", NULL);
    expect_sum(a, 1, 2);
    leave("a", a);
}

TEST(test_quarantine)
{
    int a = connect_as("a", 1, "A", "low");
    pid_t executor = hold_pool_a(a);

    send_adds(a, 1, 2);
    call_manager(NULL, "QuarantineVM", "s", "a");
    expect_response(a, 2, VGPU_ERROR_VM_QUARANTINED);
    assert_true(wire_send_add(a, 0, 3, 0, 3, 3));
    expect_quarantined(a, 3);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_sum(a, 1, 2);

    call_manager(NULL, "ReleaseVM", "s", "a");
    expect_add(a, 0, 4, 0, 4, 4);
    leave("a", a);
}

TEST(test_queue_limit)
{
    int a = connect_as("a", 1, "A", "low");
    pid_t executor = hold_pool_a(a);
    WireMessage m;

    call_manager(NULL, "SetVMLimits", "sa{sv}b", "a", 1, "QueueLimit", "u", 2, 1);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(wire_send_add(a, 0, i, 0, i, i));
    assert_int_equal(wire_receive(a, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_BUSY);
    assert_int_equal(m.header.request_id, 3);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_sums(a, 0, 3);
    leave("a", a);
}

TEST(test_rate_limit)
{
    int a = connect_as("a", 1, "B", "low");

    call_manager(NULL, "SetVMLimits", "sa{sv}b", "a", 1, "RequestRateLimit", "u", 1, 1);
    expect_add(a, 0, 1, 0, 1, 1);
    assert_true(wire_send_add(a, 0, 2, 0, 2, 2));
    expect_response(a, 2, VGPU_ERROR_RATE_LIMITED);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "a", 1, "RequestRateLimit", "u", 0, 1);
    expect_add(a, 0, 3, 0, 3, 3);
    assert_int_equal(get_u64(VM("a"), VGPU_INTERFACE_VM, "RequestsRejected"), 1);
    leave("a", a);
}

TEST(test_unregister_drops_the_queue)
{
    int a = connect_as("a", 1, "A", "low");
    pid_t executor = hold_pool_a(a);

    send_adds(a, 0, 4);
    call_manager(NULL, "UnregisterVM", "s", "a");
    expect_closed(a);
    assert_int_equal(get_u32(POOL_A, VGPU_INTERFACE_POOL, "QueueDepthLow"), 0);

    /* The name is free at once, though one of its requests still runs. */
    a = connect_as("a", 1, "A", "high");
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_add(a, 0, 7, 0, 7, 7);
    assert_int_equal(get_u64(VM("a"), VGPU_INTERFACE_VM, "RequestsSubmitted"), 1);
    leave("a", a);
}

TEST(test_statistics)
{
    int a = connect_as("a", 1, "A", "low");
    uint64_t p50;

    for (uint32_t i = 0; i < 4; i++)
        assert_true(wire_send_add(a, 0, i, 0, i, i));
    expect_sums(a, 0, 4);

    /* 30 ms each, one after the other: they waited 0, 30, 60 and 90 ms, or more. */
    p50 = get_u64(VM("a"), VGPU_INTERFACE_VM, "WaitTimeP50USec");
    assert_true(p50 >= 25000);
    assert_true(get_u64(VM("a"), VGPU_INTERFACE_VM, "WaitTimeP99USec") >= 80000);
    assert_true(get_u64(VM("a"), VGPU_INTERFACE_VM, "WaitTimeMaxUSec") >= p50);
    assert_true(get_u64(VM("a"), VGPU_INTERFACE_VM, "WaitTimeUSec") >= 150000);
    call_object(NULL, VM("a"), VGPU_INTERFACE_VM, "GetHistograms", NULL);

    call_object(NULL, VM("a"), VGPU_INTERFACE_VM, "ResetStatistics", NULL);
    assert_int_equal(get_u64(VM("a"), VGPU_INTERFACE_VM, "RequestsCompleted"), 0);
    assert_int_equal(get_u64(VM("a"), VGPU_INTERFACE_VM, "WaitTimeP50USec"), 0);
    assert_true(get_u64(POOL_A, VGPU_INTERFACE_POOL, "RequestsCompleted") > 0);
    call_manager(NULL, "ResetStatistics", NULL);
    assert_int_equal(get_u64(POOL_A, VGPU_INTERFACE_POOL, "RequestsCompleted"), 0);
    leave("a", a);
}

/* A change of the configuration drops no request. */
TEST(test_reload)
{
    int a = connect_as("a", 1, "A", "low");
    pid_t executor = hold_pool_a(a);

    send_adds(a, 0, 4);

    write_config("[Pool A]\nBackend=cpu\nInFlight=3\nQueueLimit=77\n[Pool D]\nBackend=cpu\n");
    call_manager(NULL, "Reload", NULL);
    assert_int_equal(get_u32(POOL_A, VGPU_INTERFACE_POOL, "QueueLimit"), 77);
    assert_int_equal(get_u32(POOL_A, VGPU_INTERFACE_POOL, "InFlightLimit"), 3);
    assert_int_equal(test_mediator_wait_log(&mediator, "pool B is not configured any more"), 0);
    assert_int_equal(get_u32(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "NPools"), 3);

    /* The old executor finishes what it runs, and one with the new backend does the rest. */
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_sums(a, 0, 4);
    expect_text(POOL_A, VGPU_INTERFACE_POOL, "Backend", "cpu");

    write_config("[Pool A]\nInFlight=0\n");
    assert_int_equal(kill(mediator.pid, SIGHUP), 0);
    assert_int_equal(test_mediator_wait_log(&mediator, ":2: InFlight=0 is not"), 0);
    expect_add(a, 0, 9, 0, 9, 9);
    leave("a", a);
}

/* Paused requests do not hold up the end of the service. */
TEST(test_end_with_paused)
{
    int a = connect_as("a", 1, "B", "low"), b = connect_as("b", 2, "A", "low");

    call_manager(NULL, "PauseVM", "s", "a");
    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Pause", NULL);
    send_adds(a, 1, 1);
    send_adds(b, 1, 1);
    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGTERM), 0);
    assert_int_equal(test_mediator_wait_log(&mediator, "paused requests are left"), 0);
    close(a);
    close(b);
    assert_int_equal(test_mediator_run(&mediator, "system"), 0);
    wait_for_name();
}

static double get_double(const char *path, const char *interface, const char *property)
{
    double value;

    assert_true(sd_bus_get_property_trivial(bus, VGPU_BUS_NAME, path, interface, property, NULL,
                                            'd', &value) >= 0);
    assert_true(value >= 0 && value <= 1);
    return value;
}

/* Twenty requests of 30 ms are 0.6 of ten seconds. They show when the second is over. */
TEST(test_shares)
{
    uint64_t before = get_u64(POOL_A, VGPU_INTERFACE_POOL, "BusyTimeUSec"), busy;
    int fd = connect_as("sharer", 40, "A", "low");
    double share = 0, used = 0;

    for (uint32_t id = 0; id < 20; id++)
        assert_true(wire_send_add(fd, 7, id, VGPU_PRIORITY_LOW, id, 1));
    for (uint32_t id = 0; id < 20; id++)
        expect_sum(fd, id, id + 1);

    busy = get_u64(POOL_A, VGPU_INTERFACE_POOL, "BusyTimeUSec") - before;
    assert_true(busy >= 20 * 30000);
    for (unsigned i = 0; i < 80 && (share < 0.05 || used < 0.05); i++) {
        share = get_double(VM("sharer"), VGPU_INTERFACE_VM, "Share");
        used = get_double(POOL_A, VGPU_INTERFACE_POOL, "Utilization");
        usleep(50000);
    }
    assert_true(share >= 0.05);
    assert_true(used >= 0.05);
    leave("sharer", fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_priority_moves_the_queue),
        cmocka_unit_test(test_priority_keeps_arrival),
        cmocka_unit_test(test_pool_moves_the_queue),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_pause_pool),
        cmocka_unit_test(test_quarantine),
        cmocka_unit_test(test_queue_limit),
        cmocka_unit_test(test_rate_limit),
        cmocka_unit_test(test_unregister_drops_the_queue),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_end_with_paused),
    };

    return cmocka_run_group_tests_name("control", tests, start, world_end);
}

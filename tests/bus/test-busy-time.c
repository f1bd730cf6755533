/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* However requests leave their executor, a pool that has nothing to do is not busy. */
#include <signal.h>
#include <unistd.h>

#include "ring-peer.h"
#include "test.h"
#include "world.h"

#define POOL_B VGPU_OBJECT_POOL "/B"
#define N 6u

static RingGuest g;
static int fd, other;
static pid_t executor;

static int start(void **state)
{
    (void) state;
    return world_start("[Pool A]\nBackend=cpu\nInFlight=4\n[Pool B]\nBackend=cpu\n"
                       "[Limits]\nFaultLimit=0\n[Timeouts]\nRequestTimeoutSec=1\n");
}

static int connect_as(uint8_t tag)
{
    int s = dial();

    hello(s, tag, 0, NULL);
    (void) expect_welcome(s);
    return s;
}

/* A VM with a ring and one without have more on an executor, which is stopped, and in the queue
 * than that can take. */
static int begin(void **state)
{
    (void) state;
    register_vm("web", 7, "A", "high");
    register_vm("other", 8, "A", "high");
    fd = connect_as(7);
    other = connect_as(8);
    assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, 64, 0), 0);
    ring_turn_on(&g, fd);
    expect_ring_works(&g);
    expect_add(other, 8, 100, 0, 1, 1);

    executor = (pid_t) get_u32(POOL_A, VGPU_INTERFACE_POOL, "ExecutorPID");
    assert_true(test_process_stop(executor));
    (void) ring_publish_nops(&g, 1, N);
    for (uint32_t i = 0; i < N; i++)
        assert_true(wire_send_add(other, 8, i, 0, i, 1));
    while (get_u32(POOL_A, VGPU_INTERFACE_POOL, "InFlight") < 4)
        usleep(1000);
    return 0;
}

static void expect_idle(const char *pool)
{
    uint64_t busy;

    while (get_u32(pool, VGPU_INTERFACE_POOL, "InFlight") > 0 ||
           get_u32(pool, VGPU_INTERFACE_POOL, "QueueDepthHigh") > 0)
        usleep(1000);
    busy = get_u64(pool, VGPU_INTERFACE_POOL, "BusyTimeUSec");
    usleep(20000);
    assert_int_equal(get_u64(pool, VGPU_INTERFACE_POOL, "BusyTimeUSec"), busy);
}

static int end(void **state)
{
    (void) state;
    expect_idle(POOL_A);
    expect_idle(POOL_B);
    assert_true(get_u64(POOL_A, VGPU_INTERFACE_POOL, "BusyTimeUSec") > 0);
    expect_add(other, 8, 200, 0, 1, 1);
    expect_idle(POOL_A);
    close(fd);
    close(other);
    ring_guest_close(&g);
    call_manager(NULL, "UnregisterVM", "s", "web");
    call_manager(NULL, "UnregisterVM", "s", "other");
    return 0;
}

static void expect_sums(void)
{
    for (uint32_t i = 0; i < N; i++)
        expect_sum(other, i, i + 1);
}

TEST(test_answered)
{
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_tags(&g, 1, N);
    expect_sums();
}

/* What it had goes to the next one. */
TEST(test_executor_dies)
{
    assert_int_equal(kill(executor, SIGKILL), 0);
    expect_tags(&g, 1, N);
    expect_sums();
}

/* In any order, and with any outcome. */
static void expect_responses(void)
{
    WireMessage m;

    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(wire_receive(other, &m), 1);
        assert_int_equal(m.header.msg_type, VGPU_MSG_RESPONSE);
    }
}

/* The first runs into it, and what it had beside that goes to the next one. */
TEST(test_time_limit)
{
    expect_responses();
}

TEST(test_hang_up)
{
    close(fd);
    fd = -1;
    expect_pong(other);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_sums();
}

TEST(test_hang_up_and_die)
{
    close(fd);
    fd = -1;
    expect_pong(other);
    assert_int_equal(kill(executor, SIGKILL), 0);
    expect_sums();
}

TEST(test_ring_off)
{
    ring_off(fd);
    expect_pong(other);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_stopped(fd);
    expect_sums();
}

TEST(test_ring_off_and_die)
{
    ring_off(fd);
    expect_pong(other);
    assert_int_equal(kill(executor, SIGKILL), 0);
    expect_stopped(fd);
    expect_sums();
}

/* What runs stays with the pool that it began in, also when it has to begin again. */
TEST(test_moved)
{
    call_manager(NULL, "SetVMPool", "ssb", "web", "B", 1);
    call_manager(NULL, "SetVMPool", "ssb", "other", "B", 1);
    assert_int_equal(kill(executor, SIGKILL), 0);
    for (unsigned i = 0; i < N; i++)
        (void) expect_completion(&g, VGPU_ERROR_NONE);
    expect_responses();
}

TEST(test_unregistered_meanwhile)
{
    call_manager(NULL, "UnregisterVM", "s", "web");
    assert_int_equal(kill(executor, SIGKILL), 0);
    expect_sums();
    register_vm("web", 7, "A", "high");
}

#define BUSY(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUSY(test_answered),         BUSY(test_executor_dies),   BUSY(test_time_limit),
        BUSY(test_hang_up),          BUSY(test_hang_up_and_die), BUSY(test_ring_off),
        BUSY(test_ring_off_and_die), BUSY(test_moved),           BUSY(test_unregistered_meanwhile),
    };

    return cmocka_run_group_tests_name("busy-time", tests, start, world_end);
}

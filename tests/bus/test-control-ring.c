/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring of a registered VM, and what an administrator does to it meanwhile. */
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ring-peer.h"
#include "test.h"
#include "world.h"

#define ENTRIES 128

static const char config[] =
    "[Pool A]\nBackend=cpu\nInFlight=1\n[Pool B]\nBackend=cpu\n"
    "[Timeouts]\nRequestTimeoutSec=infinity\n[Unregistered]\nPolicy=allow\n";

static RingGuest g;
static int fd;

static int start(void **state)
{
    (void) state;
    return world_start(config);
}

/* One registered VM, with a ring */
static int begin(void **state)
{
    (void) state;
    register_vm("web", 7, "A", "low");
    fd = dial();
    hello(fd, 7, 0, NULL);
    (void) expect_welcome(fd);
    assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, ENTRIES, 0), 0);
    ring_turn_on(&g, fd);
    return 0;
}

static int end(void **state)
{
    (void) state;
    ring_down(&g, fd);
    call_manager(NULL, "UnregisterVM", "s", "web");
    return 0;
}

static void publish(unsigned n)
{
    (void) ring_publish_nops(&g, 0, n);
}

static void call_vm(const char *member)
{
    call_object(NULL, VM("web"), VGPU_INTERFACE_VM, member, NULL);
}

/* ---- What is seen of it --------------------------------------------------------------- */

TEST(test_properties)
{
    assert_int_equal(get_u32(VM("web"), VGPU_INTERFACE_VM, "RingEntries"), ENTRIES);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "WindowSize"), RING_WINDOW);
    ring_turn_off(fd);
    assert_int_equal(get_u32(VM("web"), VGPU_INTERFACE_VM, "RingEntries"), 0);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "WindowSize"), 0);
}

/* The bytes of strided operands are counted, and not the bytes between them. */
TEST(test_counters)
{
    VGPUSubmission add = ring_guest_add(1, 100, 65536, 131072, 196608), sum = add, bad = add;

    add.a.stride = 3;
    ring_guest_submit(&g, &add);
    expect_tag(&g, 1);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "RequestsSubmitted"), 1);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "RequestsCompleted"), 1);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "BytesIn"), 1600);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "BytesOut"), 800);

    sum.opcode = VGPU_OP_RING_SUM;
    ring_guest_submit(&g, &sum);
    expect_tag(&g, 1);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "BytesIn"), 2400);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "BytesOut"), 808);

    bad.a.offset = 1;
    ring_guest_submit(&g, &bad);
    (void) expect_completion(&g, VGPU_ERROR_INVALID_REQUEST);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "RequestsSubmitted"), 2);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "RequestsRejected"), 1);
}

/* ---- What is done to it ------------------------------------------------------------------ */

TEST(test_pause)
{
    VGPUCompletion c;

    call_vm("Pause");
    publish(ENTRIES);
    expect_pong(fd);
    assert_int_equal(get_u32(VM("web"), VGPU_INTERFACE_VM, "QueueDepth"), 0);
    assert_false(ring_guest_take(&g, &c));
    call_vm("Resume");
    expect_tags(&g, 0, ENTRIES);
}

TEST(test_pause_with_queued)
{
    pid_t executor = hold_executor();

    publish(ENTRIES);
    expect_pong(fd);
    call_vm("Pause");
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_tag(&g, 0);
    expect_pong(fd);
    assert_int_equal(get_u32(VM("web"), VGPU_INTERFACE_VM, "InFlight"), 0);
    call_vm("Resume");
    expect_tags(&g, 1, ENTRIES - 1);
}

/* What the executor has is finished. All other entries are turned away, whether they were
 * queued or not. */
TEST(test_quarantine)
{
    pid_t executor = hold_executor();

    publish(ENTRIES);
    ring_wait_first_taken(&g);
    call_vm("Quarantine");
    for (unsigned i = 1; i < ENTRIES; i++)
        (void) expect_completion(&g, VGPU_ERROR_VM_QUARANTINED);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_tag(&g, 0);

    publish(2);
    (void) expect_completion(&g, VGPU_ERROR_VM_QUARANTINED);
    (void) expect_completion(&g, VGPU_ERROR_VM_QUARANTINED);
    call_vm("Release");
    expect_ring_works(&g);
}

/* A ring above its rate is slowed down without an error. */
TEST(test_rate_limit)
{
    struct timespec before, after;
    double seconds;

    call_object(NULL, VM("web"), VGPU_INTERFACE_VM, "SetLimits", "a{sv}b", 1, "RequestRateLimit",
                "u", 80, true);
    clock_gettime(CLOCK_MONOTONIC, &before);
    publish(ENTRIES);
    expect_tags(&g, 0, ENTRIES);
    clock_gettime(CLOCK_MONOTONIC, &after);

    /* The bucket held a second's worth at most; the rest came at 80 a second. */
    seconds =
        (double) (after.tv_sec - before.tv_sec) + (double) (after.tv_nsec - before.tv_nsec) / 1e9;
    assert_true(seconds >= (ENTRIES - 81) / 80.0);
    assert_int_equal(get_u64(VM("web"), VGPU_INTERFACE_VM, "RequestsRejected"), 0);
}

/* The VM moves to another pool, and so to another executor, with its ring full. The window goes
 * along. */
TEST(test_move)
{
    pid_t executor = hold_executor();

    *ring_cell(&g, 8192) = 1;
    for (uint64_t tag = 0; tag < ENTRIES; tag++) {
        uint64_t cell = 8 * (9000 + tag);
        const VGPUSubmission add = ring_guest_add(tag, 1, cell, UINT64_C(8) * 8192, cell);

        ring_guest_fill(&g, &add);
    }
    (void) ring_guest_publish(&g);
    ring_wait_first_taken(&g);
    call_manager(NULL, "SetVMPool", "ssb", "web", "B", true);
    expect_tags(&g, 1, ENTRIES - 1);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_tag(&g, 0);
    for (uint64_t tag = 0; tag < ENTRIES; tag++)
        assert_int_equal(*ring_cell(&g, 9000 + tag), 1);
}

static void test_unregister(void **state)
{
    pid_t executor = hold_executor();

    (void) state;
    publish(ENTRIES);
    ring_wait_first_taken(&g);
    call_manager(NULL, "UnregisterVM", "s", "web");
    expect_closed(fd);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_add_works();
    assert_int_equal(g.header->cq_tail, 0);

    /* The teardown wants a ring and a registered VM. */
    ring_guest_close(&g);
    (void) begin(state);
}

#define RING_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_properties), RING_TEST(test_counters),
        RING_TEST(test_pause),      RING_TEST(test_pause_with_queued),
        RING_TEST(test_quarantine), RING_TEST(test_rate_limit),
        RING_TEST(test_move),       RING_TEST(test_unregister),
    };

    return cmocka_run_group_tests_name("control-ring", tests, start, world_end);
}

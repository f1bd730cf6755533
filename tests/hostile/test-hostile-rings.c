/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMs whose requests are valid, as far as that can be told, and made to hurt: products that take
 * long, strides that pass over much memory, windows with more addresses than the host has bytes.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "ring-peer.h"
#include "test.h"

#define POOL "[Pool A]\nBackend=cpu\nInFlight=4\n[Unregistered]\nPolicy=allow\n"
#define SHORT_LIMIT POOL "[Timeouts]\nRequestTimeoutSec=1\n"

#define MIB (UINT64_C(1) << 20)
#define LOW_VM 7

/* ring_of() - connect as a low-priority VM with a window of so many bytes. Returns the connection,
 * or -1 when the mediator refuses such a window. */
static int ring_of(RingGuest *g, uint64_t window_size)
{
    int fd = ring_hello(LOW_VM, VGPU_PRIORITY_LOW);
    VGPURingReady ready;
    WireMessage m;

    assert_int_equal(ring_guest_open(g, window_size, 0, 64, 0), 0);
    assert_true(ring_guest_setup(g, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
    if (wire_receive(fd, &m) == 1) {
        assert_int_equal(m.header.msg_type, VGPU_MSG_RING_READY);
        memcpy(&ready, m.payload, sizeof(ready));
        if (ready.error == VGPU_ERROR_NONE)
            return fd;
    }
    ring_down(g, fd);
    return -1;
}

/* c (m x n) = a (m x k) times b (k x n), at these offsets and with these distances from row to row
 */
static VGPUSubmission product(uint64_t m, uint32_t n, uint32_t k, VGPUOperand a, VGPUOperand b,
                              VGPUOperand c)
{
    return (VGPUSubmission){
        .opcode = VGPU_OP_RING_MATMUL,
        .type = VGPU_TYPE_FLOAT32,
        .count = m,
        .n = n,
        .k = k,
        .a = a,
        .b = b,
        .c = c,
    };
}

static VGPUOperand at(uint64_t offset, uint32_t stride)
{
    return (VGPUOperand){.offset = offset, .stride = stride};
}

static unsigned completed(const RingGuest *g)
{
    return __atomic_load_n(&g->header->cq_tail, __ATOMIC_ACQUIRE) - g->cq_head;
}

static void take_all(RingGuest *g, unsigned n)
{
    VGPUCompletion c;

    while (n-- > 0)
        assert_true(ring_guest_wait(g, &c, WIRE_TIMEOUT_MSEC));
}

/*
 * How many of @n such requests of a low VM, which were all there first, are over when a high VM's
 * addition is answered? The executor is stopped until both wait for it.
 */
static unsigned over_before(RingGuest *g, const VGPUSubmission *s, unsigned n)
{
    pid_t executor = hold_executor();
    int neighbour = dial();
    unsigned before;

    for (unsigned i = 0; i < n; i++)
        ring_guest_fill(g, s);
    (void) ring_guest_publish(g);
    expect_pong(neighbour);
    assert_true(wire_send_add(neighbour, 1, 2, VGPU_PRIORITY_HIGH, 2, 2));
    expect_pong(neighbour);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_sum(neighbour, 2, 4);
    before = completed(g);
    take_all(g, n);
    close(neighbour);
    return before;
}

/* The least of some rounds: the neighbour may sleep through the moment on a machine with other
 * work. */
static void expect_over_before(RingGuest *g, const VGPUSubmission *s, unsigned n, unsigned most)
{
    unsigned least = n;

    for (unsigned round = 0; round < 4 && least > most; round++) {
        unsigned over = over_before(g, s, n);

        least = over < least ? over : least;
    }
    assert_in_range(least, 0, most);
}

/* Products of half a second, as many as the pool runs at once: a high VM does not wait for the
 * first. */
TEST(test_long_products_leave_a_place)
{
    const uint32_t n = 1536;
    const VGPUSubmission long_one =
        product(n, n, n, at(16 * MIB, n), at(32 * MIB, n), at(48 * MIB, n));
    RingGuest g;
    int fd = ring_of(&g, 64 * MIB);

    assert_true(fd >= 0);
    expect_over_before(&g, &long_one, 4, 0);
    ring_down(&g, fd);
}

/* Few products, each in pages of its own: not small, and none of the executor's own thread's
 * business. */
TEST(test_strides_do_not_stop_the_executor)
{
    const uint32_t m = 131072, stride = 128;
    const VGPUSubmission strided =
        product(m, 1, 1, at(64 * MIB, stride), at(1 * MIB, 1), at(128 * MIB, stride));
    RingGuest g;
    int fd = ring_of(&g, 256 * MIB);

    assert_true(fd >= 0);
    memset(g.window + 64 * MIB, 0, 128 * MIB); /* the VM's own memory */
    expect_over_before(&g, &strided, 4, 0);
    ring_down(&g, fd);
}

/* A window of a tebibyte, of which the VM has touched a page. Whatever becomes of the request, it
 * is not the executor that pays for the memory. */
TEST(test_giant_windows_cost_the_host_nothing)
{
    const uint64_t gib = UINT64_C(1) << 30;
    const VGPUSubmission sparse =
        product(32768, 1, 1, at(300 * gib, 1024), at(gib, 1), at(400 * gib, 1024));
    pid_t executor;
    unsigned before;
    RingGuest g;
    int fd;

    expect_add_works();
    executor = test_mediator_executor(&mediator);
    before = memory_kib(executor) + memory_kib(mediator.pid);
    fd = ring_of(&g, VGPU_WINDOW_SIZE_MAX);
    if (fd >= 0) {
        VGPUCompletion c;

        ring_guest_submit(&g, &sparse);
        assert_true(ring_guest_wait(&g, &c, WIRE_TIMEOUT_MSEC));
        if (test_mediator_executor(&mediator) == executor)
            assert_in_range(memory_kib(executor) + memory_kib(mediator.pid), 0, before + 64 * 1024);
        ring_down(&g, fd);
    }
    expect_add_works();
}

/* Each time that the time limit ends the executor, others have requests in it. They are pure, and
 * done again. */
TEST(test_a_time_limit_is_the_guilty_ones_alone)
{
    const uint32_t n = 4096;
    const VGPUSubmission giant =
        product(n, n, n, at(64 * MIB, n), at(128 * MIB, n), at(192 * MIB, n));
    int neighbours[4], fd;
    uint32_t id = 1;
    RingGuest g;
    time_t end;

    for (unsigned i = 0; i < 4; i++)
        neighbours[i] = dial();
    fd = ring_of(&g, 256 * MIB);
    assert_true(fd >= 0);
    end = time(NULL) + 5;
    for (unsigned outstanding = 0; time(NULL) < end; id++) {
        VGPUCompletion c;

        if (outstanding == 0) {
            ring_guest_submit(&g, &giant);
            outstanding++;
        }
        for (unsigned i = 0; i < 4; i++)
            assert_true(wire_send_add(neighbours[i], 1 + i, id, VGPU_PRIORITY_MEDIUM, id, i));
        for (unsigned i = 0; i < 4; i++)
            expect_sum(neighbours[i], id, id + i);
        if (ring_guest_take(&g, &c))
            outstanding--;
    }
    for (unsigned i = 0; i < 4; i++)
        close(neighbours[i]);
    ring_down(&g, fd);
}

/* The operation has no second operand, so what stands in its place is nobody's business: neither
 * refused nor looked at. A sanitizer would see an address made of it. */
TEST(test_operands_that_do_not_count)
{
    const VGPUOperand rubbish = at(UINT64_MAX - 7, 1);
    RingGuest g;
    int fd = ring_of(&g, MIB);

    assert_true(fd >= 0);
    for (uint32_t op = VGPU_OP_RING_SUM; op <= VGPU_OP_RING_MAX; op++) {
        const VGPUSubmission s = {
            .opcode = op,
            .type = VGPU_TYPE_FLOAT32,
            .count = 10,
            .a = at(MIB / 2, 1),
            .b = rubbish,
            .c = rubbish,
        };

        ring_guest_submit(&g, &s);
        (void) expect_completion(&g, VGPU_ERROR_NONE);
    }
    ring_down(&g, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNDER_ATTACK(POOL, test_long_products_leave_a_place),
        UNDER_ATTACK(POOL, test_strides_do_not_stop_the_executor),
        UNDER_ATTACK(POOL, test_giant_windows_cost_the_host_nothing),
        UNDER_ATTACK(SHORT_LIMIT, test_a_time_limit_is_the_guilty_ones_alone),
        UNDER_ATTACK(POOL, test_operands_that_do_not_count),
    };

    return cmocka_run_group_tests_name("hostile rings", tests, NULL, NULL);
}

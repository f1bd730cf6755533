/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine does to a device whose ring is on: resets and stops it. */
#include "device-ring.h"

#include <sys/socket.h>

/* ---- Reset --------------------------------------------------------------------------- */

static void assert_power_on(Testbed *t)
{
    device_enable(&t->device);
    for (uint32_t at = VGPU_REG_RING_OFFSET_LO; at < VGPU_BAR0_SIZE; at += 4)
        assert_int_equal(device_read(&t->device, at), at == VGPU_REG_RINGS ? VGPU_RINGS_MAX : 0);
    assert_int_equal(device_read(&t->device, VGPU_REG_EXT_MAGIC), VGPU_EXT_MAGIC);
    qtest_wait_irq(t->qtest, false);
}

/* The eventfds from before the reset neither hear the guest nor disturb it. */
static void assert_dead(Testbed *t, FakeRing *r)
{
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    assert_int_equal(fake_rung(r), 0);
    fake_signal(r);
    qtest_synchronize(t->qtest);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 0);
}

/* The mediator lets go of the window in time, and loses its connection all the same. */
static void reset_in_order(Testbed *t, const FakeRing *r, void (*reset)(Testbed *t))
{
    fake_obey_meanwhile(&t->mediator, r);
    reset(t);
    fake_obeyed(&t->mediator);
    assert_power_on(t);
    fake_expect_hang_up(&t->mediator);
}

static void check_reset(Testbed *t, void (*reset)(Testbed *t))
{
    FakeRing *r = t->mediator.ring, *next;

    reset_in_order(t, r, reset);
    fake_expect_no_caller(&t->mediator);
    assert_dead(t, r);

    next = ring_open(t); /* a new connection */
    assert_dead(t, r);
    fake_wait_rung(next);
    fake_signal(next);
    ring_expect(t, VGPU_RING_ON);
    reset_in_order(t, NULL, reset);
}

static void test_system_reset(void **state)
{
    check_reset(*state, testbed_system_reset);
}

static void test_function_level_reset(void **state)
{
    check_reset(*state, testbed_function_level_reset);
}

static void test_hot_reset(void **state)
{
    check_reset(*state, testbed_hot_reset);
}

/* The device drops what is on the ring. The window keeps it, as any card's memory would. */
static void check_reset_with_a_full_ring(Testbed *t, void (*reset)(Testbed *t))
{
    FakeRing *r = t->mediator.ring, *next;

    ring_fill(&t->device, r);
    ring_expect(t, VGPU_RING_ON);
    reset_in_order(t, r, reset);
    fake_expect_no_caller(&t->mediator);

    device_map_window(&t->device);
    assert_int_equal(qtest_read(t->qtest, DEVICE_BAR2 + RING_OFFSET, 4), RING_ENTRIES);
    ring_clear(&t->device);
    next = ring_open(t);
    assert_int_equal(fake_rung(next), 0);
    ring_fill(&t->device, next);
    ring_expect(t, VGPU_RING_ON);
    ring_finish(&t->device, next);
}

static void test_system_reset_with_a_full_ring(void **state)
{
    check_reset_with_a_full_ring(*state, testbed_system_reset);
}

static void test_function_level_reset_with_a_full_ring(void **state)
{
    check_reset_with_a_full_ring(*state, testbed_function_level_reset);
}

/* A reset does not wait for a mediator that does nothing; it loses the connection. */
static void test_reset_with_a_stalled_mediator(void **state)
{
    Testbed *t = *state;
    int64_t begin = now_ms();

    testbed_function_level_reset(t);
    assert_true(now_ms() - begin < 5000);
    assert_power_on(t);
    fake_expect_off(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);
}

static void test_reset_while_starting(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator);
    reset_in_order(t, NULL, testbed_function_level_reset);
}

static void test_reset_while_there_is_no_mediator(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    qtest_synchronize(t->qtest);
    testbed_function_level_reset(t);
    assert_power_on(t);
    testbed_listen(t);
    fake_expect_no_caller(&t->mediator);
}

/* A request through the registers is pending too, and is dropped. */
static void test_reset_with_a_request_too(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    reset_in_order(t, t->mediator.ring, testbed_function_level_reset);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
    device_submit_add(&t->device, 1, 1, 2);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);
    assert_int_equal(device_result(&t->device), 3);
}

/* ---- Stop ----------------------------------------------------------------------------- */

/* QEMU waits for the mediator, and the test goes on. Call qtest_qmp_end() after it. */
static void begin_stop(Testbed *t)
{
    qtest_qmp_begin(t->qtest, "{\"execute\": \"stop\"}");
    fake_expect_off(&t->mediator);
}

static void test_stop(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    fake_obey_meanwhile(&t->mediator, r);
    qtest_pause(t->qtest); /* not before the mediator has let go */
    fake_obeyed(&t->mediator);
    fake_expect_silence(&t->mediator); /* it does not get it back yet */
    assert_int_equal(ring_state(t), VGPU_RING_ON);

    /* What it said before that is taken, and what it says later is not. */
    ring_expect(t, VGPU_RING_ON);
    fake_signal(r);
    qtest_synchronize(t->qtest);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 0);

    r = ring_resume(t);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    fake_wait_rung(r);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
}

/* The mediator says nothing: the device notices long before the timeout. */
static void test_stop_with_a_stalled_mediator(void **state)
{
    Testbed *t = *state;
    int64_t begin = now_ms();

    qtest_pause(t->qtest);
    assert_true(now_ms() - begin < 5000);
    fake_expect_off(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    assert_int_equal(qtest_log_count(t->qtest, "does not let go of the window"), 1);
    qtest_resume(t->qtest);
    ring_take_up(t);
}

/* What the mediator has begun takes a while, and the mediator answers PINGs. */
static void test_stop_with_a_busy_mediator(void **state)
{
    Testbed *t = *state;

    begin_stop(t);
    fake_stay_alive(&t->mediator, 2500);
    fake_stopped(&t->mediator);
    qtest_qmp_end(t->qtest);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
    ring_resume(t);
}

/* The same, but it never ends. The device's reconnect-timeout is 2 s. */
static void test_stop_with_an_endless_mediator(void **state)
{
    VGPUSocketHeader header = {0};
    int64_t begin = now_ms();
    Testbed *t = *state;

    begin_stop(t);
    while (recv(t->mediator.peer, &header, sizeof(header), MSG_WAITALL) == sizeof(header)) {
        assert_int_equal(header.msg_type, VGPU_MSG_PING);
        header.msg_type = VGPU_MSG_PONG;
        (void) !wire_send(t->mediator.peer, &header, NULL); /* it may just have been closed */
    }
    qtest_qmp_end(t->qtest);
    assert_in_range(now_ms() - begin, 2000, 9000);
    assert_int_equal(qtest_log_count(t->qtest, "does not let go of the window"), 1);
    qtest_resume(t->qtest);
    ring_take_up(t);
}

static void test_stop_and_the_mediator_dies(void **state)
{
    Testbed *t = *state;

    begin_stop(t);
    fake_hang_up(&t->mediator);
    qtest_qmp_end(t->qtest);
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    fake_expect_no_caller(&t->mediator); /* not while it is stopped */
    qtest_resume(t->qtest);
    ring_take_up(t);
}

static void test_stop_while_starting(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator);
    fake_obey_meanwhile(&t->mediator, NULL);
    qtest_pause(t->qtest);
    fake_obeyed(&t->mediator);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    ring_resume(t);
}

static void test_stop_while_stopping(void **state)
{
    Testbed *t = *state;

    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    fake_expect_off(&t->mediator);
    qtest_qmp_begin(t->qtest, "{\"execute\": \"stop\"}");
    fake_stopped(&t->mediator);
    qtest_qmp_end(t->qtest);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    qtest_resume(t->qtest);
    ring_open(t);
}

static void test_on_and_off_in_a_stopped_vm(void **state)
{
    Testbed *t = *state;

    qtest_pause(t->qtest);
    device_ring_start(&t->device);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
    fake_expect_no_caller(&t->mediator);
    qtest_resume(t->qtest);
    ring_accept(t);
}

/* QEMU ends, and with it the connection, when the testbed is closed. */
TEST(test_quit)
{
}

static int setup_on_behind_a_port(void **state)
{
    testbed_setup_port(state);
    ring_open(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define PORT(f) cmocka_unit_test_setup_teardown(f, setup_on_behind_a_port, testbed_teardown)
        RING_ON_TEST(test_system_reset, NULL),
        PORT(test_function_level_reset),
        PORT(test_hot_reset),
        RING_ON_TEST(test_system_reset_with_a_full_ring, NULL),
        RING_ON_TEST(test_function_level_reset_with_a_full_ring, NULL),
        RING_ON_TEST(test_reset_with_a_stalled_mediator, NULL),
        RING_TEST(test_reset_while_starting, NULL),
        RING_ON_TEST(test_reset_while_there_is_no_mediator, NULL),
        RING_ON_TEST(test_reset_with_a_request_too, NULL),
        RING_ON_TEST(test_stop, NULL),
        RING_ON_TEST(test_stop_with_a_stalled_mediator, NULL),
        RING_ON_TEST(test_stop_with_a_busy_mediator, NULL),
        RING_ON_TEST(test_stop_with_an_endless_mediator, ",reconnect-timeout=2"),
        RING_ON_TEST(test_stop_and_the_mediator_dies, NULL),
        RING_TEST(test_stop_while_starting, NULL),
        RING_ON_TEST(test_stop_while_stopping, NULL),
        RING_TEST(test_on_and_off_in_a_stopped_vm, NULL),
        RING_ON_TEST(test_quit, IMPATIENT),
#undef PORT
    };

    return cmocka_run_group_tests_name("ring and machine", tests, NULL, NULL);
}

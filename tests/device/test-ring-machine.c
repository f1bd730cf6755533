/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine does to a device whose ring is on: resets, stops and unplugs it. */
#include "device-ring.h"

#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Of QEMU's i440FX machine: see test-machine.c */
#define ACPI_PCI_EJECT 0xae08
#define ACPI_PCI_SELECT 0xae10

static void synchronize(Testbed *t)
{
    qtest_qmp_ok(t->qtest, "{\"execute\": \"query-status\"}");
}

static void stop(Testbed *t)
{
    qtest_qmp_ok(t->qtest, "{\"execute\": \"stop\"}");
}

static void cont(Testbed *t)
{
    qtest_qmp_ok(t->qtest, "{\"execute\": \"cont\"}");
}

/* ---- Reset --------------------------------------------------------------------------- */

static void assert_power_on(Testbed *t)
{
    device_enable(&t->device);
    for (uint32_t at = VGPU_REG_RING_OFFSET_LO; at < VGPU_BAR0_SIZE; at += 4)
        assert_int_equal(device_read(&t->device, at), 0);
    assert_int_equal(device_read(&t->device, VGPU_REG_EXT_MAGIC), VGPU_EXT_MAGIC);
    qtest_wait_irq(t->qtest, false);
}

/* The eventfds of before can neither hear the guest nor disturb it. */
static void assert_dead(Testbed *t, FakeRing *r)
{
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    assert_int_equal(fake_rung(r), 0);
    fake_signal(r);
    synchronize(t);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 0);
}

static void check_reset(Testbed *t, void (*reset)(Testbed *t))
{
    FakeRing r, next;
    pid_t pid;

    ring_open(t, &r);
    pid = fake_obey_meanwhile(&t->mediator, &r);
    reset(t);
    fake_obeyed(pid);
    assert_power_on(t);
    fake_expect_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);
    assert_dead(t, &r);

    ring_open(t, &next); /* a new connection */
    assert_dead(t, &r);
    fake_wait_rung(&next);
    fake_signal(&next);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    fake_ring_close(&r);
    fake_ring_close(&next);

    pid = fake_obey_meanwhile(&t->mediator, NULL);
    reset(t);
    fake_obeyed(pid);
    assert_power_on(t);
    fake_hang_up(&t->mediator);
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

/* What is on it is dropped by the device, and stays in the window, as in any card's memory. */
static void check_reset_with_a_full_ring(Testbed *t, void (*reset)(Testbed *t))
{
    FakeRing r, next;
    pid_t pid;

    ring_open(t, &r);
    ring_fill(&t->device, &r);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    pid = fake_obey_meanwhile(&t->mediator, &r);
    reset(t);
    fake_obeyed(pid);
    assert_power_on(t);
    fake_expect_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);

    device_map_window(&t->device);
    assert_int_equal(qtest_read(t->qtest, DEVICE_BAR2 + RING_OFFSET, 4), RING_ENTRIES);
    ring_clear(&t->device);
    ring_open(t, &next);
    assert_int_equal(fake_rung(&next), 0);
    ring_fill(&t->device, &next);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    ring_finish(&t->device, &next);
    fake_ring_close(&r);
    fake_ring_close(&next);
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
    int64_t begin;
    FakeRing r;

    ring_open(t, &r);
    begin = now_ms();
    testbed_function_level_reset(t);
    assert_true(now_ms() - begin < 5000);
    assert_power_on(t);
    fake_expect_off(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    fake_expect_no_caller(&t->mediator);
    fake_ring_close(&r);
}

static void test_reset_while_starting(void **state)
{
    Testbed *t = *state;
    FakeRing r;
    pid_t pid;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator, &r);
    pid = fake_obey_meanwhile(&t->mediator, NULL);
    testbed_function_level_reset(t);
    fake_obeyed(pid);
    assert_power_on(t);
    fake_expect_hang_up(&t->mediator);
    fake_ring_close(&r);
}

static void test_reset_while_there_is_no_mediator(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    fake_stop(&t->mediator);
    synchronize(t);
    testbed_function_level_reset(t);
    assert_power_on(t);
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    fake_expect_no_caller(&t->mediator);
    fake_ring_close(&r);
}

/* A request of the other kind is pending too: it is dropped, also when its answer comes first. */
static void test_reset_of_both_lanes(void **state)
{
    Testbed *t = *state;
    FakeRing r;
    pid_t pid;

    ring_open(t, &r);
    device_submit_add(&t->device, 1, 100, 200);
    fake_expect_request(&t->mediator, 1, NULL);
    pid = fake_obey_meanwhile(&t->mediator, &r);
    testbed_function_level_reset(t);
    fake_obeyed(pid);
    assert_power_on(t);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
    fake_expect_hang_up(&t->mediator);
    device_submit_add(&t->device, 1, 1, 2);
    fake_accept(&t->mediator, NULL);
    fake_serve_add(&t->mediator, 1);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&t->device), 3);
    fake_ring_close(&r);
}

/* ---- Stop ----------------------------------------------------------------------------- */

static void test_stop(void **state)
{
    Testbed *t = *state;
    FakeRing r, again;
    pid_t pid;

    ring_open(t, &r);
    pid = fake_obey_meanwhile(&t->mediator, &r);
    stop(t); /* not before the mediator has let go */
    fake_obeyed(pid);
    fake_expect_silence(&t->mediator); /* it does not get it back yet */
    assert_int_equal(ring_state(t), VGPU_RING_ON);

    /* What it said before that is taken, and what it says later is not. */
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    fake_signal(&r);
    synchronize(t);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 0);

    cont(t);
    fake_expect_setup(&t->mediator, &again); /* on the same connection */
    assert_memory_equal(&again.setup, &r.setup, sizeof(r.setup));
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    fake_wait_rung(&again);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
    fake_ring_close(&r);
    fake_ring_close(&again);
}

/* Nothing is heard from it: that is noticed long before the timeout. */
static void test_stop_with_a_stalled_mediator(void **state)
{
    Testbed *t = *state;
    int64_t begin;
    FakeRing r;

    ring_open(t, &r);
    begin = now_ms();
    stop(t);
    assert_true(now_ms() - begin < 5000);
    fake_expect_off(&t->mediator);
    fake_expect_hang_up(&t->mediator);
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    assert_int_equal(qtest_log_count(t->qtest, "does not let go of the window"), 1);
    cont(t);
    ring_take_up(t, &r);
    fake_ring_close(&r);
}

/* What it has begun takes its time, and it says so. */
static void test_stop_with_a_busy_mediator(void **state)
{
    Testbed *t = *state;
    int64_t begin;
    FakeRing r, again;

    ring_open(t, &r);
    qtest_qmp_begin(t->qtest, "{\"execute\": \"stop\"}");
    fake_expect_off(&t->mediator);
    for (begin = now_ms(); now_ms() - begin < 2500;)
        fake_send(&t->mediator, VGPU_MSG_PONG, fake_expect_ping(&t->mediator), NULL, 0);
    fake_stopped(&t->mediator);
    qtest_qmp_end(t->qtest);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
    cont(t);
    fake_expect_setup(&t->mediator, &again);
    fake_ring_close(&r);
    fake_ring_close(&again);
}

/* And it never ends. */
TEST(test_stop_with_an_endless_mediator)
{
    VGPUSocketHeader header = {0};
    int64_t begin = now_ms();
    FakeRing r;
    Testbed t;

    testbed_open(&t, ",reconnect-timeout=2");
    ring_open(&t, &r);
    qtest_qmp_begin(t.qtest, "{\"execute\": \"stop\"}");
    fake_expect_off(&t.mediator);
    while (recv(t.mediator.peer, &header, sizeof(header), MSG_WAITALL) == sizeof(header)) {
        assert_int_equal(header.msg_type, VGPU_MSG_PING);
        header.msg_type = VGPU_MSG_PONG;
        (void) !wire_send(t.mediator.peer, &header, NULL); /* it may just have been closed */
    }
    qtest_qmp_end(t.qtest);
    assert_in_range(now_ms() - begin, 2000, 9000);
    assert_int_equal(qtest_log_count(t.qtest, "does not let go of the window"), 1);
    cont(&t);
    ring_take_up(&t, &r);
    fake_ring_close(&r);
    testbed_close(&t);
}

static void test_stop_and_the_mediator_dies(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    qtest_qmp_begin(t->qtest, "{\"execute\": \"stop\"}");
    fake_expect_off(&t->mediator);
    fake_hang_up(&t->mediator);
    qtest_qmp_end(t->qtest);
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    fake_expect_no_caller(&t->mediator); /* not while it is stopped */
    cont(t);
    ring_take_up(t, &r);
    fake_ring_close(&r);
}

static void test_stop_while_starting(void **state)
{
    Testbed *t = *state;
    FakeRing r, again;
    pid_t pid;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator, &r);
    pid = fake_obey_meanwhile(&t->mediator, NULL);
    stop(t);
    fake_obeyed(pid);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    cont(t);
    fake_expect_setup(&t->mediator, &again);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    fake_ring_close(&r);
    fake_ring_close(&again);
}

static void test_stop_while_stopping(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    ring_open(t, &r);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    fake_expect_off(&t->mediator);
    qtest_qmp_begin(t->qtest, "{\"execute\": \"stop\"}");
    fake_stopped(&t->mediator);
    qtest_qmp_end(t->qtest);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    cont(t);
    fake_ring_close(&r);
    ring_open(t, &r);
    fake_ring_close(&r);
}

static void test_on_and_off_in_a_stopped_vm(void **state)
{
    Testbed *t = *state;
    FakeRing r;

    stop(t);
    device_ring_start(&t->device);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
    fake_expect_no_caller(&t->mediator);
    cont(t);
    fake_accept_setup(&t->mediator, &r);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    fake_ring_close(&r);
}

/* ---- Hot unplug -------------------------------------------------------------------------- */

static void open_pc(Testbed *t)
{
    testbed_open_args(t, 0,
                      (const char *const[]){"-machine", "pc", "-device",
                                            "vgpu-stub,id=gpu,addr=3,socket=mediator.sock", NULL});
    device_map_window(&t->device);
}

/* As ring_open(), on a machine whose interrupts the tests don't see. */
static void open_ring_on_pc(Testbed *t, FakeRing *ret)
{
    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator, ret);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    fake_send(&t->mediator, VGPU_MSG_PING, 1, NULL, 0);
    fake_expect(&t->mediator, VGPU_MSG_PONG, &(WireMessage){0}); /* so that has been taken */
    assert_int_equal(ring_state(t), VGPU_RING_ON);
}

static void unplug(Testbed *t)
{
    qtest_qmp_ok(t->qtest, "{\"execute\": \"device_del\", \"arguments\": {\"id\": \"gpu\"}}");
    qtest_out32(t->qtest, ACPI_PCI_SELECT, 0);
    qtest_out32(t->qtest, ACPI_PCI_EJECT, 1u << t->device.slot);
    qtest_wait_event(t->qtest, "DEVICE_DELETED", "\"device\": \"gpu\"");
}

static void plug(Testbed *t)
{
    qtest_qmp_ok(t->qtest,
                 "{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vgpu-stub\", "
                 "\"id\": \"gpu\", \"addr\": \"3\", \"socket\": \"mediator.sock\"}}");
    assert_true(device_find(t->qtest, 0, &t->device));
    device_map_window(&t->device);
}

TEST(test_hot_unplug)
{
    FakeRing r, next;
    pid_t pid;
    Testbed t;

    open_pc(&t);
    for (int i = 0; i < 3; i++) {
        open_ring_on_pc(&t, &r);
        memset(r.window + 0x9000, 0xaa, 4096);
        pid = fake_obey_meanwhile(&t.mediator, &r);
        unplug(&t);
        fake_obeyed(pid);
        fake_expect_hang_up(&t.mediator);

        /* Another one in the same place has nothing of it. */
        plug(&t);
        assert_int_equal(ring_state(&t), VGPU_RING_OFF);
        assert_int_equal(qtest_read(t.qtest, DEVICE_BAR2 + 0x9000, 8), 0);
        open_ring_on_pc(&t, &next);
        memset(r.window + 0x9000, 0xbb, 4096); /* the mediator's own affair now */
        assert_int_equal(qtest_read(t.qtest, DEVICE_BAR2 + 0x9000, 8), 0);
        fake_ring_close(&r);
        fake_ring_close(&next);
        pid = fake_obey_meanwhile(&t.mediator, NULL);
        testbed_system_reset(&t);
        fake_obeyed(pid);
        fake_hang_up(&t.mediator);
        device_enable(&t.device);
        device_map_window(&t.device);
    }
    testbed_close(&t);
}

TEST(test_hot_unplug_with_a_full_ring)
{
    FakeRing r, next;
    pid_t pid;
    Testbed t;

    open_pc(&t);
    open_ring_on_pc(&t, &r);
    ring_fill(&t.device, &r);
    pid = fake_obey_meanwhile(&t.mediator, &r);
    unplug(&t);
    fake_obeyed(pid);
    fake_expect_hang_up(&t.mediator);
    fake_ring_close(&r);

    plug(&t); /* whose window is a new one */
    open_ring_on_pc(&t, &next);
    ring_fill(&t.device, &next);
    ring_finish(&t.device, &next);
    fake_ring_close(&next);
    testbed_close(&t);
}

TEST(test_hot_unplug_with_a_stalled_mediator)
{
    FakeRing r;
    Testbed t;

    open_pc(&t);
    open_ring_on_pc(&t, &r);
    unplug(&t);
    fake_expect_off(&t.mediator);
    fake_expect_hang_up(&t.mediator);
    fake_ring_close(&r);
    testbed_close(&t);
}

/* QEMU ends, and with it the connection. */
TEST(test_quit)
{
    FakeRing r;
    Testbed t;

    testbed_open(&t, ",reconnect-timeout=1");
    ring_open(&t, &r);
    fake_ring_close(&r);
    testbed_close(&t);
}

static int setup_port(void **state)
{
    Testbed *t = malloc(sizeof(*t));

    if (!t)
        return -1;
    testbed_open_port(t, "");
    *state = t;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, ring_setup, testbed_teardown)
#define PORT(f) cmocka_unit_test_setup_teardown(f, setup_port, testbed_teardown)
        CASE(test_system_reset),
        PORT(test_function_level_reset),
        PORT(test_hot_reset),
        CASE(test_system_reset_with_a_full_ring),
        CASE(test_function_level_reset_with_a_full_ring),
        CASE(test_reset_with_a_stalled_mediator),
        CASE(test_reset_while_starting),
        CASE(test_reset_while_there_is_no_mediator),
        CASE(test_reset_of_both_lanes),
        CASE(test_stop),
        CASE(test_stop_with_a_stalled_mediator),
        CASE(test_stop_with_a_busy_mediator),
        cmocka_unit_test(test_stop_with_an_endless_mediator),
        CASE(test_stop_and_the_mediator_dies),
        CASE(test_stop_while_starting),
        CASE(test_stop_while_stopping),
        CASE(test_on_and_off_in_a_stopped_vm),
        cmocka_unit_test(test_hot_unplug),
        cmocka_unit_test(test_hot_unplug_with_a_full_ring),
        cmocka_unit_test(test_hot_unplug_with_a_stalled_mediator),
        cmocka_unit_test(test_quit),
#undef PORT
#undef CASE
    };

    return cmocka_run_group_tests_name("ring and machine", tests, NULL, NULL);
}

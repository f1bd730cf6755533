/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine does to a device whose ring is on: resets, stops and unplugs it. */
#include "device-ring.h"

#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Of QEMU's i440FX machine: see test-machine.c */
#define ACPI_PCI_EJECT 0xae08
#define ACPI_PCI_SELECT 0xae10

static void synchronize(World *w)
{
    qtest_qmp_ok(w->qtest, "{\"execute\": \"query-status\"}");
}

static void stop(World *w)
{
    qtest_qmp_ok(w->qtest, "{\"execute\": \"stop\"}");
}

static void cont(World *w)
{
    qtest_qmp_ok(w->qtest, "{\"execute\": \"cont\"}");
}

/* ---- Reset --------------------------------------------------------------------------- */

static void assert_power_on(World *w)
{
    device_enable(&w->device);
    for (uint32_t at = VGPU_REG_RING_OFFSET_LO; at < VGPU_BAR0_SIZE; at += 4)
        assert_int_equal(device_read(&w->device, at), 0);
    assert_int_equal(device_read(&w->device, VGPU_REG_EXT_MAGIC), VGPU_EXT_MAGIC);
    qtest_wait_irq(w->qtest, false);
}

/* The eventfds of before can neither hear the guest nor disturb it. */
static void assert_dead(World *w, FakeRing *r)
{
    device_write(&w->device, VGPU_REG_RING_DOORBELL, 1);
    assert_int_equal(fake_rung(r), 0);
    fake_signal(r);
    synchronize(w);
    assert_int_equal(device_read(&w->device, VGPU_REG_RING_IRQ_STATUS), 0);
}

static void check_reset(World *w, void (*reset)(World *w))
{
    FakeRing r, next;
    pid_t pid;

    ring_open(w, &r);
    pid = fake_obey_meanwhile(&w->mediator, &r);
    reset(w);
    fake_obeyed(pid);
    assert_power_on(w);
    fake_expect_hang_up(&w->mediator);
    fake_expect_no_caller(&w->mediator);
    assert_dead(w, &r);

    ring_open(w, &next); /* a new connection */
    assert_dead(w, &r);
    fake_wait_rung(&next);
    fake_signal(&next);
    assert_int_equal(device_wait_ring(&w->device), VGPU_RING_ON);
    fake_ring_close(&r);
    fake_ring_close(&next);

    pid = fake_obey_meanwhile(&w->mediator, NULL);
    reset(w);
    fake_obeyed(pid);
    assert_power_on(w);
    fake_hang_up(&w->mediator);
}

static void test_system_reset(void **state)
{
    check_reset(*state, world_system_reset);
}

static void test_function_level_reset(void **state)
{
    check_reset(*state, world_function_level_reset);
}

static void test_hot_reset(void **state)
{
    check_reset(*state, world_hot_reset);
}

/* What is on it is dropped by the device, and stays in the window, as in any card's memory. */
static void check_reset_with_a_full_ring(World *w, void (*reset)(World *w))
{
    FakeRing r, next;
    pid_t pid;

    ring_open(w, &r);
    ring_fill(&w->device, &r);
    assert_int_equal(device_wait_ring(&w->device), VGPU_RING_ON);
    pid = fake_obey_meanwhile(&w->mediator, &r);
    reset(w);
    fake_obeyed(pid);
    assert_power_on(w);
    fake_expect_hang_up(&w->mediator);
    fake_expect_no_caller(&w->mediator);

    device_map_window(&w->device);
    assert_int_equal(qtest_read(w->qtest, DEVICE_BAR2 + RING_OFFSET, 4), RING_ENTRIES);
    ring_clear(&w->device);
    ring_open(w, &next);
    assert_int_equal(fake_rung(&next), 0);
    ring_fill(&w->device, &next);
    assert_int_equal(device_wait_ring(&w->device), VGPU_RING_ON);
    ring_finish(&w->device, &next);
    fake_ring_close(&r);
    fake_ring_close(&next);
}

static void test_system_reset_with_a_full_ring(void **state)
{
    check_reset_with_a_full_ring(*state, world_system_reset);
}

static void test_function_level_reset_with_a_full_ring(void **state)
{
    check_reset_with_a_full_ring(*state, world_function_level_reset);
}

/* A reset does not wait for a mediator that does nothing; it loses the connection. */
static void test_reset_with_a_stalled_mediator(void **state)
{
    World *w = *state;
    int64_t begin;
    FakeRing r;

    ring_open(w, &r);
    begin = now_ms();
    world_function_level_reset(w);
    assert_true(now_ms() - begin < 5000);
    assert_power_on(w);
    fake_expect_off(&w->mediator);
    fake_expect_hang_up(&w->mediator);
    fake_expect_no_caller(&w->mediator);
    fake_ring_close(&r);
}

static void test_reset_while_starting(void **state)
{
    World *w = *state;
    FakeRing r;
    pid_t pid;

    device_ring_start(&w->device);
    fake_accept_setup(&w->mediator, &r);
    pid = fake_obey_meanwhile(&w->mediator, NULL);
    world_function_level_reset(w);
    fake_obeyed(pid);
    assert_power_on(w);
    fake_expect_hang_up(&w->mediator);
    fake_ring_close(&r);
}

static void test_reset_while_there_is_no_mediator(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    fake_stop(&w->mediator);
    synchronize(w);
    world_function_level_reset(w);
    assert_power_on(w);
    fake_listen(&w->mediator, qtest_directory(w->qtest));
    fake_expect_no_caller(&w->mediator);
    fake_ring_close(&r);
}

/* A request of the other kind is pending too: it is dropped, also when its answer comes first. */
static void test_reset_of_both_lanes(void **state)
{
    World *w = *state;
    FakeRing r;
    pid_t pid;

    ring_open(w, &r);
    device_submit_add(&w->device, 1, 100, 200);
    fake_expect_request(&w->mediator, 1, NULL);
    pid = fake_obey_meanwhile(&w->mediator, &r);
    world_function_level_reset(w);
    fake_obeyed(pid);
    assert_power_on(w);
    assert_int_equal(device_read(&w->device, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
    fake_expect_hang_up(&w->mediator);
    device_submit_add(&w->device, 1, 1, 2);
    fake_accept(&w->mediator, NULL);
    fake_serve_add(&w->mediator, 1);
    assert_int_equal(device_wait(&w->device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&w->device), 3);
    fake_ring_close(&r);
}

/* ---- Stop ----------------------------------------------------------------------------- */

static void test_stop(void **state)
{
    World *w = *state;
    FakeRing r, again;
    pid_t pid;

    ring_open(w, &r);
    pid = fake_obey_meanwhile(&w->mediator, &r);
    stop(w); /* not before the mediator has let go */
    fake_obeyed(pid);
    fake_expect_silence(&w->mediator); /* it does not get it back yet */
    assert_int_equal(ring_state(w), VGPU_RING_ON);

    /* What it said before that is taken, and what it says later is not. */
    assert_int_equal(device_wait_ring(&w->device), VGPU_RING_ON);
    fake_signal(&r);
    synchronize(w);
    assert_int_equal(device_read(&w->device, VGPU_REG_RING_IRQ_STATUS), 0);

    cont(w);
    fake_expect_setup(&w->mediator, &again); /* on the same connection */
    assert_memory_equal(&again.setup, &r.setup, sizeof(r.setup));
    fake_ready(&w->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&w->device), VGPU_RING_ON);
    device_write(&w->device, VGPU_REG_RING_DOORBELL, 1);
    fake_wait_rung(&again);
    assert_int_equal(qtest_log_count(w->qtest, "warning"), 0);
    fake_ring_close(&r);
    fake_ring_close(&again);
}

/* Nothing is heard from it: that is noticed long before the timeout. */
static void test_stop_with_a_stalled_mediator(void **state)
{
    World *w = *state;
    int64_t begin;
    FakeRing r;

    ring_open(w, &r);
    begin = now_ms();
    stop(w);
    assert_true(now_ms() - begin < 5000);
    fake_expect_off(&w->mediator);
    fake_expect_hang_up(&w->mediator);
    assert_int_equal(ring_state(w), VGPU_RING_ON);
    assert_int_equal(qtest_log_count(w->qtest, "does not let go of the window"), 1);
    cont(w);
    ring_take_up(w, &r);
    fake_ring_close(&r);
}

/* What it has begun takes its time, and it says so. */
static void test_stop_with_a_busy_mediator(void **state)
{
    World *w = *state;
    int64_t begin;
    FakeRing r, again;

    ring_open(w, &r);
    qtest_qmp_begin(w->qtest, "{\"execute\": \"stop\"}");
    fake_expect_off(&w->mediator);
    for (begin = now_ms(); now_ms() - begin < 2500;)
        fake_send(&w->mediator, VGPU_MSG_PONG, fake_expect_ping(&w->mediator), NULL, 0);
    fake_stopped(&w->mediator);
    qtest_qmp_end(w->qtest);
    assert_int_equal(qtest_log_count(w->qtest, "warning"), 0);
    cont(w);
    fake_expect_setup(&w->mediator, &again);
    fake_ring_close(&r);
    fake_ring_close(&again);
}

/* And it never ends. */
TEST(test_stop_with_an_endless_mediator)
{
    VGPUSocketHeader header = {0};
    int64_t begin = now_ms();
    FakeRing r;
    World w;

    world_open(&w, ",reconnect-timeout=2");
    ring_open(&w, &r);
    qtest_qmp_begin(w.qtest, "{\"execute\": \"stop\"}");
    fake_expect_off(&w.mediator);
    while (recv(w.mediator.peer, &header, sizeof(header), MSG_WAITALL) == sizeof(header)) {
        assert_int_equal(header.msg_type, VGPU_MSG_PING);
        header.msg_type = VGPU_MSG_PONG;
        (void) !wire_send(w.mediator.peer, &header, NULL); /* it may just have been closed */
    }
    qtest_qmp_end(w.qtest);
    assert_in_range(now_ms() - begin, 2000, 9000);
    assert_int_equal(qtest_log_count(w.qtest, "does not let go of the window"), 1);
    cont(&w);
    ring_take_up(&w, &r);
    fake_ring_close(&r);
    world_close(&w);
}

static void test_stop_and_the_mediator_dies(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    qtest_qmp_begin(w->qtest, "{\"execute\": \"stop\"}");
    fake_expect_off(&w->mediator);
    fake_hang_up(&w->mediator);
    qtest_qmp_end(w->qtest);
    assert_int_equal(ring_state(w), VGPU_RING_ON);
    fake_expect_no_caller(&w->mediator); /* not while it is stopped */
    cont(w);
    ring_take_up(w, &r);
    fake_ring_close(&r);
}

static void test_stop_while_starting(void **state)
{
    World *w = *state;
    FakeRing r, again;
    pid_t pid;

    device_ring_start(&w->device);
    fake_accept_setup(&w->mediator, &r);
    pid = fake_obey_meanwhile(&w->mediator, NULL);
    stop(w);
    fake_obeyed(pid);
    assert_int_equal(ring_state(w), VGPU_RING_STARTING);
    cont(w);
    fake_expect_setup(&w->mediator, &again);
    fake_ready(&w->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&w->device), VGPU_RING_ON);
    fake_ring_close(&r);
    fake_ring_close(&again);
}

static void test_stop_while_stopping(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    device_write(&w->device, VGPU_REG_RING_CTRL, 0);
    fake_expect_off(&w->mediator);
    qtest_qmp_begin(w->qtest, "{\"execute\": \"stop\"}");
    fake_stopped(&w->mediator);
    qtest_qmp_end(w->qtest);
    assert_int_equal(ring_state(w), VGPU_RING_OFF);
    cont(w);
    fake_ring_close(&r);
    ring_open(w, &r);
    fake_ring_close(&r);
}

static void test_on_and_off_in_a_stopped_vm(void **state)
{
    World *w = *state;
    FakeRing r;

    stop(w);
    device_ring_start(&w->device);
    assert_int_equal(ring_state(w), VGPU_RING_STARTING);
    device_write(&w->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(w), VGPU_RING_OFF);
    device_write(&w->device, VGPU_REG_RING_CTRL, 1);
    fake_expect_no_caller(&w->mediator);
    cont(w);
    fake_accept_setup(&w->mediator, &r);
    fake_ready(&w->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&w->device), VGPU_RING_ON);
    fake_ring_close(&r);
}

/* ---- Hot unplug -------------------------------------------------------------------------- */

static void open_pc(World *w)
{
    world_open_args(w, 0,
                    (const char *const[]){"-machine", "pc", "-device",
                                          "vgpu-stub,id=gpu,addr=3,socket=mediator.sock", NULL});
    device_map_window(&w->device);
}

/* As ring_open(), on a machine whose interrupts the tests don't see. */
static void open_ring_on_pc(World *w, FakeRing *ret)
{
    device_ring_start(&w->device);
    fake_accept_setup(&w->mediator, ret);
    fake_ready(&w->mediator, VGPU_ERROR_NONE);
    fake_send(&w->mediator, VGPU_MSG_PING, 1, NULL, 0);
    fake_expect(&w->mediator, VGPU_MSG_PONG, &(WireMessage){0}); /* so that has been taken */
    assert_int_equal(ring_state(w), VGPU_RING_ON);
}

static void unplug(World *w)
{
    qtest_qmp_ok(w->qtest, "{\"execute\": \"device_del\", \"arguments\": {\"id\": \"gpu\"}}");
    qtest_out32(w->qtest, ACPI_PCI_SELECT, 0);
    qtest_out32(w->qtest, ACPI_PCI_EJECT, 1u << w->device.slot);
    qtest_wait_event(w->qtest, "DEVICE_DELETED", "\"device\": \"gpu\"");
}

static void plug(World *w)
{
    qtest_qmp_ok(w->qtest,
                 "{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vgpu-stub\", "
                 "\"id\": \"gpu\", \"addr\": \"3\", \"socket\": \"mediator.sock\"}}");
    assert_true(device_find(w->qtest, 0, &w->device));
    device_map_window(&w->device);
}

TEST(test_hot_unplug)
{
    FakeRing r, next;
    pid_t pid;
    World w;

    open_pc(&w);
    for (int i = 0; i < 3; i++) {
        open_ring_on_pc(&w, &r);
        memset(r.window + 0x9000, 0xaa, 4096);
        pid = fake_obey_meanwhile(&w.mediator, &r);
        unplug(&w);
        fake_obeyed(pid);
        fake_expect_hang_up(&w.mediator);

        /* Another one in the same place has nothing of it. */
        plug(&w);
        assert_int_equal(ring_state(&w), VGPU_RING_OFF);
        assert_int_equal(qtest_read(w.qtest, DEVICE_BAR2 + 0x9000, 8), 0);
        open_ring_on_pc(&w, &next);
        memset(r.window + 0x9000, 0xbb, 4096); /* the mediator's own affair now */
        assert_int_equal(qtest_read(w.qtest, DEVICE_BAR2 + 0x9000, 8), 0);
        fake_ring_close(&r);
        fake_ring_close(&next);
        pid = fake_obey_meanwhile(&w.mediator, NULL);
        world_system_reset(&w);
        fake_obeyed(pid);
        fake_hang_up(&w.mediator);
        device_enable(&w.device);
        device_map_window(&w.device);
    }
    world_close(&w);
}

TEST(test_hot_unplug_with_a_full_ring)
{
    FakeRing r, next;
    pid_t pid;
    World w;

    open_pc(&w);
    open_ring_on_pc(&w, &r);
    ring_fill(&w.device, &r);
    pid = fake_obey_meanwhile(&w.mediator, &r);
    unplug(&w);
    fake_obeyed(pid);
    fake_expect_hang_up(&w.mediator);
    fake_ring_close(&r);

    plug(&w); /* whose window is a new one */
    open_ring_on_pc(&w, &next);
    ring_fill(&w.device, &next);
    ring_finish(&w.device, &next);
    fake_ring_close(&next);
    world_close(&w);
}

TEST(test_hot_unplug_with_a_stalled_mediator)
{
    FakeRing r;
    World w;

    open_pc(&w);
    open_ring_on_pc(&w, &r);
    unplug(&w);
    fake_expect_off(&w.mediator);
    fake_expect_hang_up(&w.mediator);
    fake_ring_close(&r);
    world_close(&w);
}

/* QEMU ends, and with it the connection. */
TEST(test_quit)
{
    FakeRing r;
    World w;

    world_open(&w, ",reconnect-timeout=1");
    ring_open(&w, &r);
    fake_ring_close(&r);
    world_close(&w);
}

static int setup_port(void **state)
{
    World *w = malloc(sizeof(*w));

    if (!w)
        return -1;
    world_open_port(w, "");
    *state = w;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, ring_setup, world_teardown)
#define PORT(f) cmocka_unit_test_setup_teardown(f, setup_port, world_teardown)
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

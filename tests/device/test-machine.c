/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine does to the device: resets, stops and unplugs it. */
#include "world.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Where the firmware interface of QEMU's i440FX machine takes the slots to be ejected,
 * and the bus they are on. */
#define ACPI_PCI_EJECT 0xae08
#define ACPI_PCI_SELECT 0xae10

static void submit_and_take(World *w, uint32_t id)
{
    device_submit_add(&w->device, id, 100, 200);
    if (w->mediator.peer < 0)
        fake_accept(&w->mediator, NULL);
    fake_expect_request(&w->mediator, id, NULL);
}

/* ---- Reset ------------------------------------------------------------------------ */

static void assert_power_on(World *w)
{
    uint8_t all[VGPU_BAR0_SIZE];

    device_enable(&w->device);
    qtest_read_buffer(w->qtest, DEVICE_BAR0, all, sizeof(all));
    for (size_t i = VGPU_REG_REQUEST_LEN; i < VGPU_REG_EXTENSION; i++)
        if ((i & ~3u) != VGPU_REG_PROTOCOL_VER && (i & ~3u) != VGPU_REG_CAPABILITIES)
            assert_int_equal(all[i], 0);
    assert_int_equal(device_read(&w->device, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
    assert_int_equal(device_read(&w->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_NONE);
    assert_int_equal(device_read(&w->device, VGPU_REG_POOL_ID), 'A');
    assert_int_equal(device_read(&w->device, VGPU_REG_PRIORITY), VGPU_PRIORITY_MEDIUM);
    qtest_wait_irq(w->qtest, false);
}

/*
 * A reset with a request pending, whose answer is on its way, and then another
 * request that the guest gives the same id: the old answer must not reach it.
 */
static void check_reset_in_busy(World *w, void (*reset)(World *w))
{
    FakeMediator old;

    submit_and_take(w, 1);
    device_write(&w->device, VGPU_REG_SCRATCH, 0x1234);
    reset(w);
    assert_power_on(w);

    old = w->mediator;
    w->mediator.peer = -1;
    device_submit_add(&w->device, 1, 1, 2);
    fake_accept(&w->mediator, NULL);
    fake_expect_hang_up(&old);
    fake_serve_add(&w->mediator, 1);
    assert_int_equal(device_wait(&w->device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&w->device), 3);
}

/* The same when the old answer has arrived in QEMU's socket, but was not looked at. */
static void check_reset_with_answer_at_hand(World *w, void (*reset)(World *w))
{
    submit_and_take(w, 1);
    qtest_qmp_ok(w->qtest, "{\"execute\": \"stop\"}"); /* QEMU reads nothing now */
    fake_respond(&w->mediator, 1, VGPU_ERROR_NONE, 0xdead);
    reset(w);
    qtest_qmp_ok(w->qtest, "{\"execute\": \"cont\"}");
    assert_power_on(w);

    device_submit_add(&w->device, 1, 1, 2);
    fake_accept(&w->mediator, NULL);
    fake_serve_add(&w->mediator, 1);
    assert_int_equal(device_wait(&w->device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&w->device), 3);
}

static void test_system_reset(void **state)
{
    World *w = *state;

    check_reset_in_busy(w, world_system_reset);
}

static void test_function_level_reset(void **state)
{
    World *w = *state;

    check_reset_in_busy(w, world_function_level_reset);
    check_reset_with_answer_at_hand(w, world_function_level_reset);
}

static void test_hot_reset(void **state)
{
    World *w = *state;

    check_reset_in_busy(w, world_hot_reset);
    check_reset_with_answer_at_hand(w, world_hot_reset);
}

static void test_reset_in_done_keeps_the_connection(void **state)
{
    World *w = *state;

    submit_and_take(w, 1);
    fake_respond(&w->mediator, 1, VGPU_ERROR_NONE, 300);
    qtest_wait_irq(w->qtest, true);
    world_function_level_reset(w); /* with the interrupt raised */
    assert_power_on(w);
    submit_and_take(w, 2);
    assert_false(fake_has_caller(&w->mediator));
}

static void test_reset_while_reconnecting(void **state)
{
    World *w = *state;

    fake_stop(&w->mediator);
    device_submit_add(&w->device, 1, 100, 200);
    world_function_level_reset(w);
    assert_power_on(w);
    fake_listen(&w->mediator, qtest_directory(w->qtest));
    submit_and_take(w, 2); /* and not 1 */
}

static void test_express_and_conventional(void **state)
{
    World *w = *state;
    uint8_t at = pci_capability(w->qtest, 1, w->device.slot, PCI_CAP_ID_EXP);
    World conventional;

    assert_int_not_equal(at, 0);
    assert_int_equal(pci_read32(w->qtest, 1, w->device.slot, at) >> 20 & 0xf,
                     PCI_EXP_TYPE_ENDPOINT);
    assert_true(pci_read32(w->qtest, 1, w->device.slot, (uint8_t) (at + PCI_EXP_DEVCAP)) &
                PCI_EXP_DEVCAP_FLR);

    world_open_args(
        &conventional, 0,
        (const char *const[]){"-machine", "pc", "-device", "vgpu-stub,socket=mediator.sock", NULL});
    assert_int_equal(
        pci_capability(conventional.qtest, 0, conventional.device.slot, PCI_CAP_ID_EXP), 0);
    world_close(&conventional);
}

/* ---- Stop ---------------------------------------------------------------------------- */

static void test_nothing_happens_to_a_stopped_vm(void **state)
{
    World *w = *state;

    submit_and_take(w, 1);
    fake_welcome(&w->mediator);
    qtest_qmp_ok(w->qtest, "{\"execute\": \"stop\"}");
    fake_respond(&w->mediator, 1, VGPU_ERROR_NONE, 300);
    for (int i = 0; i < 20; i++)
        assert_int_equal(device_read(&w->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    qtest_qmp_ok(w->qtest, "{\"execute\": \"cont\"}");
    assert_int_equal(device_wait(&w->device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&w->device), 300);
}

/* The time of a stopped VM stands still, also for a request that nobody answers. */
static void test_no_deadline_ends_in_a_stopped_vm(void **state)
{
    World *w = *state;
    int64_t begin = now_ms();

    device_submit_add(&w->device, 1, 100, 200);
    qtest_qmp_ok(w->qtest, "{\"execute\": \"stop\"}");
    while (now_ms() - begin < 1500)
        assert_int_equal(device_read(&w->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    qtest_qmp_ok(w->qtest, "{\"execute\": \"cont\"}");
    fake_accept(&w->mediator, NULL);
    fake_serve_add(&w->mediator, 1);
    assert_int_equal(device_wait(&w->device), VGPU_STATUS_DONE);
}

static void test_mediator_restarted_while_stopped(void **state)
{
    World *w = *state;

    submit_and_take(w, 1);
    qtest_qmp_ok(w->qtest, "{\"execute\": \"stop\"}");
    fake_stop(&w->mediator);
    fake_listen(&w->mediator, qtest_directory(w->qtest));
    qtest_qmp_ok(w->qtest, "{\"execute\": \"cont\"}");
    fake_accept(&w->mediator, NULL);
    fake_serve_add(&w->mediator, 1);
    assert_int_equal(device_wait(&w->device), VGPU_STATUS_DONE);
}

/* ---- Hot plug ------------------------------------------------------------------------------ */

static void open_pc(World *w)
{
    world_open_args(w, 0,
                    (const char *const[]){"-machine", "pc", "-device",
                                          "vgpu-stub,id=gpu,addr=3,socket=mediator.sock", NULL});
}

static void unplug(World *w)
{
    qtest_qmp_ok(w->qtest, "{\"execute\": \"device_del\", \"arguments\": {\"id\": \"gpu\"}}");
    qtest_out32(w->qtest, ACPI_PCI_SELECT, 0);
    qtest_out32(w->qtest, ACPI_PCI_EJECT, 1u << w->device.slot);
    qtest_wait_event(w->qtest, "DEVICE_DELETED", "\"device\": \"gpu\"");
}

TEST(test_hot_unplug_in_busy)
{
    World w;

    open_pc(&w);
    submit_and_take(&w, 1);
    unplug(&w);
    fake_expect_hang_up(&w.mediator);

    /* Another one in the same place knows nothing of it. */
    qtest_qmp_ok(w.qtest,
                 "{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vgpu-stub\", "
                 "\"id\": \"gpu\", \"addr\": \"3\", \"socket\": \"mediator.sock\"}}");
    assert_true(device_find(w.qtest, 0, &w.device));
    assert_int_equal(device_read(&w.device, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
    submit_and_take(&w, 2);
    world_close(&w);
}

TEST(test_hot_unplug_while_reconnecting)
{
    World w;

    open_pc(&w);
    fake_stop(&w.mediator);
    device_submit_add(&w.device, 1, 1, 1);
    assert_int_equal(device_read(&w.device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    unplug(&w);
    fake_listen(&w.mediator, qtest_directory(w.qtest));
    fake_expect_no_caller(&w.mediator);
    world_close(&w);
}

/* ---- Properties ------------------------------------------------------------------------------ */

TEST(test_bad_properties)
{
    static const struct {
        const char *property;
        const char *error;
    } bad[] = {
        {"\"pool_id\": \"\"", "pool_id must be one letter from A to Z, not ''"},
        {"\"pool_id\": \"a\"", "pool_id must be one letter from A to Z, not 'a'"},
        {"\"pool_id\": \"AB\"", "pool_id must be one letter from A to Z, not 'AB'"},
        {"\"priority\": \"urgent\"", "priority must be low, medium or high, not 'urgent'"},
        {"\"priority\": \"\"", "priority must be low, medium or high, not ''"},
        {"\"socket\": \"\"", "socket must be a path, not empty"},
        {"\"socket\": \"/0123456789012345678901234567890123456789012345678901234567890123456789"
         "01234567890123456789012345678901234567890\"",
         "socket must be shorter than 108 bytes"},
        {"\"uuid\": \"nonsense\"", "uuid"},
        {"\"vm_id\": 4294967296", "vm_id"},
        {"\"vm_id\": -1", "vm_id"},
        {"\"reconnect-timeout\": \"soon\"", "reconnect-timeout"},
        {"\"colour\": \"red\"", "colour"},
    };
    World w;

    open_pc(&w);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *reply = qtest_qmp(
            w.qtest,
            "{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vgpu-stub\", %s}}",
            bad[i].property);

        if (!strstr(reply, "\"error\"") || !strstr(reply, bad[i].error))
            fail_msg("%s was answered %s", bad[i].property, reply);
        free(reply);
    }
    world_close(&w);
}

TEST(test_default_socket)
{
    char *reply;
    World w;

    world_open_args(&w, 0,
                    (const char *const[]){"-machine", "q35", "-device", "vgpu-stub,id=gpu", NULL});
    reply = qtest_qmp(w.qtest, "{\"execute\": \"qom-get\", \"arguments\": {\"path\": "
                               "\"/machine/peripheral/gpu\", \"property\": \"socket\"}}");
    assert_string_equal(reply, "{\"return\": \"/run/vgpu/mediator.sock\"}");
    free(reply);
    world_close(&w);
}

TEST(test_good_properties)
{
    static const struct {
        const char *options;
        uint32_t pool, priority, vm_id;
    } good[] = {
        {"", 'A', VGPU_PRIORITY_MEDIUM, 0},
        {",pool_id=Z,priority=low,vm_id=1", 'Z', VGPU_PRIORITY_LOW, 1},
        {",priority=high,vm_id=4294967295", 'A', VGPU_PRIORITY_HIGH, UINT32_MAX},
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        World w;

        world_open(&w, good[i].options);
        assert_int_equal(device_read(&w.device, VGPU_REG_POOL_ID), good[i].pool);
        assert_int_equal(device_read(&w.device, VGPU_REG_PRIORITY), good[i].priority);
        assert_int_equal(device_read(&w.device, VGPU_REG_VM_ID), good[i].vm_id);
        world_close(&w);
    }
}

/* Two devices of one VM have two connections. */
TEST(test_two_devices)
{
    World w;
    Device second;
    FakeMediator of_second;

    world_open_args(&w, 0,
                    (const char *const[]){"-machine", "q35", "-device",
                                          "vgpu-stub,addr=3,vm_id=3,socket=mediator.sock",
                                          "-device",
                                          "vgpu-stub,addr=4,vm_id=4,socket=mediator.sock", NULL});
    assert_int_equal(w.device.slot, 3);
    device_submit_add(&w.device, 1, 100, 200);
    fake_accept(&w.mediator, NULL);
    fake_expect_request(&w.mediator, 1, NULL);

    pci_write32(w.qtest, 0, 3, PCI_COMMAND, 0);
    second = (Device){.qtest = w.qtest, .bus = 0, .slot = 4};
    device_enable(&second);
    assert_int_equal(device_read(&second, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
    assert_int_equal(device_read(&second, VGPU_REG_VM_ID), 4);
    of_second = w.mediator;
    of_second.peer = -1;
    device_submit_add(&second, 1, 1, 2);
    fake_accept(&of_second, NULL);
    fake_serve_add(&of_second, 1);
    assert_int_equal(device_wait(&second), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&second), 3);
    fake_hang_up(&of_second);
    world_close(&w);
}

/* ---- The plugin --------------------------------------------------------------------------------
 */

TEST(test_plugin_for_another_qemu)
{
    const char *wrong = getenv("VGPU_TEST_WRONG_PLUGIN");
    char *log;

    assert_non_null(wrong);
    assert_int_equal(qtest_run(wrong, NULL, &log), 1);
    if (!strstr(log, "vgpu-stub: built for QEMU 1.") || !strstr(log, "this is QEMU "))
        fail_msg("QEMU wrote: %s", log);
    free(log);
}

TEST(test_plugin_takes_no_arguments)
{
    char plugin[4096], *log;

    snprintf(plugin, sizeof(plugin), "%s,socket=x", getenv("VGPU_TEST_PLUGIN"));
    assert_int_equal(qtest_run(plugin, NULL, &log), 1);
    if (!strstr(log, "the plugin takes no argument, but 'socket=x' was given"))
        fail_msg("QEMU wrote: %s", log);
    free(log);
}

/* By a launcher, and by a user who has another copy of it. */
TEST(test_plugin_loaded_twice)
{
    char copy[] = "/tmp/vgpu-device-copy.XXXXXX", command[4096], *log;
    int fd = mkstemp(copy);

    assert_true(fd >= 0);
    close(fd);
    snprintf(command, sizeof(command), "cp '%s' %s", getenv("VGPU_TEST_PLUGIN"), copy);
    assert_int_equal(system(command), 0);
    assert_int_equal(
        qtest_run(getenv("VGPU_TEST_PLUGIN"),
                  (const char *const[]){"-plugin", copy, "-device", "vgpu-stub,pool_id=9", NULL},
                  &log),
        1);
    if (!strstr(log, "pool_id must be one letter from A to Z, not '9'"))
        fail_msg("QEMU wrote: %s", log);
    free(log);
    unlink(copy);
}

TEST(test_bad_property_on_the_command_line)
{
    char *log;

    assert_int_equal(qtest_run(getenv("VGPU_TEST_PLUGIN"),
                               (const char *const[]){"-device", "vgpu-stub,priority=9", NULL},
                               &log),
                     1);
    if (!strstr(log, "priority must be low, medium or high, not '9'"))
        fail_msg("QEMU wrote: %s", log);
    free(log);
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
#define CASE(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
#define IMPATIENT(f) cmocka_unit_test_setup_teardown(f, world_setup_impatient, world_teardown)
#define PORT(f) cmocka_unit_test_setup_teardown(f, setup_port, world_teardown)
        CASE(test_system_reset),
        PORT(test_function_level_reset),
        PORT(test_hot_reset),
        PORT(test_reset_in_done_keeps_the_connection),
        PORT(test_reset_while_reconnecting),
        PORT(test_express_and_conventional),
        CASE(test_nothing_happens_to_a_stopped_vm),
        IMPATIENT(test_no_deadline_ends_in_a_stopped_vm),
        CASE(test_mediator_restarted_while_stopped),
        cmocka_unit_test(test_hot_unplug_in_busy),
        cmocka_unit_test(test_hot_unplug_while_reconnecting),
        cmocka_unit_test(test_bad_properties),
        cmocka_unit_test(test_default_socket),
        cmocka_unit_test(test_good_properties),
        cmocka_unit_test(test_two_devices),
        cmocka_unit_test(test_plugin_for_another_qemu),
        cmocka_unit_test(test_plugin_takes_no_arguments),
        cmocka_unit_test(test_plugin_loaded_twice),
        cmocka_unit_test(test_bad_property_on_the_command_line),
#undef PORT
#undef IMPATIENT
#undef CASE
    };

    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}

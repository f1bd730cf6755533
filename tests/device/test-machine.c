/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine does to the device: resets and stops it, and keeps it. */
#include "testbed.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Reset ------------------------------------------------------------------------ */

static void assert_power_on(Testbed *t)
{
    uint8_t all[VGPU_BAR0_SIZE];

    device_enable(&t->device);
    qtest_read_buffer(t->qtest, DEVICE_BAR0, all, sizeof(all));
    for (size_t i = VGPU_REG_REQUEST_LEN; i < VGPU_REG_EXTENSION; i++)
        if ((i & ~3u) != VGPU_REG_PROTOCOL_VER && (i & ~3u) != VGPU_REG_CAPABILITIES)
            assert_int_equal(all[i], 0);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_NONE);
    assert_int_equal(device_read(&t->device, VGPU_REG_POOL_ID), 'A');
    assert_int_equal(device_read(&t->device, VGPU_REG_PRIORITY), VGPU_PRIORITY_MEDIUM);
    qtest_wait_irq(t->qtest, false);
}

/*
 * A reset with a request pending, whose answer is on its way, and then another
 * request that the guest gives the same id: the old answer must not reach it.
 */
static void check_reset_in_busy(Testbed *t, void (*reset)(Testbed *t))
{
    FakeMediator old;

    testbed_submit_and_take(t, 1);
    device_write(&t->device, VGPU_REG_SCRATCH, 0x1234);
    reset(t);
    assert_power_on(t);

    old = t->mediator;
    t->mediator.peer = -1;
    device_submit_add(&t->device, 1, 1, 2);
    fake_accept(&t->mediator, NULL);
    fake_expect_hang_up(&old);
    testbed_serve_add(t, 1);
    assert_int_equal(device_result(&t->device), 3);
}

/* The same when the old answer has arrived in QEMU's socket, and QEMU has not read it. */
static void check_reset_with_answer_at_hand(Testbed *t, void (*reset)(Testbed *t))
{
    testbed_submit_and_take(t, 1);
    qtest_pause(t->qtest); /* QEMU reads nothing now */
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 0xdead);
    reset(t);
    qtest_resume(t->qtest);
    assert_power_on(t);

    device_submit_add(&t->device, 1, 1, 2);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);
    assert_int_equal(device_result(&t->device), 3);
}

static void test_system_reset(void **state)
{
    Testbed *t = *state;

    check_reset_in_busy(t, testbed_system_reset);
}

static void test_function_level_reset(void **state)
{
    Testbed *t = *state;

    check_reset_in_busy(t, testbed_function_level_reset);
    check_reset_with_answer_at_hand(t, testbed_function_level_reset);
}

static void test_hot_reset(void **state)
{
    Testbed *t = *state;

    check_reset_in_busy(t, testbed_hot_reset);
    check_reset_with_answer_at_hand(t, testbed_hot_reset);
}

static void test_reset_in_done_keeps_the_connection(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 300);
    qtest_wait_irq(t->qtest, true);
    testbed_function_level_reset(t); /* with the interrupt raised */
    assert_power_on(t);
    testbed_submit_and_take(t, 2);
    assert_false(fake_has_caller(&t->mediator));
}

static void test_reset_while_reconnecting(void **state)
{
    Testbed *t = *state;

    fake_stop(&t->mediator);
    device_submit_add(&t->device, 1, 100, 200);
    testbed_function_level_reset(t);
    assert_power_on(t);
    testbed_listen(t);
    testbed_submit_and_take(t, 2); /* and not 1 */
}

static void test_express_and_conventional(void **state)
{
    Testbed *t = *state;
    uint8_t at = pci_capability(t->qtest, 1, t->device.slot, PCI_CAP_ID_EXP);
    Testbed conventional;

    assert_int_not_equal(at, 0);
    assert_int_equal(pci_read32(t->qtest, 1, t->device.slot, at) >> 20 & 0xf,
                     PCI_EXP_TYPE_ENDPOINT);
    assert_true(pci_read32(t->qtest, 1, t->device.slot, (uint8_t) (at + PCI_EXP_DEVCAP)) &
                PCI_EXP_DEVCAP_FLR);

    testbed_open_args(
        &conventional, 0,
        (const char *const[]){"-machine", "pc", "-device", "vgpu-stub,socket=mediator.sock", NULL});
    assert_int_equal(
        pci_capability(conventional.qtest, 0, conventional.device.slot, PCI_CAP_ID_EXP), 0);
    testbed_close(&conventional);
}

/* ---- Stop ---------------------------------------------------------------------------- */

static void test_nothing_happens_to_a_stopped_vm(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    fake_welcome(&t->mediator);
    qtest_pause(t->qtest);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 300);
    for (int i = 0; i < 20; i++)
        assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    qtest_resume(t->qtest);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&t->device), 300);
}

/* The time of a stopped VM stands still, even for a request that nobody answers. */
static void test_no_deadline_ends_in_a_stopped_vm(void **state)
{
    Testbed *t = *state;
    int64_t begin = now_ms();

    device_submit_add(&t->device, 1, 100, 200);
    qtest_pause(t->qtest);
    while (now_ms() - begin < 1500)
        assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    qtest_resume(t->qtest);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);
}

static void test_mediator_restarted_while_stopped(void **state)
{
    Testbed *t = *state;

    testbed_submit_and_take(t, 1);
    qtest_pause(t->qtest);
    fake_stop(&t->mediator);
    testbed_listen(t);
    qtest_resume(t->qtest);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);
}

/* ---- Hot unplug ---------------------------------------------------------------------------- */

static void assert_no_hotplug(Testbed *t, const char *command)
{
    char *reply = qtest_qmp(t->qtest, "%s", command);

    if (!strstr(reply, "\"error\"") || !strstr(reply, "plug"))
        fail_msg("%s was answered %s", command, reply);
    free(reply);
}

/* A request in flight is answered as if nothing had been tried. */
static void test_nobody_unplugs_it(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 100, 200);
    fake_accept(&t->mediator, NULL);
    device_eject(&t->device);
    assert_no_hotplug(t, "{\"execute\": \"device_del\", \"arguments\": {\"id\": \"gpu\"}}");
    device_eject(&t->device);
    fake_serve_add(&t->mediator, 1);
    fake_synchronize(&t->mediator);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_DONE);
    assert_no_hotplug(t,
                      "{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vgpu-stub\"}}");
}

/* The guest switches the slot off and on, as it does to unplug: that is a reset and no more. */
static void test_a_guest_does_not_power_it_off(void **state)
{
    Testbed *t = *state;
    uint8_t port = pci_capability(t->qtest, 0, 4, PCI_CAP_ID_EXP);

    testbed_submit_and_take(t, 1);
    pci_write32(t->qtest, 0, 4, (uint8_t) (port + PCI_EXP_SLTCTL),
                PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC);
    qtest_synchronize(t->qtest);
    pci_write32(t->qtest, 0, 4, (uint8_t) (port + PCI_EXP_SLTCTL), PCI_EXP_SLTCTL_PWR_IND_ON);
    fake_expect_hang_up(&t->mediator);

    assert_true(device_is_there(&t->device));
    device_enable(&t->device);
    device_submit_add(&t->device, 2, 100, 200);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 2);
}

/* A device that QEMU takes back while it starts cleans up behind itself. */
TEST(test_a_device_that_cannot_be_finished)
{
    char *log;

    assert_int_equal(
        qtest_run(getenv("VGPU_TEST_PLUGIN"),
                  (const char *const[]){"-device", "vgpu-stub,romfile=/nonexistent", NULL}, &log),
        1);
    if (!strstr(log, "/nonexistent"))
        fail_msg("QEMU wrote: %s", log);
    free(log);
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
        {"\"rings\": 0", "rings must be from 1 to 16, not 0"},
        {"\"rings\": 17", "rings must be from 1 to 16, not 17"},
        {"\"colour\": \"red\"", "colour"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char device[512], *log;

        snprintf(device, sizeof(device), "{\"driver\": \"vgpu-stub\", %s}", bad[i].property);
        assert_int_equal(qtest_run(getenv("VGPU_TEST_PLUGIN"),
                                   (const char *const[]){"-device", device, NULL}, &log),
                         1);
        if (!strstr(log, bad[i].error))
            fail_msg("%s was answered %s", bad[i].property, log);
        free(log);
    }
}

TEST(test_default_socket)
{
    char *reply;
    Testbed t;

    testbed_open_args(
        &t, 0, (const char *const[]){"-machine", "q35", "-device", "vgpu-stub,id=gpu", NULL});
    reply = qtest_qmp(t.qtest, "{\"execute\": \"qom-get\", \"arguments\": {\"path\": "
                               "\"/machine/peripheral/gpu\", \"property\": \"socket\"}}");
    assert_string_equal(reply, "{\"return\": \"/run/vgpu/mediator.sock\"}");
    free(reply);
    testbed_close(&t);
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
        Testbed t;

        testbed_open(&t, good[i].options);
        assert_int_equal(device_read(&t.device, VGPU_REG_POOL_ID), good[i].pool);
        assert_int_equal(device_read(&t.device, VGPU_REG_PRIORITY), good[i].priority);
        assert_int_equal(device_read(&t.device, VGPU_REG_VM_ID), good[i].vm_id);
        testbed_close(&t);
    }
}

/* Two devices of one VM have two connections. */
TEST(test_two_devices)
{
    Testbed t;
    Device second;
    FakeMediator of_second;

    testbed_open_args(&t, 0,
                      (const char *const[]){"-machine", "q35", "-device",
                                            "vgpu-stub,addr=3,vm_id=3,socket=mediator.sock",
                                            "-device",
                                            "vgpu-stub,addr=4,vm_id=4,socket=mediator.sock", NULL});
    assert_int_equal(t.device.slot, 3);
    device_submit_add(&t.device, 1, 100, 200);
    fake_accept(&t.mediator, NULL);
    fake_expect_request(&t.mediator, 1, NULL);

    pci_write32(t.qtest, 0, 3, PCI_COMMAND, 0);
    second = (Device){.qtest = t.qtest, .bus = 0, .slot = 4};
    device_enable(&second);
    assert_int_equal(device_read(&second, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
    assert_int_equal(device_read(&second, VGPU_REG_VM_ID), 4);
    of_second = t.mediator;
    of_second.peer = -1;
    device_submit_add(&second, 1, 1, 2);
    fake_accept(&of_second, NULL);
    fake_serve_add(&of_second, 1);
    assert_int_equal(device_wait(&second), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&second), 3);
    fake_hang_up(&of_second);
    testbed_close(&t);
}

/* ---- The plugin --------------------------------------------------------------------- */

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

/* A launcher loads it, and a user loads another copy. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTBED(test_system_reset, NULL),
        TESTBED_PORT(test_function_level_reset),
        TESTBED_PORT(test_hot_reset),
        TESTBED_PORT(test_reset_in_done_keeps_the_connection),
        TESTBED_PORT(test_reset_while_reconnecting),
        TESTBED_PORT(test_express_and_conventional),
        TESTBED(test_nothing_happens_to_a_stopped_vm, NULL),
        TESTBED(test_no_deadline_ends_in_a_stopped_vm, IMPATIENT),
        TESTBED(test_mediator_restarted_while_stopped, NULL),
        TESTBED_PC(test_nobody_unplugs_it),
        TESTBED_PORT(test_a_guest_does_not_power_it_off),
        cmocka_unit_test(test_a_device_that_cannot_be_finished),
        cmocka_unit_test(test_bad_properties),
        cmocka_unit_test(test_default_socket),
        cmocka_unit_test(test_good_properties),
        cmocka_unit_test(test_two_devices),
        cmocka_unit_test(test_plugin_for_another_qemu),
        cmocka_unit_test(test_plugin_takes_no_arguments),
        cmocka_unit_test(test_plugin_loaded_twice),
    };

    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}

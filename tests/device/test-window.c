/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The data window: BAR2 to the guest, a sealed memfd to the mediator. */
#include "device-ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- The memory --------------------------------------------------------------------- */

/* Writes a byte and eight bytes at a place, from either side. */
static void check_shared(Testbed *t, FakeRing *r, uint64_t at)
{
    uint64_t found;

    qtest_write(t->qtest, DEVICE_BAR2 + at, 1, 0xa5);
    assert_int_equal(r->window[at], 0xa5);
    r->window[at] = 0x5a;
    assert_int_equal(qtest_read(t->qtest, DEVICE_BAR2 + at, 1), 0x5a);
    at &= ~UINT64_C(7);
    qtest_write(t->qtest, DEVICE_BAR2 + at, 8, UINT64_C(0x1122334455667788) ^ at);
    memcpy(&found, r->window + at, sizeof(found));
    assert_int_equal(found, UINT64_C(0x1122334455667788) ^ at);
    memset(r->window + at, 0xee, 8);
    assert_int_equal(qtest_read(t->qtest, DEVICE_BAR2 + at, 8), UINT64_C(0xeeeeeeeeeeeeeeee));
}

static void check_bar(Testbed *t, uint64_t size)
{
    QTest *q = t->qtest;
    uint8_t slot = t->device.slot;
    uint64_t mask;

    pci_write32(q, 0, slot, PCI_BASE_ADDRESS_2, 0xffffffff);
    pci_write32(q, 0, slot, PCI_BASE_ADDRESS_3, 0xffffffff);
    mask = pci_read32(q, 0, slot, PCI_BASE_ADDRESS_2) |
           (uint64_t) pci_read32(q, 0, slot, PCI_BASE_ADDRESS_3) << 32;
    assert_int_equal(mask & 0xf, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
    assert_int_equal(mask & ~UINT64_C(0xf), -size);
    device_map_window(&t->device);
}

static void check_size(Testbed *t, uint64_t size)
{
    FakeRing *r = t->mediator.ring;

    assert_int_equal(r->size, size);
    assert_int_equal(device_read(&t->device, VGPU_REG_WINDOW_SIZE_LO), (uint32_t) size);
    assert_int_equal(device_read(&t->device, VGPU_REG_WINDOW_SIZE_HI), size >> 32);
    check_bar(t, size);
    check_shared(t, r, 0);
    check_shared(t, r, size / 2);
    check_shared(t, r, size - 1);
}

static void test_smallest(void **state)
{
    check_size(*state, 64 << 10);
}

static void test_16_mib(void **state)
{
    check_size(*state, 16 << 20);
}

static void test_1_gib(void **state)
{
    check_size(*state, 1 << 30);
}

static void test_4_gib(void **state)
{
    check_size(*state, UINT64_C(1) << 32);
}

static void test_default_size(void **state)
{
    Testbed *t = *state;

    assert_int_equal(device_read(&t->device, VGPU_REG_WINDOW_SIZE_LO), VGPU_WINDOW_SIZE_DEFAULT);
}

/* A window that became smaller would hurt those who map it. Nobody can make it smaller. */
static void test_seals(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    assert_int_equal(fcntl(r->window_fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    assert_int_equal(ftruncate(r->window_fd, (off_t) r->size - 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(r->window_fd, (off_t) r->size + 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(fcntl(r->window_fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(errno, EPERM);
}

static void test_zero_at_power_on(void **state)
{
    Testbed *t = *state;
    uint8_t bytes[4096];

    for (uint64_t at = 0; at < t->mediator.ring->size; at += sizeof(bytes)) {
        qtest_read_buffer(t->qtest, DEVICE_BAR2 + at, bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes); i++)
            assert_int_equal(bytes[i], 0);
    }
}

/* A card keeps its memory, too. */
static void test_content_outlives_resets(void **state)
{
    Testbed *t = *state;

    qtest_write(t->qtest, DEVICE_BAR2 + 0x123450, 8, UINT64_C(0xfeedfacecafebeef));
    device_reset(&t->device);
    device_enable(&t->device);
    device_map_window(&t->device);
    assert_int_equal(qtest_read(t->qtest, DEVICE_BAR2 + 0x123450, 8), UINT64_C(0xfeedfacecafebeef));
    testbed_system_reset(t);
    device_enable(&t->device);
    device_map_window(&t->device);
    assert_memory_equal(ring_open(t)->window + 0x123450, "\xef\xbe\xfe\xca\xce\xfa\xed\xfe", 8);
}

TEST(test_two_devices_have_two_windows)
{
    Device second;
    Testbed t;

    testbed_open_args(&t, 0,
                      (const char *const[]){"-machine", "q35", "-device",
                                            "vgpu-stub,addr=3,socket=mediator.sock", "-device",
                                            "vgpu-stub,addr=4,socket=mediator.sock", NULL});
    device_map_window(&t.device);
    qtest_write(t.qtest, DEVICE_BAR2, 4, 1234);
    pci_write32(t.qtest, 0, 3, PCI_COMMAND, 0);
    second = (Device){.qtest = t.qtest, .bus = 0, .slot = 4};
    device_enable(&second);
    device_map_window(&second);
    assert_int_equal(qtest_read(t.qtest, DEVICE_BAR2, 4), 0);
    testbed_close(&t);
}

/* ---- Properties ---------------------------------------------------------------------------- */

TEST(test_bad_sizes)
{
    static const char *const bad[] = {
        "1", "4096", "32768", "65535", "65537", "98304", "2199023255552",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char device[64], *log;

        snprintf(device, sizeof(device), "vgpu-stub,window-size=%s", bad[i]);
        assert_int_equal(qtest_run(getenv("VGPU_TEST_PLUGIN"),
                                   (const char *const[]){"-device", device, NULL}, &log),
                         1);
        if (!strstr(log, "window-size must be 0 or a power of two from 65536 to 1099511627776"))
            fail_msg("%s was answered %s", bad[i], log);
        free(log);
    }
}

/* Where the host has none to spare, QEMU says so and does not start. */
TEST(test_hugepages)
{
    unsigned long available = 0;
    char line[128], *log;
    FILE *f = fopen("/proc/meminfo", "re");

    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        (void) !sscanf(line, "HugePages_Free: %lu", &available);
    fclose(f);

    if (available >= 8) {
        Testbed t;

        testbed_open(&t, ",hugepages=on");
        device_map_window(&t.device);
        check_shared(&t, ring_open(&t), VGPU_WINDOW_SIZE_DEFAULT - 1);
        testbed_close(&t);
        return;
    }
    assert_int_equal(qtest_run(getenv("VGPU_TEST_PLUGIN"),
                               (const char *const[]){"-device", "vgpu-stub,hugepages=on", NULL},
                               &log),
                     1);
    if (!strstr(log, "-device vgpu-stub,hugepages=on: "))
        fail_msg("QEMU wrote: %s", log);
    free(log);
}

/* The mediator is not even told that there could be a ring. */
static void test_no_window(void **state)
{
    Testbed *t = *state;
    VGPUHello payload;
    WireMessage hello;

    device_ring_start(&t->device);
    assert_int_equal(ring_state(t), 0);
    fake_expect_no_caller(&t->mediator);
    device_submit_add(&t->device, 1, 100, 200);
    fake_accept(&t->mediator, &hello);
    memcpy(&payload, hello.payload, sizeof(payload));
    assert_int_equal(payload.features, 0);
    fake_welcome_ring(&t->mediator); /* the device does not ask for it */
    testbed_serve_add(t, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_ON_TEST(test_smallest, ",window-size=64K"),
        RING_ON_TEST(test_16_mib, ",window-size=16777216"),
        RING_ON_TEST(test_1_gib, ",window-size=1G"),
        RING_ON_TEST(test_4_gib, ",window-size=4G"),
        TESTBED(test_default_size, NULL),
        RING_ON_TEST(test_seals, NULL),
        RING_ON_TEST(test_zero_at_power_on, ",window-size=64K"),
        RING_TEST(test_content_outlives_resets, NULL),
        cmocka_unit_test(test_two_devices_have_two_windows),
        cmocka_unit_test(test_bad_sizes),
        cmocka_unit_test(test_hugepages),
        TESTBED(test_no_window, ",window-size=0"),
    };

    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}

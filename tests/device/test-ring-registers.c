/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring's registers, turning it on and off, and work on it. */
#include "device-ring.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- Registers ------------------------------------------------------------------------ */

static const struct row {
    const char *name;
    uint32_t reg;
    uint32_t power_on;
    uint32_t writable; /* these bits, while the ring is off */
} rows[] = {
    {"EXT_MAGIC", VGPU_REG_EXT_MAGIC, 0x58555056, 0},
    {"EXT_VERSION", VGPU_REG_EXT_VERSION, 1, 0},
    {"EXT_FEATURES", VGPU_REG_EXT_FEATURES, 0xf, 0},
    {"nothing", 0x84c, 0, 0},
    {"WINDOW_SIZE_LO", VGPU_REG_WINDOW_SIZE_LO, 16 << 20, 0},
    {"WINDOW_SIZE_HI", VGPU_REG_WINDOW_SIZE_HI, 0, 0},
    {"RING_OFFSET_LO", VGPU_REG_RING_OFFSET_LO, 0, UINT32_MAX},
    {"RING_OFFSET_HI", VGPU_REG_RING_OFFSET_HI, 0, UINT32_MAX},
    {"RING_ENTRIES", VGPU_REG_RING_ENTRIES, 0, UINT32_MAX},
    {"RING_ERROR", VGPU_REG_RING_ERROR, 0, 0},
    {"RING_IRQ_CTRL", VGPU_REG_RING_IRQ_CTRL, 0, 1},
    {"RING_IRQ_STATUS", VGPU_REG_RING_IRQ_STATUS, 0, 0},
    {"RINGS", VGPU_REG_RINGS, VGPU_RINGS_MAX, 0},
    {"nothing behind", 0x878, 0, 0},
    {"RING_DOORBELL", VGPU_REG_RING_DOORBELL, 0, 0},
    {"the last word", 0xffc, 0, 0},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void assert_power_on(Testbed *t)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (device_read(&t->device, rows[i].reg) != rows[i].power_on)
            fail_msg("%s is 0x%x", rows[i].name, device_read(&t->device, rows[i].reg));
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
}

static void test_registers(void **state)
{
    static const uint32_t patterns[] = {0xffffffff, 0xa5a5a5a4, 0x5a5a5a5b, 0};
    Testbed *t = *state;

    assert_power_on(t);
    for (size_t i = 0; i < N_ROWS; i++)
        for (size_t j = 0; j < sizeof(patterns) / sizeof(patterns[0]); j++) {
            device_write(&t->device, rows[i].reg, patterns[j]);
            assert_int_equal(device_read(&t->device, rows[i].reg),
                             (rows[i].power_on & ~rows[i].writable) |
                                 (patterns[j] & rows[i].writable));
        }
    assert_power_on(t);

    for (size_t i = 0; i < N_ROWS; i++)
        device_write(&t->device, rows[i].reg, 0xffffffff);
    device_reset(&t->device);
    device_enable(&t->device);
    assert_power_on(t);
    fake_expect_no_caller(&t->mediator);
}

static void test_narrow_writes(void **state)
{
    static const uint32_t regs[] = {VGPU_REG_RING_OFFSET_LO, VGPU_REG_RING_OFFSET_HI,
                                    VGPU_REG_RING_ENTRIES};
    Testbed *t = *state;

    for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
        device_write(&t->device, regs[i], 0x44332211);
        qtest_write(t->qtest, DEVICE_BAR0 + regs[i] + 1, 1, 0xaa);
        assert_int_equal(device_read(&t->device, regs[i]), 0x4433aa11);
        qtest_write(t->qtest, DEVICE_BAR0 + regs[i] + 1, 2, 0xddee);
        assert_int_equal(device_read(&t->device, regs[i]), 0x44ddee11);
    }
    qtest_write(t->qtest, DEVICE_BAR0 + VGPU_REG_RING_OFFSET_LO, 8, UINT64_C(0x123456789abcdef0));
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_OFFSET_LO), 0x9abcdef0);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_OFFSET_HI), 0x12345678);
}

/* ---- On and off ------------------------------------------------------------------------- */

static void test_on_and_off(void **state)
{
    Testbed *t = *state;
    FakeRing *r;

    assert_int_equal(device_read(&t->device, VGPU_REG_RING_ERROR), 0);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_STOPPING);
    fake_expect_off(&t->mediator);
    assert_int_equal(ring_state(t), VGPU_RING_STOPPING);
    fake_stopped(&t->mediator);
    fake_synchronize(&t->mediator); /* so that has been taken */
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);

    /* Again, on the same connection, elsewhere */
    device_ring_place(&t->device, 0x200000, VGPU_RING_ENTRIES_MAX);
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
    r = fake_expect_setup(&t->mediator);
    assert_int_equal(r->setup.offset, 0x200000);
    assert_int_equal(r->setup.entries, VGPU_RING_ENTRIES_MAX);
    ring_agree(t);
}

/* A ring that is on stays where it is, and only 0 turns it off. */
static void test_nothing_changes_while_on(void **state)
{
    static const uint32_t values[] = {1, 2, 3, 0x100, 0x80000000, 0xffffffff};
    Testbed *t = *state;

    device_ring_place(&t->device, 0x200000, 64);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_OFFSET_LO), RING_OFFSET);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_ENTRIES), RING_ENTRIES);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        device_write(&t->device, VGPU_REG_RING_CTRL, values[i]);
    for (unsigned shift = 1; shift < 4; shift++)
        qtest_write(t->qtest, DEVICE_BAR0 + VGPU_REG_RING_CTRL + shift, 1, 0);
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    fake_synchronize(&t->mediator); /* and no RING_ message */
    qtest_write(t->qtest, DEVICE_BAR0 + VGPU_REG_RING_CTRL, 1, 0);
    fake_expect_off(&t->mediator);
}

static void test_bad_places(void **state)
{
    static const struct {
        uint64_t offset;
        uint32_t entries;
    } bad[] = {
        {0, 0},
        {0, 2},
        {0, 3},
        {0, 12},
        {0, 2048},
        {0, UINT32_MAX},
        {2048, 8},
        {1, 8},
        {16 << 20, 8},
        {UINT64_C(1) << 32, 8},
        {UINT64_MAX & ~UINT64_C(4095), 8},
        {(16 << 20) - 4096, 32}, /* 128 + 32 * 160 bytes */
    };
    Testbed *t = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        device_ring_place(&t->device, bad[i].offset, bad[i].entries);
        device_write(&t->device, VGPU_REG_RING_CTRL, 1);
        assert_int_equal(ring_state(t), VGPU_RING_FAILED);
        assert_int_equal(device_read(&t->device, VGPU_REG_RING_ERROR), VGPU_ERROR_INVALID_REQUEST);
    }
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_ERROR), VGPU_ERROR_NONE);
    fake_expect_no_caller(&t->mediator);

    device_ring_place(&t->device, (16 << 20) - 4096, 16); /* 128 + 16 * 160: it just fits */
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
    fake_accept_setup(&t->mediator);
}

/* The next ring waits for the last one, whose mediator may still write into the window. */
static void test_on_again_while_stopping(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring, *next;

    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    fake_expect_off(&t->mediator);
    fake_synchronize(&t->mediator); /* and no RING_SETUP before it */
    fake_stopped(&t->mediator);
    next = fake_expect_setup(&t->mediator);
    ring_agree(t);

    /* The last one's eventfds are dead. */
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    fake_wait_rung(next);
    assert_int_equal(fake_rung(r), 0);
    fake_signal(r);
    qtest_synchronize(t->qtest);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 0);
}

static void test_off_while_starting(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_STOPPING);
    fake_ready(&t->mediator, VGPU_ERROR_NONE); /* they cross */
    fake_expect_off(&t->mediator);
    fake_stopped(&t->mediator);
    fake_synchronize(&t->mediator);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
}

static void test_off_before_anybody_was_told(void **state)
{
    Testbed *t = *state;

    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    fake_welcome_ring(&t->mediator);
    fake_synchronize(&t->mediator);
}

static void test_mediator_dies_while_stopping(void **state)
{
    Testbed *t = *state;

    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    fake_expect_off(&t->mediator);
    fake_hang_up(&t->mediator);
    qtest_synchronize(t->qtest);
    assert_int_equal(ring_state(t), VGPU_RING_OFF);
    fake_expect_no_caller(&t->mediator);
}

/* ---- Without descriptors ---------------------------------------------------------------- */

/* The @nth number, counted from 0, that none of QEMU's descriptors has */
static rlim_t free_descriptor(Testbed *t, unsigned nth)
{
    char path[64];
    rlim_t fd = 0;

    for (;; fd++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int) qtest_pid(t->qtest), (unsigned) fd);
        if (access(path, F_OK) < 0 && errno == ENOENT && nth-- == 0)
            return fd;
    }
}

/* Not for the first eventfd, nor for the second. The limit is no lower than that, as poll()
 * takes no more descriptors than it. */
static void test_no_descriptor_is_free(void **state)
{
    Testbed *t = *state;
    struct rlimit limit, before;

    assert_int_equal(prlimit(qtest_pid(t->qtest), RLIMIT_NOFILE, NULL, &before), 0);
    for (unsigned n = 0; n < 2; n++) {
        limit = (struct rlimit){free_descriptor(t, n), before.rlim_max};
        assert_int_equal(prlimit(qtest_pid(t->qtest), RLIMIT_NOFILE, &limit, NULL), 0);
        device_ring_start(&t->device);
        assert_int_equal(ring_state(t), VGPU_RING_FAILED);
        assert_int_equal(device_read(&t->device, VGPU_REG_RING_ERROR), VGPU_ERROR_RATE_LIMITED);
    }
    assert_int_equal(prlimit(qtest_pid(t->qtest), RLIMIT_NOFILE, &before, NULL), 0);
    ring_open(t);
}

/* ---- Work --------------------------------------------------------------------------------------
 */

static void test_sums(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    for (uint32_t i = 0; i < 5 * RING_ENTRIES; i++) {
        ring_submit_add(&t->device, i, (int32_t) i, 1000);
        fake_wait_rung(r);
        assert_int_equal(fake_compute(r), 1);
        ring_expect(t, VGPU_RING_ON);
        assert_int_equal(ring_take_sum(&t->device, i), 1000 + i);
    }
}

/* One doorbell and one interrupt serve a full ring. */
static void test_a_batch(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    for (uint32_t i = 0; i < RING_ENTRIES; i++)
        ring_submit_add(&t->device, i, (int32_t) i, 7);
    assert_int_equal(fake_rung(r), 1);
    assert_int_equal(fake_compute(r), RING_ENTRIES);
    ring_expect(t, VGPU_RING_ON);
    for (uint32_t i = 0; i < RING_ENTRIES; i++)
        assert_int_equal(ring_take_sum(&t->device, i), 7 + i);
    assert_false(qtest_irq(t->qtest));
}

/* Requests through the registers share the ring's connection, and neither disturbs the other. */
static void test_requests_beside_the_ring(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    for (uint32_t i = 0; i < 20; i++) {
        ring_submit_add(&t->device, i, (int32_t) i, 5);
        device_submit_add(&t->device, i, 3, i);
        testbed_serve_add(t, i);
        assert_int_equal(device_result(&t->device), 3 + i);
        assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 0);

        fake_wait_rung(r);
        fake_compute(r);
        ring_expect(t, VGPU_RING_ON);
        assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 0);
        assert_int_equal(ring_take_sum(&t->device, i), 5 + i);
    }
    assert_false(fake_has_caller(&t->mediator));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_registers, NULL),
        RING_TEST(test_narrow_writes, NULL),
        RING_ON_TEST(test_on_and_off, NULL),
        RING_ON_TEST(test_nothing_changes_while_on, NULL),
        RING_TEST(test_bad_places, NULL),
        RING_ON_TEST(test_on_again_while_stopping, NULL),
        RING_TEST(test_off_while_starting, NULL),
        RING_TEST(test_off_before_anybody_was_told, NULL),
        RING_ON_TEST(test_mediator_dies_while_stopping, NULL),
        RING_TEST(test_no_descriptor_is_free, NULL),
        RING_ON_TEST(test_sums, NULL),
        RING_ON_TEST(test_a_batch, NULL),
        RING_ON_TEST(test_requests_beside_the_ring, NULL),
    };

    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registers of the rings for sessions, and turning these on and off. */
#include "device-rings.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- Registers ------------------------------------------------------------------------ */

static const struct row {
    const char *name;
    uint32_t reg;
    uint32_t writable; /* these bits, while the ring is off; all read 0 at power-on */
} rows[] = {
    {"OFFSET_LO", VGPU_SESSION_REG_OFFSET_LO, UINT32_MAX},
    {"OFFSET_HI", VGPU_SESSION_REG_OFFSET_HI, UINT32_MAX},
    {"ERROR", VGPU_SESSION_REG_ERROR, 0},
    {"CUDA_RESULT", VGPU_SESSION_REG_CUDA_RESULT, 0},
    {"IRQ_CTRL", VGPU_SESSION_REG_IRQ_CTRL, 1},
    {"IRQ_STATUS", VGPU_SESSION_REG_IRQ_STATUS, 0},
    {"nothing behind", 0x1c, 0},
    {"the last word", VGPU_SESSION_REG_STRIDE - 4, 0},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void test_registers(void **state)
{
    static const uint32_t patterns[] = {0xffffffff, 0xa5a5a5a4, 0x5a5a5a5b, 0};
    Testbed *t = *state;

    sessions_assert_power_on(t, VGPU_RINGS_MAX);
    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++)
        for (size_t i = 0; i < N_ROWS; i++)
            for (size_t j = 0; j < sizeof(patterns) / sizeof(patterns[0]); j++) {
                session_write(t, ring, rows[i].reg, patterns[j]);
                if (session_read(t, ring, rows[i].reg) != (patterns[j] & rows[i].writable))
                    fail_msg("ring %u: %s is 0x%x", ring, rows[i].name,
                             session_read(t, ring, rows[i].reg));
            }
    sessions_assert_power_on(t, VGPU_RINGS_MAX);
    assert_false(qtest_irq(t->qtest));
    fake_expect_no_caller(&t->mediator);
}

/* Each ring has its own. */
static void test_each_ring_has_its_own(void **state)
{
    Testbed *t = *state;

    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++) {
        session_place(t, ring, UINT64_C(0x100000001) * ring);
        session_write(t, ring, VGPU_SESSION_REG_IRQ_CTRL, ring % 2);
    }
    device_ring_place(&t->device, 0x5000, 64);
    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++) {
        assert_int_equal(session_read(t, ring, VGPU_SESSION_REG_OFFSET_LO), ring);
        assert_int_equal(session_read(t, ring, VGPU_SESSION_REG_OFFSET_HI), ring);
        assert_int_equal(session_read(t, ring, VGPU_SESSION_REG_IRQ_CTRL), ring % 2);
    }
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_OFFSET_LO), 0x5000);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_CTRL), 0);

    device_reset(&t->device);
    device_enable(&t->device);
    sessions_assert_power_on(t, VGPU_RINGS_MAX);
}

static void test_narrow_writes(void **state)
{
    Testbed *t = *state;
    uint64_t at = DEVICE_BAR0 + vgpu_session_register(15, VGPU_SESSION_REG_OFFSET_LO);

    session_write(t, 15, VGPU_SESSION_REG_OFFSET_LO, 0x44332211);
    qtest_write(t->qtest, at + 1, 2, 0xddee);
    assert_int_equal(session_read(t, 15, VGPU_SESSION_REG_OFFSET_LO), 0x44ddee11);
    qtest_write(t->qtest, at, 8, UINT64_C(0x123456789abcdef0));
    assert_int_equal(session_read(t, 15, VGPU_SESSION_REG_OFFSET_LO), 0x9abcdef0);
    assert_int_equal(session_read(t, 15, VGPU_SESSION_REG_OFFSET_HI), 0x12345678);
    qtest_write(t->qtest, at + 4, 1, 0xff);
    assert_int_equal(session_read(t, 15, VGPU_SESSION_REG_OFFSET_HI), 0x123456ff);
}

/* ---- Fewer rings ------------------------------------------------------------------------ */

static void write_all(Testbed *t)
{
    for (uint32_t at = VGPU_REG_RINGS; at < VGPU_BAR0_SIZE; at += 4)
        device_write(&t->device, at, 1);
}

/* With rings=1 the device is the one from before there were sessions. */
static void test_one_ring(void **state)
{
    Testbed *t = *state;
    VGPUHello payload;
    WireMessage hello;

    assert_int_equal(device_read(&t->device, VGPU_REG_EXT_FEATURES),
                     VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING | VGPU_EXT_FEATURE_MSIX);
    write_all(t);
    sessions_assert_power_on(t, 1);
    fake_expect_no_caller(&t->mediator);

    device_ring_start(&t->device);
    fake_accept(&t->mediator, &hello);
    memcpy(&payload, hello.payload, sizeof(payload));
    assert_int_equal(payload.features, VGPU_FEATURE_RING);
    fake_welcome_sessions(&t->mediator); /* the device does not ask for them */
    fake_expect_setup(&t->mediator);
    ring_agree(t);
    write_all(t);
    assert_int_equal(fake_rung(t->mediator.ring), 1); /* ring 0's own doorbell was among them */
    fake_synchronize(&t->mediator);
}

static void test_three_rings(void **state)
{
    FakeSession first, second;
    Testbed *t = *state;

    sessions_assert_power_on(t, 3);
    session_open(t, 1, &first);
    session_open(t, 2, &second);
    session_start(t, 3);
    for (uint32_t reg = 0; reg < VGPU_SESSION_REG_STRIDE; reg += 4)
        assert_int_equal(session_read(t, 3, reg), 0);
    fake_synchronize(&t->mediator);
    fake_session_free(&first);
    fake_session_free(&second);
}

/* There is no session where there is no window. */
static void test_no_window(void **state)
{
    Testbed *t = *state;

    write_all(t);
    for (uint32_t at = VGPU_REG_EXTENSION; at < VGPU_BAR0_SIZE; at += 4)
        assert_int_equal(device_read(&t->device, at), 0);
    fake_expect_no_caller(&t->mediator);
}

/* ---- On and off ------------------------------------------------------------------------- */

static void test_on_and_off(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 7, &s);
    fake_session_free(&s);
    session_write(t, 7, VGPU_SESSION_REG_CTRL, 0);
    assert_int_equal(session_state(t, 7), VGPU_RING_STOPPING);
    fake_expect_close(&t->mediator, 7);
    assert_int_equal(session_state(t, 7), VGPU_RING_STOPPING);
    fake_session_closed(&t->mediator, 7);
    fake_synchronize(&t->mediator); /* so that has been taken */
    assert_int_equal(session_state(t, 7), VGPU_RING_OFF);
    session_write(t, 7, VGPU_SESSION_REG_CTRL, 0);
    assert_int_equal(session_state(t, 7), VGPU_RING_OFF);
    fake_synchronize(&t->mediator); /* nobody is told again */

    session_open(t, 7, &s);
    fake_session_free(&s);
}

/* A ring that is on stays where it is, and only 0 turns it off. */
static void test_nothing_changes_while_on(void **state)
{
    static const uint32_t values[] = {1, 2, 3, 0x100, 0x80000000, 0xffffffff};
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 1, &s);
    session_place(t, 1, UINT64_C(0x700001000));
    assert_int_equal(session_read(t, 1, VGPU_SESSION_REG_OFFSET_LO), session_offset(1));
    assert_int_equal(session_read(t, 1, VGPU_SESSION_REG_OFFSET_HI), 0);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        session_write(t, 1, VGPU_SESSION_REG_CTRL, values[i]);
    for (unsigned shift = 1; shift < 4; shift++)
        qtest_write(t->qtest, DEVICE_BAR0 + vgpu_session_register(1, VGPU_SESSION_REG_CTRL) + shift,
                    1, 0);
    assert_int_equal(session_state(t, 1), VGPU_RING_ON);
    fake_synchronize(&t->mediator); /* and no SESSION_ message */
    qtest_write(t->qtest, DEVICE_BAR0 + vgpu_session_register(1, VGPU_SESSION_REG_CTRL), 1, 0);
    fake_expect_close(&t->mediator, 1);
    fake_session_free(&s);
}

static void test_bad_places(void **state)
{
    static const uint64_t bad[] = {
        1, 2048, 4097, 16 << 20, UINT64_C(1) << 32, UINT64_MAX & ~UINT64_C(4095),
    };
    Testbed *t = *state;
    FakeSession s;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        session_place(t, 2, bad[i]);
        session_write(t, 2, VGPU_SESSION_REG_CTRL, 1);
        assert_int_equal(session_state(t, 2), VGPU_RING_FAILED);
        assert_int_equal(session_read(t, 2, VGPU_SESSION_REG_ERROR), VGPU_ERROR_INVALID_REQUEST);
    }
    session_write(t, 2, VGPU_SESSION_REG_CTRL, 0);
    assert_int_equal(session_state(t, 2), VGPU_RING_OFF);
    assert_int_equal(session_read(t, 2, VGPU_SESSION_REG_ERROR), VGPU_ERROR_NONE);
    fake_expect_no_caller(&t->mediator);

    session_place(t, 2, (16 << 20) - 4096); /* what is in the area is the executor's to judge */
    session_write(t, 2, VGPU_SESSION_REG_CTRL, 1);
    fake_accept_open(&t->mediator, 2, &s);
    assert_int_equal(s.open.offset, (16 << 20) - 4096);
    fake_session_free(&s);
}

/* The next session waits for the last one, whose executor may still write into the window. */
static void test_on_again_while_stopping(void **state)
{
    FakeSession last, next;
    Testbed *t = *state;

    session_open(t, 3, &last);
    session_write(t, 3, VGPU_SESSION_REG_CTRL, 0);
    session_write(t, 3, VGPU_SESSION_REG_CTRL, 1);
    assert_int_equal(session_state(t, 3), VGPU_RING_STARTING);
    fake_expect_close(&t->mediator, 3);
    fake_synchronize(&t->mediator); /* and no SESSION_OPEN before it */
    fake_session_closed(&t->mediator, 3);
    fake_expect_open(&t->mediator, 3, &next);
    session_agree(t, 3);

    /* The last one's eventfds are dead. */
    session_ring_doorbell(t, 3);
    assert_int_equal(fake_session_rung(&next), 1);
    assert_int_equal(fake_session_rung(&last), 0);
    fake_session_signal(&last);
    qtest_synchronize(t->qtest);
    assert_int_equal(session_read(t, 3, VGPU_SESSION_REG_IRQ_STATUS), 0);
    fake_session_free(&last);
    fake_session_free(&next);
}

static void test_off_while_starting(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_start(t, 3);
    fake_accept_open(&t->mediator, 3, &s);
    session_write(t, 3, VGPU_SESSION_REG_CTRL, 0);
    assert_int_equal(session_state(t, 3), VGPU_RING_STOPPING);
    fake_session_ready(&t->mediator, 3, VGPU_ERROR_NONE, 0); /* they cross */
    fake_session_ready(&t->mediator, 3, VGPU_ERROR_CUDA_ERROR, 2);
    fake_expect_close(&t->mediator, 3);
    fake_session_closed(&t->mediator, 3);
    fake_synchronize(&t->mediator);
    assert_int_equal(session_state(t, 3), VGPU_RING_OFF);
    assert_int_equal(qtest_log_count(t->qtest, "warning"), 0);
    fake_session_free(&s);
}

static void test_off_before_anybody_was_told(void **state)
{
    Testbed *t = *state;

    session_start(t, 3);
    fake_accept(&t->mediator, NULL);
    session_write(t, 3, VGPU_SESSION_REG_CTRL, 0);
    assert_int_equal(session_state(t, 3), VGPU_RING_OFF);
    fake_welcome_sessions(&t->mediator);
    fake_synchronize(&t->mediator);
}

/* ---- Without descriptors ---------------------------------------------------------------- */

/* The first number that none of QEMU's descriptors has */
static rlim_t free_descriptor(Testbed *t)
{
    char path[64];

    for (rlim_t fd = 0;; fd++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int) qtest_pid(t->qtest), (unsigned) fd);
        if (access(path, F_OK) < 0 && errno == ENOENT)
            return fd;
    }
}

static void test_no_descriptor_is_free(void **state)
{
    struct rlimit limit, before;
    Testbed *t = *state;
    FakeSession s;

    assert_int_equal(prlimit(qtest_pid(t->qtest), RLIMIT_NOFILE, NULL, &before), 0);
    limit = (struct rlimit){free_descriptor(t), before.rlim_max};
    assert_int_equal(prlimit(qtest_pid(t->qtest), RLIMIT_NOFILE, &limit, NULL), 0);
    session_start(t, 1);
    assert_int_equal(session_state(t, 1), VGPU_RING_FAILED);
    assert_int_equal(session_read(t, 1, VGPU_SESSION_REG_ERROR), VGPU_ERROR_RATE_LIMITED);
    assert_int_equal(prlimit(qtest_pid(t->qtest), RLIMIT_NOFILE, &before, NULL), 0);
    session_open(t, 1, &s);
    fake_session_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_registers, NULL),
        RING_TEST(test_each_ring_has_its_own, NULL),
        RING_TEST(test_narrow_writes, NULL),
        RING_TEST(test_one_ring, ",rings=1"),
        RING_TEST(test_three_rings, ",rings=3"),
        TESTBED(test_no_window, ",window-size=0"),
        RING_TEST(test_on_and_off, NULL),
        RING_TEST(test_nothing_changes_while_on, NULL),
        RING_TEST(test_bad_places, NULL),
        RING_TEST(test_on_again_while_stopping, NULL),
        RING_TEST(test_off_while_starting, NULL),
        RING_TEST(test_off_before_anybody_was_told, NULL),
        RING_TEST(test_no_descriptor_is_free, NULL),
    };

    return cmocka_run_group_tests_name("rings of sessions", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The window and a ring that is on, in a file: migrated, restored, tampered with. */
#include "device-ring.h"
#include "migration-stream.h"

#include <stdlib.h>
#include <unistd.h>

#define MESSAGES 0x200000u

/* Migrates a machine while its mediator finishes something. */
static void migrate(Testbed *from, const FakeRing *r, Testbed *to)
{
    fake_obey_meanwhile(&from->mediator, r);
    stream_migrate(from, to, "");
    fake_obeyed(&from->mediator);
}

static void test_migration_with_the_ring_on(void **state)
{
    Testbed *t = *state, there;
    FakeRing *r = t->mediator.ring, *r2;

    ring_submit_add(&t->device, 0, 40, 2);
    assert_int_equal(fake_compute(r), 1);
    ring_expect(t, VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&t->device, 0), 42);
    ring_submit_add(&t->device, 1, 50, 5); /* to be done there */
    memset(r->window + 0x100000, 0xcd, 0x100000);
    migrate(t, r, &there);

    assert_int_equal(ring_state(&there), VGPU_RING_ON);
    assert_int_equal(device_read(&there.device, VGPU_REG_RING_IRQ_STATUS), 1); /* its last word */
    device_write(&there.device, VGPU_REG_RING_IRQ_STATUS, 1);
    r2 = fake_accept_setup(&there.mediator);
    assert_memory_equal(&r2->setup, &r->setup, sizeof(r->setup));
    assert_int_equal(r2->size, r->size);
    assert_int_equal(r->window[r->size - 1], FAKE_LAST_WORD);
    assert_memory_equal(r2->window, r->window, r->size);

    ring_agree(&there);
    assert_int_equal(fake_compute(r2), 1);
    ring_expect(&there, VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&there.device, 1), 55);
    device_write(&there.device, VGPU_REG_RING_DOORBELL, 1);
    fake_wait_rung(r2);
    testbed_close(&there);
}

/* All that is on the ring arrives: what was done but not taken, and what was not begun. A request
 * through the registers arrives, too. */
static void test_migration_with_a_full_ring(void **state)
{
    Testbed *t = *state, there;
    FakeRing *r2;

    ring_fill(&t->device, t->mediator.ring);
    ring_expect(t, VGPU_RING_ON);
    testbed_submit_and_take(t, 9);
    migrate(t, NULL, &there);

    fake_accept(&there.mediator, NULL);
    testbed_serve_add(&there, 9);
    assert_int_equal(device_result(&there.device), 300);
    fake_welcome_ring(&there.mediator);
    r2 = fake_expect_setup(&there.mediator);
    ring_agree(&there);
    ring_finish(&there.device, r2);
    testbed_close(&there);
}

/* The mediator died before; the other host's mediator does the work. */
static void test_migration_while_there_is_no_mediator(void **state)
{
    Testbed *t = *state, there;
    FakeRing *r2;

    ring_submit_add(&t->device, 0, 40, 2);
    fake_stop(&t->mediator);
    stream_migrate(t, &there, NO_PATIENCE);
    fake_accept(&there.mediator, NULL);
    fake_hang_up(&there.mediator); /* it was on before, so no patience is needed to keep it on */
    r2 = fake_accept_setup(&there.mediator);
    assert_int_equal(ring_state(&there), VGPU_RING_ON);
    fake_ready(&there.mediator, VGPU_ERROR_NONE);
    assert_int_equal(fake_compute(r2), 1);
    assert_int_equal(ring_take_sum(&there.device, 0), 42);
    testbed_close(&there);
}

static void test_migration_while_starting(void **state)
{
    Testbed *t = *state, there;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator);
    migrate(t, NULL, &there);
    assert_int_equal(ring_state(&there), VGPU_RING_STARTING);
    fake_accept_setup(&there.mediator);
    fake_ready(&there.mediator, VGPU_ERROR_QUEUE_FULL);
    qtest_wait_irq(there.qtest, true);
    assert_int_equal(ring_state(&there), VGPU_RING_FAILED);
    testbed_close(&there);
}

/* Registers and window without a ring; nobody is told anything. */
static void test_migration_without_a_ring(void **state)
{
    uint32_t before[(VGPU_BAR0_SIZE - VGPU_REG_EXTENSION) / 4], after[sizeof(before) / 4];
    Testbed *t = *state, there;

    device_ring_place(&t->device, 4095, 3);
    device_write(&t->device, VGPU_REG_RING_IRQ_CTRL, 1);
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
    qtest_write(t->qtest, DEVICE_BAR2 + 0xfffff8, 8, UINT64_C(0x123456789abcdef0));
    qtest_read_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_EXTENSION, before, sizeof(before));
    stream_migrate(t, &there, "");
    qtest_read_buffer(there.qtest, DEVICE_BAR0 + VGPU_REG_EXTENSION, after, sizeof(after));
    assert_memory_equal(after, before, sizeof(before));
    assert_int_equal(ring_state(&there), VGPU_RING_FAILED);
    assert_int_equal(device_read(&there.device, VGPU_REG_RING_ERROR), VGPU_ERROR_INVALID_REQUEST);
    assert_int_equal(qtest_read(there.qtest, DEVICE_BAR2 + 0xfffff8, 8),
                     UINT64_C(0x123456789abcdef0));
    fake_expect_no_caller(&there.mediator);
    testbed_close(&there);
}

static void test_migration_with_msix(void **state)
{
    Testbed *t = *state, there;
    int64_t begin;

    msix_enable(&t->device, MESSAGES, 0x5eed0000);
    migrate(t, NULL, &there);
    qtest_write(there.qtest, MESSAGES, 8, 0);
    fake_accept_setup(&there.mediator);
    fake_ready(&there.mediator, VGPU_ERROR_NONE);
    for (begin = now_ms(); qtest_read(there.qtest, MESSAGES + 4, 4) != 0x5eed0001;)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
    testbed_close(&there);
}

/* ---- Streams of other devices ------------------------------------------------------- */

static void test_another_window(void **state)
{
    char path[] = STREAM_FILE;

    stream_save_new(*state, path);
    stream_assert_refused(path, ",window-size=32M");
    stream_assert_refused(path, ",window-size=0");
    unlink(path);
}

/* Every stream from before there were windows is like this. */
static void test_no_window(void **state)
{
    char path[] = STREAM_FILE;
    Testbed *t = *state, there;

    device_write(&t->device, VGPU_REG_SCRATCH, 0x5eed);
    stream_save_new(t, path);
    stream_load(&there, path, ",window-size=0");
    assert_int_equal(device_read(&there.device, VGPU_REG_SCRATCH), 0x5eed);
    testbed_close(&there);
    stream_assert_refused(path, "");
    unlink(path);
}

/* The subsection that has the ring's registers. Its name is older than the word, and stays. */
#define SUBSECTION "vgpu-stub/lane"

/* Where the registers are in the stream, counted from the ring's offset. They are big-endian. */
enum {
    AT_OFFSET_LO = 4,
    AT_ENTRIES = 8,
    AT_STATE = 12,
    AT_ERROR = 16,
    AT_IRQ_CTRL = 20,
    AT_IRQ_STATUS = 24,
};

static void test_tampered_stream(void **state)
{
    static const StreamPatch bad[] = {
        {AT_OFFSET_LO, 0x00123456},
        {AT_OFFSET_LO, 0x01000000},
        {AT_OFFSET_LO - 4, 1},
        {AT_ENTRIES, 0},
        {AT_ENTRIES, 5},
        {AT_ENTRIES, 0xffffffff},
        {AT_STATE, VGPU_RING_STOPPING},
        {AT_STATE, 0xffffffff},
        {AT_ERROR, VGPU_N_ERRORS},
        {AT_IRQ_CTRL, 2},
        {AT_IRQ_STATUS, 0x80000000},
    };
    static const uint8_t mark[] = {0, 0, 0, 0, 0x00, 0x12, 0x30, 0x00, 0, 0, 0, 16};
    char path[] = STREAM_FILE, *bytes, *at;
    Testbed *t = *state;
    size_t size;

    qtest_pause(t->qtest);
    device_ring_place(&t->device, 0x123000, 16);
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
    stream_save_new(t, path);
    bytes = stream_read(path, &size);
    at = memmem(bytes, size, SUBSECTION, strlen(SUBSECTION));
    assert_non_null(at);
    at = memmem(at, size - (size_t) (at - bytes), mark, sizeof(mark));
    assert_non_null(at);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        stream_assert_patch_refused(path, bytes, size, at, &bad[i]);
    free(bytes);
    unlink(path);
}

/* ---- Snapshots ------------------------------------------------------------------------ */

/* Window and ring go back to what they were, in the same process and the same memory. */
static void test_snapshot(void **state)
{
    static const char snapshot[] =
        "\"tag\": \"then\", \"vmstate\": \"disk\", \"devices\": [\"disk\"]";
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    stream_add_disk(t->qtest);
    ring_submit_add(&t->device, 0, 40, 2);
    memset(r->window + 0x100000, 0xcd, 4096);
    fake_obey_meanwhile(&t->mediator, NULL);
    stream_run_job(t->qtest, "snapshot-save", snapshot);
    fake_obeyed(&t->mediator);
    r = fake_expect_setup(&t->mediator); /* the machine goes on */
    ring_agree(t);

    assert_int_equal(fake_compute(r), 1);
    ring_expect(t, VGPU_RING_ON);
    memset(r->window + 0x100000, 0xee, 4096);
    fake_obey_meanwhile(&t->mediator, NULL);
    qtest_pause(t->qtest);
    fake_obeyed(&t->mediator);
    stream_run_job(t->qtest, "snapshot-load", snapshot);
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    qtest_resume(t->qtest);
    r = fake_expect_setup(&t->mediator);
    assert_int_equal(r->window[0x100000], 0xcd);
    assert_int_equal(r->window[0x100fff], 0xcd);
    assert_int_equal(r->host.header->cq_tail, 0);
    ring_agree(t);
    assert_int_equal(fake_compute(r), 1); /* once more: it was not done then */
    ring_expect(t, VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&t->device, 0), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_ON_TEST(test_migration_with_the_ring_on, NULL),
        RING_ON_TEST(test_migration_with_a_full_ring, NULL),
        RING_ON_TEST(test_migration_while_there_is_no_mediator, NULL),
        RING_TEST(test_migration_while_starting, NULL),
        RING_TEST(test_migration_without_a_ring, NULL),
        RING_ON_TEST(test_migration_with_msix, NULL),
        RING_TEST(test_another_window, NULL),
        TESTBED(test_no_window, ",window-size=0"),
        RING_TEST(test_tampered_stream, NULL),
        RING_ON_TEST(test_snapshot, NULL),
    };

    return cmocka_run_group_tests_name("ring and migration", tests, NULL, NULL);
}

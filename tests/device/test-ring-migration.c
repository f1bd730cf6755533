/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The window and a ring that is on in a file: migrated, restored, tampered with. */
#include "device-ring.h"
#include "migration-stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGES 0x200000u

/* Saves it while its mediator finishes something, and makes another machine of that. */
static void migrate(Testbed *from, FakeRing *r, Testbed *to, const char *options)
{
    pid_t pid = fake_obey_meanwhile(&from->mediator, r);

    stream_migrate(from, to, options);
    fake_obeyed(pid);
}

static void test_migration_with_the_ring_on(void **state)
{
    Testbed *t = *state, there;
    FakeRing r, r2;

    ring_open(t, &r);
    ring_submit_add(&t->device, 0, 40, 2);
    assert_int_equal(fake_compute(&r), 1);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&t->device, 0), 42);
    ring_submit_add(&t->device, 1, 50, 5); /* to be done there */
    memset(r.window + 0x100000, 0xcd, 0x100000);
    migrate(t, &r, &there, "");

    assert_int_equal(device_read(&there.device, VGPU_REG_RING_CTRL), VGPU_RING_ON);
    assert_int_equal(device_read(&there.device, VGPU_REG_RING_IRQ_STATUS), 1); /* its last word */
    device_write(&there.device, VGPU_REG_RING_IRQ_STATUS, 1);
    fake_accept_setup(&there.mediator, &r2);
    assert_memory_equal(&r2.setup, &r.setup, sizeof(r.setup));
    assert_int_equal(r2.size, r.size);
    assert_int_equal(r.window[r.size - 1], FAKE_LAST_WORD);
    assert_memory_equal(r2.window, r.window, r.size);

    fake_ready(&there.mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&there.device), VGPU_RING_ON);
    assert_int_equal(fake_compute(&r2), 1);
    assert_int_equal(device_wait_ring(&there.device), VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&there.device, 1), 55);
    device_write(&there.device, VGPU_REG_RING_DOORBELL, 1);
    fake_wait_rung(&r2);
    fake_ring_close(&r);
    fake_ring_close(&r2);
    testbed_close(&there);
}

/* All that is on it arrives: what was done but not taken, what was not begun, and a request of the
 * other kind too. */
static void test_migration_with_a_full_ring(void **state)
{
    Testbed *t = *state, there;
    FakeRing r, r2;

    ring_open(t, &r);
    ring_fill(&t->device, &r);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    device_submit_add(&t->device, 9, 100, 200);
    fake_expect_request(&t->mediator, 9, NULL);
    migrate(t, NULL, &there, "");

    fake_accept(&there.mediator, NULL);
    fake_serve_add(&there.mediator, 9);
    assert_int_equal(device_wait(&there.device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&there.device), 300);
    fake_welcome_ring(&there.mediator);
    fake_expect_setup(&there.mediator, &r2);
    fake_ready(&there.mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&there.device), VGPU_RING_ON);
    ring_finish(&there.device, &r2);
    fake_ring_close(&r);
    fake_ring_close(&r2);
    testbed_close(&there);
}

/* Its mediator died while nobody was looking; the other host's has the work. */
static void test_migration_while_there_is_no_mediator(void **state)
{
    Testbed *t = *state, there;
    FakeRing r, r2;

    ring_open(t, &r);
    ring_submit_add(&t->device, 0, 40, 2);
    fake_stop(&t->mediator);
    stream_migrate(t, &there, ",reconnect-timeout=0");
    fake_accept(&there.mediator, NULL);
    fake_hang_up(&there.mediator); /* it was on before, so no patience is needed to keep it on */
    fake_accept_setup(&there.mediator, &r2);
    assert_int_equal(device_read(&there.device, VGPU_REG_RING_CTRL), VGPU_RING_ON);
    fake_ready(&there.mediator, VGPU_ERROR_NONE);
    assert_int_equal(fake_compute(&r2), 1);
    assert_int_equal(ring_take_sum(&there.device, 0), 42);
    fake_ring_close(&r);
    fake_ring_close(&r2);
    testbed_close(&there);
}

static void test_migration_while_starting(void **state)
{
    Testbed *t = *state, there;
    FakeRing r, r2;

    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator, &r);
    migrate(t, NULL, &there, "");
    assert_int_equal(device_read(&there.device, VGPU_REG_RING_CTRL), VGPU_RING_STARTING);
    fake_accept_setup(&there.mediator, &r2);
    fake_ready(&there.mediator, VGPU_ERROR_QUEUE_FULL);
    qtest_wait_irq(there.qtest, true);
    assert_int_equal(device_read(&there.device, VGPU_REG_RING_CTRL), VGPU_RING_FAILED);
    fake_ring_close(&r);
    fake_ring_close(&r2);
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
    assert_int_equal(device_read(&there.device, VGPU_REG_RING_CTRL), VGPU_RING_FAILED);
    assert_int_equal(device_read(&there.device, VGPU_REG_RING_ERROR), VGPU_ERROR_INVALID_REQUEST);
    assert_int_equal(qtest_read(there.qtest, DEVICE_BAR2 + 0xfffff8, 8),
                     UINT64_C(0x123456789abcdef0));
    fake_expect_no_caller(&there.mediator);
    testbed_close(&there);
}

static void test_migration_with_msix(void **state)
{
    Testbed *t = *state, there;
    FakeRing r, r2;
    int64_t begin;

    ring_open(t, &r);
    msix_enable(&t->device, MESSAGES, 0x5eed0000);
    migrate(t, NULL, &there, "");
    qtest_write(there.qtest, MESSAGES, 8, 0);
    fake_accept_setup(&there.mediator, &r2);
    fake_ready(&there.mediator, VGPU_ERROR_NONE);
    for (begin = now_ms(); qtest_read(there.qtest, MESSAGES + 4, 4) != 0x5eed0001;)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
    fake_ring_close(&r);
    fake_ring_close(&r2);
    testbed_close(&there);
}

/* ---- Streams of other devices ------------------------------------------------------- */

static void save_to(Testbed *t, char *path)
{
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    stream_save(t, path);
}

static void test_another_window(void **state)
{
    char path[] = STREAM_FILE;

    save_to(*state, path);
    stream_assert_refused(path, ",window-size=32M");
    stream_assert_refused(path, ",window-size=0");
    unlink(path);
}

/* As it is with every stream from before there were windows. */
TEST(test_no_window)
{
    char path[] = STREAM_FILE;
    Testbed t, there;

    testbed_open(&t, ",window-size=0");
    device_write(&t.device, VGPU_REG_SCRATCH, 0x5eed);
    save_to(&t, path);
    testbed_close(&t);
    stream_load(&there, path, ",window-size=0");
    assert_int_equal(device_read(&there.device, VGPU_REG_SCRATCH), 0x5eed);
    testbed_close(&there);
    stream_assert_refused(path, "");
    unlink(path);
}

/* Where the lane's numbers are in the stream, counted from its ring's offset. They are
 * big-endian there. */
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

    qtest_qmp_ok(t->qtest, "{\"execute\": \"stop\"}");
    device_ring_place(&t->device, 0x123000, 16);
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
    save_to(t, path);
    bytes = stream_read(path, &size);
    at = memmem(bytes, size, "vgpu-stub/lane", 14);
    assert_non_null(at);
    at = memmem(at, size - (size_t) (at - bytes), mark, sizeof(mark));
    assert_non_null(at);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        stream_assert_patch_refused(path, bytes, size, at, &bad[i]);
    free(bytes);
    unlink(path);
}

/* ---- Snapshots ------------------------------------------------------------------------ */

/* Back to a window and a ring as they were, in the same process and the same memory. */
static void test_snapshot(void **state)
{
    static const char snapshot[] =
        "\"tag\": \"then\", \"vmstate\": \"disk\", \"devices\": [\"disk\"]";
    Testbed *t = *state;
    FakeRing r;
    pid_t pid;

    stream_add_disk(t->qtest);
    ring_open(t, &r);
    ring_submit_add(&t->device, 0, 40, 2);
    memset(r.window + 0x100000, 0xcd, 4096);
    pid = fake_obey_meanwhile(&t->mediator, NULL);
    stream_run_job(t->qtest, "snapshot-save", snapshot);
    fake_obeyed(pid);
    fake_ring_close(&r);
    fake_expect_setup(&t->mediator, &r); /* the machine goes on */
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);

    assert_int_equal(fake_compute(&r), 1);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    memset(r.window + 0x100000, 0xee, 4096);
    pid = fake_obey_meanwhile(&t->mediator, NULL);
    qtest_qmp_ok(t->qtest, "{\"execute\": \"stop\"}");
    fake_obeyed(pid);
    stream_run_job(t->qtest, "snapshot-load", snapshot);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_CTRL), VGPU_RING_ON);
    qtest_qmp_ok(t->qtest, "{\"execute\": \"cont\"}");
    fake_ring_close(&r);
    fake_expect_setup(&t->mediator, &r);
    assert_int_equal(r.window[0x100000], 0xcd);
    assert_int_equal(r.window[0x100fff], 0xcd);
    assert_int_equal(r.header->cq_tail, 0);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    assert_int_equal(fake_compute(&r), 1); /* once more: it was not done then */
    assert_int_equal(device_wait_ring(&t->device), VGPU_RING_ON);
    assert_int_equal(ring_take_sum(&t->device, 0), 42);
    fake_ring_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, ring_setup, testbed_teardown)
        CASE(test_migration_with_the_ring_on),
        CASE(test_migration_with_a_full_ring),
        CASE(test_migration_while_there_is_no_mediator),
        CASE(test_migration_while_starting),
        CASE(test_migration_without_a_ring),
        CASE(test_migration_with_msix),
        CASE(test_another_window),
        cmocka_unit_test(test_no_window),
        CASE(test_tampered_stream),
        CASE(test_snapshot),
#undef CASE
    };

    return cmocka_run_group_tests_name("ring and migration", tests, NULL, NULL);
}

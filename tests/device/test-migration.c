/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's state in a file: migrated, restored from a snapshot, tampered with. */
#include "migration-stream.h"

#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void test_migration_in_busy(void **state)
{
    Testbed *t = *state;
    WireMessage first, second;
    Testbed there;

    device_submit_add(&t->device, 42, 100, 200);
    device_write(&t->device, VGPU_REG_REQUEST, 0xffffffff); /* the next request's */
    device_write(&t->device, VGPU_REG_SCRATCH, 0x5eed);
    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 42, &first);
    stream_migrate(t, &there, ",priority=high");

    fake_accept(&there.mediator, NULL);
    fake_expect_request(&there.mediator, 42, &second);
    assert_int_equal(second.header.payload_len, first.header.payload_len);
    assert_memory_equal(second.payload, first.payload, first.header.payload_len);
    assert_int_equal(second.header.priority, VGPU_PRIORITY_HIGH); /* as attached there */
    assert_int_equal(device_read(&there.device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    assert_int_equal(device_read(&there.device, VGPU_REG_SCRATCH), 0x5eed);
    assert_int_equal(device_read(&there.device, VGPU_REG_REQUEST), 0xffffffff);
    fake_respond(&there.mediator, 42, VGPU_ERROR_NONE, 300);
    assert_int_equal(device_wait(&there.device), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&there.device), 300);
    testbed_close(&there);
}

static void test_migration_in_error_with_interrupt(void **state)
{
    Testbed *t = *state;
    uint32_t before[VGPU_REG_EXTENSION / 4], after[VGPU_REG_EXTENSION / 4];
    Testbed there;

    testbed_submit_and_take(t, 42);
    fake_respond(&t->mediator, 42, VGPU_ERROR_CUDA_ERROR, 700);
    qtest_wait_irq(t->qtest, true);
    qtest_read_buffer(t->qtest, DEVICE_BAR0, before, sizeof(before));
    stream_migrate(t, &there, ",priority=high");

    qtest_read_buffer(there.qtest, DEVICE_BAR0, after, sizeof(after));
    before[VGPU_REG_PRIORITY / 4] = VGPU_PRIORITY_HIGH;
    assert_memory_equal(after, before, sizeof(after));
    assert_true(pci_read32(there.qtest, 0, 3, PCI_COMMAND) >> 16 & PCI_STATUS_INTERRUPT);
    device_write(&there.device, VGPU_REG_IRQ_STATUS, 1);
    assert_false(pci_read32(there.qtest, 0, 3, PCI_COMMAND) >> 16 & PCI_STATUS_INTERRUPT);
    fake_expect_no_caller(&there.mediator); /* nothing to be sent */
    testbed_close(&there);
}

/* ---- A stream that somebody has tampered with -------------------------------------- */

/* Where the device's numbers are in the stream, counted from the guest's REQUEST. They
 * are big-endian there. */
enum {
    AT_STATUS = -40,
    AT_ERROR_CODE = -36,
    AT_RESPONSE_LEN = -28,
    AT_IRQ_CTRL = -24,
    AT_IRQ_STATUS = -20,
    AT_IN_FLIGHT_LEN = VGPU_REQUEST_MAX + VGPU_RESPONSE_MAX + 4,
};

static void test_tampered_stream(void **state)
{
    static const StreamPatch bad[] = {
        {AT_STATUS, 4},
        {AT_STATUS, 0xffffffff},
        {AT_ERROR_CODE, VGPU_N_ERRORS},
        {AT_RESPONSE_LEN, VGPU_RESPONSE_MAX + 1},
        {AT_IRQ_CTRL, 2},
        {AT_IRQ_STATUS, 0x80000000},
        {AT_IN_FLIGHT_LEN, 0},
        {AT_IN_FLIGHT_LEN, VGPU_REQUEST_MAX + 1},
        {AT_IN_FLIGHT_LEN, 0xffffffff},
    };
    char path[] = STREAM_FILE, mark[64], *bytes, *at;
    Testbed *t = *state;
    size_t size;

    device_submit_add(&t->device, 42, 100, 200);
    fake_accept(&t->mediator, NULL);
    memset(mark, 0xa7, sizeof(mark));
    qtest_write_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_REQUEST, mark, sizeof(mark));
    stream_save_new(t, path);

    bytes = stream_read(path, &size);
    at = memmem(bytes, size, mark, sizeof(mark));
    assert_non_null(at);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        stream_assert_patch_refused(path, bytes, size, at, &bad[i]);
    free(bytes);
    unlink(path);
}

/* ---- Snapshots ------------------------------------------------------------------------ */

/* The snapshot has a pending request, and another one is pending when it is loaded. */
static void test_snapshot_in_busy(void **state)
{
    static const char snapshot[] =
        "\"tag\": \"then\", \"vmstate\": \"disk\", \"devices\": [\"disk\"]";
    Testbed *t = *state;

    stream_add_disk(t->qtest);
    testbed_submit_and_take(t, 1);
    stream_run_job(t->qtest, "snapshot-save", snapshot);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 300);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);

    device_submit_add(&t->device, 2, 1, 2);
    fake_expect_request(&t->mediator, 2, NULL);
    qtest_pause(t->qtest);
    stream_run_job(t->qtest, "snapshot-load", snapshot);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    assert_int_equal(device_read(&t->device, VGPU_REG_REQUEST_ID), 1);
    fake_expect_hang_up(&t->mediator); /* the answer to 2 must never come */
    qtest_resume(t->qtest);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);
    assert_int_equal(device_result(&t->device), 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTBED(test_migration_in_busy, NULL),
        TESTBED(test_migration_in_error_with_interrupt, NULL),
        TESTBED(test_tampered_stream, NULL),
        TESTBED(test_snapshot_in_busy, NULL),
    };

    return cmocka_run_group_tests_name("migration", tests, NULL, NULL);
}

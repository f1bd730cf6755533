/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions keep a machine from being saved; the registers of rings that are off do not. */
#include "device-rings.h"
#include "migration-stream.h"

#include <linux/pci_regs.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGES 0x200000u
#define N_VECTORS (1 + VGPU_RINGS_MAX)

static const char snapshot[] = "\"tag\": \"then\", \"vmstate\": \"disk\", \"devices\": [\"disk\"]";

/* ---- What may be saved when ------------------------------------------------------------- */

/* QMP refuses to migrate the machine, and says why and what to do. */
static void expect_refused(Testbed *t)
{
    char *reply = qtest_qmp(
        t->qtest, "{\"execute\": \"migrate\", \"arguments\": {\"uri\": \"exec:cat >/dev/null\"}}");

    if (!strstr(reply, "vgpu-stub gpu: a process in VM test-machine (vm_id 7) has a CUDA session "
                       "open") ||
        !strstr(reply, "'vgpuctl sessions'") || !strstr(reply, "'vgpuctl end-session'"))
        fail_msg("QEMU answers %s", reply);
    free(reply);
}

static void save(Testbed *t)
{
    char path[] = STREAM_FILE;

    stream_save_new(t, path);
    unlink(path);
}

static void close_session(Testbed *t, uint32_t ring)
{
    session_write(t, ring, VGPU_SESSION_REG_CTRL, 0);
    fake_expect_close(&t->mediator, ring);
}

/* From the moment that the guest turns a ring on until the executor of the last one is gone */
static void test_migration_is_blocked(void **state)
{
    FakeSession one, two;
    Testbed *t = *state;

    session_start(t, 1);
    expect_refused(t);
    fake_accept_open(&t->mediator, 1, &one);
    expect_refused(t);
    session_agree(t, 1);
    session_open(t, 2, &two);
    expect_refused(t);
    close_session(t, 1);
    fake_session_closed(&t->mediator, 1);
    fake_synchronize(&t->mediator);
    expect_refused(t);
    close_session(t, 2);
    assert_int_equal(session_state(t, 2), VGPU_RING_STOPPING);
    expect_refused(t);

    /* The guest may make a mistake now, and the executor is still there. */
    session_place(t, 2, 1);
    session_write(t, 2, VGPU_SESSION_REG_CTRL, 1);
    assert_int_equal(session_state(t, 2), VGPU_RING_FAILED);
    expect_refused(t);
    fake_session_closed(&t->mediator, 2);
    fake_synchronize(&t->mediator);
    save(t);
    fake_session_free(&one);
    fake_session_free(&two);
}

static void test_the_end_of_a_session_allows_it(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 3, &s);
    fake_session_free(&s);
    fake_session_ready(&t->mediator, 3, VGPU_ERROR_CUDA_ERROR, 719);
    session_expect_failed(t, 3, VGPU_ERROR_CUDA_ERROR, 719);
    save(t);
}

static void test_a_break_allows_it(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 3, &s);
    fake_session_free(&s);
    expect_refused(t);
    fake_hang_up(&t->mediator);
    session_expect_failed(t, 3, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    save(t);
}

static void test_a_reset_allows_it(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 3, &s);
    fake_session_free(&s);
    fake_close_meanwhile(&t->mediator, 1);
    qtest_system_reset(t->qtest);
    fake_obeyed(&t->mediator);
    save(t);
}

/* What the message advises works for a machine that is paused, too. */
static void test_a_paused_machine(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 3, &s);
    fake_session_free(&s);
    qtest_pause(t->qtest);
    expect_refused(t);
    fake_session_ready(&t->mediator, 3, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    session_expect_failed(t, 3, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    save(t);
}

/* A place that cannot be blocks nothing. */
static void test_a_bad_place_blocks_nothing(void **state)
{
    Testbed *t = *state;

    session_place(t, 3, 1);
    session_write(t, 3, VGPU_SESSION_REG_CTRL, 1);
    assert_int_equal(session_state(t, 3), VGPU_RING_FAILED);
    save(t);
}

/* While a machine is being migrated, its guest can begin no session. */
static void test_no_session_during_a_migration(void **state)
{
    Testbed *t = *state;

    qtest_qmp_ok(t->qtest,
                 "{\"execute\": \"migrate-set-capabilities\", \"arguments\": {\"capabilities\": "
                 "[{\"capability\": \"events\", \"state\": true}, "
                 "{\"capability\": \"pause-before-switchover\", \"state\": true}]}}");
    qtest_qmp_ok(t->qtest, "{\"execute\": \"migrate\", \"arguments\": "
                           "{\"uri\": \"exec:cat >/dev/null\"}}");
    qtest_wait_event(t->qtest, "MIGRATION", "\"status\": \"pre-switchover\"");
    session_start(t, 3);
    assert_int_equal(session_state(t, 3), VGPU_RING_FAILED);
    assert_int_equal(session_read(t, 3, VGPU_SESSION_REG_ERROR), VGPU_ERROR_RATE_LIMITED);
    fake_expect_no_caller(&t->mediator);
    qtest_qmp_ok(t->qtest, "{\"execute\": \"migrate-continue\", \"arguments\": "
                           "{\"state\": \"pre-switchover\"}}");
    qtest_wait_event(t->qtest, "MIGRATION", "\"status\": \"completed\"");
}

/* Where nothing may keep the machine from being migrated, there are no sessions. */
TEST(test_only_migratable)
{
    Testbed t;

    testbed_open_args(&t, 0,
                      (const char *const[]){"-machine", "q35", "-only-migratable", "-device",
                                            "vgpu-stub,addr=3,socket=mediator.sock", NULL});
    session_start(&t, 1);
    assert_int_equal(session_state(&t, 1), VGPU_RING_FAILED);
    assert_int_equal(session_read(&t, 1, VGPU_SESSION_REG_ERROR), VGPU_ERROR_UNSUPPORTED_OP);
    device_ring_start(&t.device);
    fake_accept_setup(&t.mediator);
    testbed_close(&t);
}

/* ---- Snapshots ------------------------------------------------------------------------ */

static void expect_snapshot_refused(Testbed *t)
{
    char *reply;

    qtest_qmp_ok(t->qtest,
                 "{\"execute\": \"snapshot-save\", \"arguments\": {\"job-id\": \"job\", %s}}",
                 snapshot);
    qtest_wait_event(t->qtest, "JOB_STATUS_CHANGE", "\"status\": \"concluded\"");
    reply = qtest_qmp(t->qtest, "{\"execute\": \"query-jobs\"}");
    if (!strstr(reply, "has a CUDA session open"))
        fail_msg("QEMU answers %s", reply);
    free(reply);
    qtest_qmp_ok(t->qtest, "{\"execute\": \"job-dismiss\", \"arguments\": {\"id\": \"job\"}}");

    reply = qtest_qmp(t->qtest, "{\"execute\": \"human-monitor-command\", \"arguments\": "
                                "{\"command-line\": \"savevm then\"}}");
    if (!strstr(reply, "has a CUDA session open"))
        fail_msg("QEMU answers %s", reply);
    free(reply);
}

/* Loading a snapshot is a reset to those that are open. */
static void test_snapshot(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    stream_add_disk(t->qtest);
    session_open(t, 3, &s);
    fake_session_free(&s);
    expect_snapshot_refused(t);
    assert_int_equal(session_state(t, 3), VGPU_RING_ON);
    close_session(t, 3);
    fake_session_closed(&t->mediator, 3);
    fake_synchronize(&t->mediator);
    stream_run_job(t->qtest, "snapshot-save", snapshot);

    session_open(t, 4, &s);
    fake_session_free(&s);
    fake_close_meanwhile(&t->mediator, 1);
    qtest_pause(t->qtest);
    stream_run_job(t->qtest, "snapshot-load", snapshot);
    fake_obeyed(&t->mediator);
    assert_int_equal(session_state(t, 3), VGPU_RING_OFF);
    assert_int_equal(session_read(t, 3, VGPU_SESSION_REG_OFFSET_LO), session_offset(3));
    assert_int_equal(session_state(t, 4), VGPU_RING_OFF);
    assert_int_equal(session_read(t, 4, VGPU_SESSION_REG_OFFSET_LO), 0);
    fake_expect_hang_up(&t->mediator);
    qtest_resume(t->qtest);
    session_open(t, 4, &s);
    fake_session_free(&s);
    expect_snapshot_refused(t);
}

/* ---- Streams ------------------------------------------------------------------------------- */

/* A device of rings=1 is the one from before there were sessions. */
static void check_between(Testbed *t, const char *options, uint32_t rings)
{
    uint8_t at;
    Testbed there;

    device_map_window(&t->device);
    device_ring_place(&t->device, 0x3000, 16);
    device_write(&t->device, VGPU_REG_RING_IRQ_CTRL, 1);
    device_write(&t->device, VGPU_REG_SCRATCH, 0x5eed);
    for (unsigned i = 0; i < 2; i++)
        msix_set_vector(&t->device, i, MESSAGES + 4 * i, 0xabc0 + i, false);
    msix_write_flags(&t->device, PCI_MSIX_FLAGS_ENABLE);
    stream_migrate(t, &there, options);

    assert_int_equal(device_read(&there.device, VGPU_REG_SCRATCH), 0x5eed);
    assert_int_equal(device_read(&there.device, VGPU_REG_RING_OFFSET_LO), 0x3000);
    sessions_assert_power_on(&there, rings);
    at = pci_capability(there.qtest, 0, 3, PCI_CAP_ID_MSIX);
    assert_int_equal(pci_read32(there.qtest, 0, 3, at) >> 16, PCI_MSIX_FLAGS_ENABLE | rings);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(qtest_read(there.qtest, DEVICE_BAR4 + 16 * i, 4), MESSAGES + 4 * i);
    for (unsigned i = 2; i < 1 + rings; i++)
        assert_int_equal(qtest_read(there.qtest, DEVICE_BAR4 + 16 * i + 12, 4), 1);

    /* And the source is what it was, as after a migration that failed. */
    at = pci_capability(t->qtest, 0, 3, PCI_CAP_ID_MSIX);
    assert_int_equal(pci_read32(t->qtest, 0, 3, at) >> 16,
                     PCI_MSIX_FLAGS_ENABLE | (rings == 1 ? VGPU_RINGS_MAX : 1));
    testbed_close(&there);
}

static void test_to_one_ring(void **state)
{
    check_between(*state, ",rings=1", 1);
}

static void test_from_one_ring(void **state)
{
    check_between(*state, "", VGPU_RINGS_MAX);
}

/* A machine that came from a host without sessions has them from then on. */
static void test_sessions_after_that(void **state)
{
    Testbed *t = *state, there;
    int64_t begin = now_ms();
    FakeSession s;

    stream_migrate(t, &there, "");
    device_map_window(&there.device);
    for (unsigned i = 0; i < N_VECTORS; i++)
        msix_set_vector(&there.device, i, MESSAGES + 4 * i, 0xabc0 + i, false);
    msix_write_flags(&there.device, PCI_MSIX_FLAGS_ENABLE);
    session_open(&there, 15, &s);
    qtest_write(there.qtest, MESSAGES + 64, 4, 0);
    fake_session_signal(&s);
    while (qtest_read(there.qtest, MESSAGES + 64, 4) != 0xabc0 + 16)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
    fake_session_free(&s);
    testbed_close(&there);
}

/* Makes a device whose guest has used sessions. */
static void use_sessions(Testbed *t)
{
    for (unsigned i = 0; i < N_VECTORS; i++)
        msix_set_vector(&t->device, i, MESSAGES + 4 * i, 0xabc0 + i, i % 2);
    msix_write_flags(&t->device, PCI_MSIX_FLAGS_ENABLE);
    session_place(t, 15, UINT64_C(0x1234567800123000));
    session_write(t, 15, VGPU_SESSION_REG_IRQ_CTRL, 1);
    session_start(t, 2);
    fake_accept(&t->mediator, NULL);
    fake_welcome_sessions(&t->mediator);
    fake_expect(&t->mediator, VGPU_MSG_SESSION_OPEN, &(WireMessage){0});
    fake_session_ready(&t->mediator, 2, VGPU_ERROR_CUDA_ERROR, 100);
    for (int64_t begin = now_ms(); session_state(t, 2) != VGPU_RING_FAILED;)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
}

/* All registers arrive as they were, and so do the vectors. */
static void test_used_sessions(void **state)
{
    uint32_t before[(VGPU_BAR0_SIZE - VGPU_REG_RINGS) / 4], after[sizeof(before) / 4];
    uint32_t table_before[4 * N_VECTORS], table_after[4 * N_VECTORS];
    Testbed *t = *state, there;

    use_sessions(t);
    qtest_read_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_RINGS, before, sizeof(before));
    qtest_read_buffer(t->qtest, DEVICE_BAR4, table_before, sizeof(table_before));
    stream_migrate(t, &there, "");
    qtest_read_buffer(there.qtest, DEVICE_BAR0 + VGPU_REG_RINGS, after, sizeof(after));
    qtest_read_buffer(there.qtest, DEVICE_BAR4, table_after, sizeof(table_after));
    assert_memory_equal(after, before, sizeof(before));
    assert_memory_equal(table_after, table_before, sizeof(table_before));
    assert_int_equal(session_read(&there, 2, VGPU_SESSION_REG_CUDA_RESULT), 100);
    assert_int_equal(session_read(&there, 2, VGPU_SESSION_REG_IRQ_STATUS), 1);
    assert_int_equal(session_read(&there, 15, VGPU_SESSION_REG_OFFSET_HI), 0x12345678);
    fake_expect_no_caller(&there.mediator);
    testbed_close(&there);
}

/* A reset brings the compatible stream back. */
static void test_used_sessions_elsewhere(void **state)
{
    char path[] = STREAM_FILE;
    Testbed *t = *state, there;

    use_sessions(t);
    stream_save_new(t, path);
    stream_assert_refused(path, ",rings=1");
    stream_assert_refused(path, ",rings=8");
    unlink(path);
    qtest_resume(t->qtest);
    device_reset(&t->device);
    stream_migrate(t, &there, ",rings=1");
    testbed_close(&there);
}

/* Where a ring's registers are in the stream, counted from its offset. They are big-endian. */
enum {
    AT_STATE = 8,
    AT_ERROR = 12,
    AT_IRQ_CTRL = 20,
    AT_IRQ_STATUS = 24,
};

static void test_tampered_stream(void **state)
{
    static const StreamPatch bad[] = {
        {AT_STATE, VGPU_RING_ON},    {AT_STATE, VGPU_RING_STARTING}, {AT_STATE, VGPU_RING_STOPPING},
        {AT_STATE, 0xffffffff},      {AT_ERROR, VGPU_N_ERRORS},      {AT_IRQ_CTRL, 2},
        {AT_IRQ_STATUS, 0x80000000},
    };
    static const uint8_t mark[] = {0x12, 0x34, 0x56, 0x78, 0x00, 0x12, 0x30, 0x00};
    char path[] = STREAM_FILE, *bytes, *at;
    Testbed *t = *state;
    size_t size;

    use_sessions(t);
    stream_save_new(t, path);
    bytes = stream_read(path, &size);
    at = memmem(bytes, size, mark, sizeof(mark));
    assert_non_null(at);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        stream_assert_patch_refused(path, bytes, size, at, &bad[i]);
    free(bytes);
    unlink(path);
}

static int setup_named(void **state)
{
    Testbed *t = malloc(sizeof(*t));

    assert_non_null(t);
    testbed_open_args(t, 0,
                      (const char *const[]){"-machine", "q35", "-name", "test-machine", "-device",
                                            "vgpu-stub,id=gpu,vm_id=7,addr=3,socket=mediator.sock",
                                            NULL});
    device_map_window(&t->device);
    *state = t;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define NAMED(f) cmocka_unit_test_setup_teardown(f, setup_named, testbed_teardown)
        NAMED(test_migration_is_blocked),
        RING_TEST(test_the_end_of_a_session_allows_it, NULL),
        NAMED(test_a_break_allows_it),
        RING_TEST(test_a_reset_allows_it, NULL),
        NAMED(test_a_paused_machine),
        RING_TEST(test_a_bad_place_blocks_nothing, NULL),
        RING_TEST(test_no_session_during_a_migration, NULL),
        cmocka_unit_test(test_only_migratable),
        RING_TEST(test_snapshot, NULL),
        RING_TEST(test_to_one_ring, NULL),
        RING_TEST(test_from_one_ring, ",rings=1"),
        RING_TEST(test_sessions_after_that, ",rings=1"),
        RING_TEST(test_used_sessions, NULL),
        RING_TEST(test_used_sessions_elsewhere, NULL),
        RING_TEST(test_tampered_stream, NULL),
#undef NAMED
    };

    return cmocka_run_group_tests_name("sessions and migration", tests, NULL, NULL);
}

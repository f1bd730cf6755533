/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu doctor, of a machine with a device: each test makes one thing wrong. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "ring-keeper.h"
#include "test-guest-doctor-fixture.h"
#include "window-share.h"

static void test_no_device(void **state)
{
    doctor_fixture *f = *state;

    doctor_expect_failure(f, "device", "no vgpu device", "vgpuctl attach");
    doctor_expect_none(f, "session");
    doctor_make_file(f, ".dockerenv", "");
    doctor_expect_failure(f, "device", "a container", "vgpu-containers(7)");
    f->options.device = "1";
    doctor_expect_failure(f, "device", "no vgpu device '1'", "vgpu info");
    f->options.device = "x";
    assert_int_equal(doctor_examine(f), EXIT_USAGE);
}

/* All is well but that nobody is in the executor's place. */
static void test_no_executor(void **state)
{
    doctor_fixture *f = *state;

    doctor_expect_failure(f, "session", "does not answer in time", "vgpuctl sessions");
    doctor_expect(f, "ok    device ", FAKE_ADDRESS, "");
    doctor_expect(f, "ok    permission ", "through sysfs", "");
    doctor_expect(f, "ok    rings ", "0 of 3 rings", "");
    doctor_expect(f, "ok    window ", "128 MiB, of which 128 are free", "");
    doctor_expect(f, "ok    mediator ", "A \"model\"", "");
    doctor_expect(f, "ok    session ", "opens in ", " ms");
}

static void test_lockdown(void **state)
{
    doctor_fixture *f = *state;

    doctor_make_file(f, "sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    doctor_expect_failure(f, "lockdown", "Secure Boot", "vgpu bind");
    doctor_expect_none(f, "rings");
    doctor_make_file(f, "sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
    doctor_answer_error(f, VGPU_ERROR_RATE_LIMITED);
    assert_int_equal(doctor_examine(f), EXIT_REFUSED);
    doctor_expect_none(f, "lockdown");
}

static void test_permission(void **state)
{
    doctor_fixture *f = *state;
    const char *path = fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "resource0");

    if (getuid() != 0)
        skip();
    assert_return_code(chmod(f->sysfs.root, 0755), errno);
    doctor_make_file(f, "etc/passwd", "root:x:0:0::/:\nalice:x:65534:65534::/:\n");
    doctor_make_file(f, "etc/group", "root:x:0:\nvgpu:x:4242:bob\n");
    assert_return_code(chown(path, 0, 0), errno);
    assert_return_code(chmod(path, 0600), errno);
    doctor_become(DOCTOR_USER);
    doctor_expect_failure(f, "permission", "/resource0 is not for user alice", "vgpu-guest");
    doctor_become(0);

    assert_return_code(chown(path, 0, DOCTOR_GROUP), errno);
    assert_return_code(chmod(path, 0660), errno);
    doctor_become(DOCTOR_USER);
    doctor_expect_failure(f, "permission", "resource0", "'usermod -aG vgpu USER'");
    doctor_become(0);
    doctor_make_file(f, "etc/group", "root:x:0:\nvgpu:x:4242:bob,alice\n");
    doctor_become(DOCTOR_USER);
    doctor_expect_failure(f, "permission", "resource0", "log in again: this login");
    doctor_become(0);
}

static void test_not_enabled(void **state)
{
    doctor_fixture *f = *state;

    fake_sysfs_write(&f->sysfs, FAKE_ADDRESS, "enable", "0\n");
    f->bar[VGPU_REG_PROTOCOL_VER / 4] = UINT32_MAX;
    doctor_expect_failure(f, "permission", "which is not enabled", "");
    fake_sysfs_write(&f->sysfs, FAKE_ADDRESS, "enable", "1\n");
    f->bar[VGPU_REG_PROTOCOL_VER / 4] = 2 << 16;
    doctor_expect_failure(f, "permission", "Cannot open the device", "of the host's version");
}

static void test_driver(void **state)
{
    doctor_fixture *f = *state;

    fake_sysfs_add_driver(&f->sysfs, "some_driver");
    fake_sysfs_bind(&f->sysfs, FAKE_ADDRESS, "some_driver");
    doctor_answer_error(f, VGPU_ERROR_VM_QUARANTINED);
    assert_int_equal(doctor_examine(f), EXIT_REFUSED);
    doctor_expect(f, "warn  driver ", "some_driver has the device", "unbind");
}

static void test_old_host(void **state)
{
    doctor_fixture *f = *state;

    f->bar[VGPU_REG_EXT_MAGIC / 4] = 0;
    doctor_expect_failure(f, "rings", "too old", "plugin for QEMU");
    f->bar[VGPU_REG_EXT_MAGIC / 4] = VGPU_EXT_MAGIC;
    f->bar[VGPU_REG_RINGS / 4] = 1;
    doctor_expect_failure(f, "rings", "none for CUDA sessions", "rings to 16");
    doctor_expect_none(f, "session    ");
}

static void test_rings_taken(void **state)
{
    doctor_fixture *f = *state;

    for (uint32_t i = 1; i < DOCTOR_RINGS; i++)
        f->bar[vgpu_session_register(i, VGPU_SESSION_REG_CTRL) / 4] = VGPU_RING_ON;
    doctor_expect_failure(f, "rings", "All 3 rings", "vgpu smi");
    doctor_expect_none(f, "in time");
}

static void test_window(void **state)
{
    doctor_fixture *f = *state;
    vgpu_device *other = NULL;
    window_share share = {0};
    uint64_t offset;

    doctor_set_window(f, UINT64_C(16) << 20);
    doctor_answer_error(f, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    assert_int_equal(doctor_examine(f), EXIT_REFUSED);
    doctor_expect(f, "warn  window ", "small: 16 MiB, of which 16", "window-size='512M'");

    assert_int_equal(vgpu_open(&f->sysfs.paths, NULL, &other), 0);
    assert_int_equal(share_init(&share, other->lock_fd, UINT64_C(16) << 20, NULL, NULL), 0);
    assert_int_equal(share_alloc(&share, UINT64_C(15) << 20, 1 << 20, &offset), 0);
    doctor_expect_failure(f, "window", "16 MiB are full: the largest piece has ", "vgpu smi");
    share_destroy(&share);
    vgpu_close(other);
}

static void test_mediator(void **state)
{
    doctor_fixture *f = *state;

    doctor_answer_error(f, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    doctor_expect_failure(f, "mediator", "MEDIATOR_UNAVAILABLE", "vgpu-mediator.socket");
    doctor_answer_error(f, VGPU_ERROR_VM_QUARANTINED);
    doctor_expect_failure(f, "mediator", "VM_QUARANTINED", "vgpuctl status");
    doctor_answer_error(f, VGPU_ERROR_INVALID_POOL);
    doctor_expect_failure(f, "mediator", "INVALID_POOL", "mediator.conf");
    f->bar[VGPU_REG_STATUS / 4] = VGPU_STATUS_BUSY;
    doctor_expect_failure(f, "mediator", "in use", "vgpuctl");
    doctor_answer(f, "cpu");
    doctor_expect_failure(f, "mediator", "computes on the CPU", "vgpuctl check");
    doctor_expect_none(f, "session    ");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_device, doctor_setup_empty, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_no_executor, doctor_setup, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_lockdown, doctor_setup, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_permission, doctor_setup, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_not_enabled, doctor_setup, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_driver, doctor_setup, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_old_host, doctor_setup, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_rings_taken, doctor_setup, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_window, doctor_setup, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_mediator, doctor_setup, doctor_teardown),
    };

    return doctor_test_main(argc, argv, tests);
}

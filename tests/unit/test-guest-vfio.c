/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu on a device that is bound to vfio-pci. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <unistd.h>

#include "test-guest-fake-vfio.h"
#include "test-guest-fixture.h"
#include "test.h"

#define WINDOW (UINT64_C(1) << 20)

static fake_vfio vfio;

static int setup(void **state)
{
    fixture *f;

    fixture_setup_ring(state, WINDOW);
    f = *state;
    f->dev = vgpu_close(f->dev);
    fake_vfio_add(&vfio, &f->model, &f->sysfs);
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;

    f->dev = vgpu_close(f->dev);
    fake_vfio_remove(&vfio);
    return fixture_teardown(state);
}

static int open_device(fixture *f)
{
    return vgpu_open(&f->sysfs.paths, NULL, &f->dev);
}

static void test_requests(void **state)
{
    fixture *f = *state;

    assert_int_equal(open_device(f), 0);
    assert_string_equal(vgpu_get_access(f->dev), "vfio");
    assert_int_equal(fake_vfio_command(&vfio) & (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER),
                     PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

static void test_ring(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring;
    vgpu_job job;

    assert_int_equal(open_device(f), 0);
    ring = fixture_open_ring(f, 8);
    vgpu_job_nop(&job);
    for (int i = 0; i < 20; i++)
        assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, NULL), 0);
    vgpu_ring_close(ring);

    /* What the device says of its window is not more than what can be mapped. */
    model_set(&f->model, VGPU_REG_WINDOW_SIZE_LO, 2 * WINDOW);
    assert_int_equal(fixture_try_ring(f, 8, LONG_MS), -EPROTO);
}

/* Two programs do not share the device: the kernel gives it to one of them. */
static void test_one_handle(void **state)
{
    fixture *f = *state;
    vgpu_device *other = NULL;

    assert_int_equal(open_device(f), 0);
    assert_int_equal(vgpu_open(&f->sysfs.paths, NULL, &other), -EBUSY);
    assert_int_equal(vgpu_lock(f->dev, 0), 0);
    vgpu_unlock(f->dev);
    assert_int_equal(vgpu_lock(f->dev, 0), 0);
    f->dev = vgpu_close(f->dev);

    vfio.is_used = true;
    assert_int_equal(open_device(f), -EBUSY);
    vfio.is_used = false;
    assert_int_equal(open_device(f), 0);
}

static void test_refusals(void **state)
{
    fixture *f = *state;
    char path[128];

    vfio.is_unviable = true;
    assert_int_equal(open_device(f), -EXDEV);
    vfio.is_unviable = false;
    vfio.iommu_error = EPERM;
    assert_int_equal(open_device(f), -ENOSYS);
    vfio.iommu_error = ENODEV;
    assert_int_equal(open_device(f), -ENOPKG);
    vfio.iommu_error = ENOMEM;
    assert_int_equal(open_device(f), -ENOMEM);
    vfio.iommu_error = 0;
    assert_int_equal(open_device(f), 0);
    f->dev = vgpu_close(f->dev);

    snprintf(path, sizeof(path), "%s/vfio/vfio", f->sysfs.dev);
    assert_return_code(unlink(path), 0);
    assert_int_equal(open_device(f), -ENOENT);
}

/* Root can allow VFIO without an IOMMU. The group has another name then. */
static void test_without_iommu(void **state)
{
    fixture *f = *state;

    vfio.has_no_iommu = true;
    assert_int_equal(open_device(f), 0);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
    f->dev = vgpu_close(f->dev);

    vfio.iommu_error = EPERM;
    assert_int_equal(open_device(f), -EPERM);
}

static void test_reset(void **state)
{
    fixture *f = *state;
    unsigned int before;

    assert_int_equal(open_device(f), 0);
    before = vfio.resets;
    assert_int_equal(vgpu_reset(f->dev), -ENOLCK);
    assert_int_equal(vgpu_lock(f->dev, 0), 0);
    assert_int_equal(vgpu_reset(f->dev), -EOPNOTSUPP);
    fake_sysfs_write(&f->sysfs, FAKE_ADDRESS, "reset_method", "flr bus\n");
    assert_int_equal(vgpu_reset(f->dev), 0);
    assert_int_equal(vfio.resets, before + 1);
    assert_int_equal(vgpu_write_register(f->dev, VGPU_REG_SCRATCH, 5), 0);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

/* ---- Interrupts ----------------------------------------------------------------- */

/* Complete the request after the access whose number this is, counted from the doorbell. */
static void complete_after(model *m, bool is_write, uint32_t offset)
{
    if (is_write && offset == VGPU_REG_DOORBELL)
        m->remaining = m->number;
    else if (model_get(m, VGPU_REG_STATUS) == VGPU_STATUS_BUSY && --m->remaining == 0)
        model_complete(m);
}

static void test_no_wakeup_is_lost(void **state)
{
    fixture *f = *state;

    assert_int_equal(open_device(f), 0);
    assert_int_equal(vgpu_enable_interrupts(f->dev), 0);
    assert_int_equal(vgpu_enable_interrupts(f->dev), 0);
    f->model.delay = MODEL_STUCK;
    f->model.after = complete_after;
    /* STATUS, IRQ_CTRL, IRQ_STATUS, STATUS: after that it sleeps. */
    for (int round = 0; round < 3; round++)
        for (uint32_t n = 1; n <= 4; n++) {
            f->model.number = n;
            assert_int_equal(fixture_add(f, LONG_MS), 0);
            assert_int_equal(model_get(&f->model, VGPU_REG_IRQ_CTRL), 0);
        }
    f->model.number = UINT32_MAX;
    assert_int_equal(fixture_add(f, 5), -ETIMEDOUT);
}

/* The ring has a vector of its own: neither takes the other's interrupt. */
static void test_two_vectors(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring;
    vgpu_job job;
    int i;

    assert_int_equal(open_device(f), 0);
    assert_int_equal(vgpu_enable_interrupts(f->dev), 0);
    ring = fixture_open_ring(f, 8);
    f->model.delay = MODEL_STUCK;
    f->model.after = complete_after;
    f->model.number = 4;
    vgpu_job_nop(&job);
    for (i = 0; i < 5; i++) {
        assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
        assert_int_equal(fixture_add(f, LONG_MS), 0);
        assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
        assert_int_equal(vgpu_ring_poll(ring, &(vgpu_completion){0}, 1, &(size_t){0}), 0);
    }
    vgpu_ring_close(ring);
    vgpu_disable_interrupts(f->dev);
    vgpu_disable_interrupts(f->dev);
    f->model.after = NULL;
    f->model.delay = 30;
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

/* A device without MSI-X works, by polling. */
static void test_without_messages(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring;

    vfio.n_vectors = 1;
    assert_int_equal(open_device(f), 0);
    assert_int_equal(vgpu_enable_interrupts(f->dev), -EOPNOTSUPP);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
    ring = fixture_open_ring(f, 8);
    assert_int_equal(vgpu_ring_set_wait(ring, VGPU_WAIT_INTERRUPT, 0), -EOPNOTSUPP);
    assert_int_equal(vgpu_ring_get_fd(ring), -ENXIO);
    vgpu_ring_close(ring);
    f->dev = vgpu_close(f->dev);

    /* Neither does a kernel that has too few vectors left set up some of them. */
    vfio.n_vectors = INTERRUPT_N_CAUSES;
    vfio.n_vectors_left = 1;
    assert_int_equal(open_device(f), 0);
    assert_int_equal(vgpu_enable_interrupts(f->dev), -EIO);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_requests),          CASE(test_ring),          CASE(test_one_handle),
        CASE(test_refusals),          CASE(test_without_iommu), CASE(test_reset),
        CASE(test_no_wakeup_is_lost), CASE(test_two_vectors),   CASE(test_without_messages),
    };

    return cmocka_run_group_tests_name("guest-vfio", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-fixture.h"
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

int fixture_setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    model_start(&f->model);
    fake_sysfs_create(&f->sysfs);
    fake_sysfs_add(&f->sysfs, FAKE_ADDRESS);
    assert_int_equal(vgpu_open(&f->sysfs.paths, NULL, &f->dev), 0);
    *state = f;
    return 0;
}

int fixture_setup_ring(void **state, uint64_t window_size)
{
    fixture *f;

    fixture_setup(state);
    f = *state;
    ring_model_add(&f->model, &f->sysfs, window_size);
    return 0;
}

int fixture_teardown(void **state)
{
    fixture *f = *state;

    vgpu_close(f->dev);
    assert_int_equal(f->model.ring.violations, 0);
    ring_model_remove(&f->model);
    fake_sysfs_remove(&f->sysfs);
    if (f->model.uio_fd >= 0)
        close(f->model.uio_fd);
    if (f->model.config_fd >= 0)
        close(f->model.config_fd);
    free(f);
    return 0;
}

int fixture_add(fixture *f, int timeout_ms)
{
    uint32_t sum = 0;
    int r = vgpu_add(f->dev, 40, 2, timeout_ms, &sum);

    assert_int_equal(sum, r == 0 ? 42 : 0);
    return r;
}

vgpu_ring *fixture_open_ring(fixture *f, uint32_t entries)
{
    vgpu_ring *ring = NULL;

    assert_int_equal(vgpu_ring_open(f->dev, entries, LONG_MS, &ring), 0);
    return ring;
}

int fixture_try_ring(fixture *f, uint32_t entries, int timeout_ms)
{
    vgpu_ring *ring = NULL;
    int r = vgpu_ring_open(f->dev, entries, timeout_ms, &ring);

    assert_int_equal(r == 0, ring != NULL);
    vgpu_ring_close(ring);
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

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

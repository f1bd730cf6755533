/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening the ring on devices old and new, memory in its window, and what a caller may do where. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "ring.h"
#include "test-guest-fixture.h"
#include "test.h"

#define WINDOW (UINT64_C(1) << 17)

static int setup(void **state)
{
    return fixture_setup_ring(state, WINDOW);
}

/* ---- Opening ------------------------------------------------------------------- */

static void test_old_device(void **state)
{
    fixture *f = *state;
    vgpu_extension extension = {.version = 77};

    assert_int_equal(vgpu_get_extension(f->dev, &extension), -EOPNOTSUPP);
    assert_int_equal(extension.version, 77);
    assert_int_equal(fixture_try_ring(f, 0, LONG_MS), -EOPNOTSUPP);
    assert_int_equal(f->model.writes, 0);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

static void test_new_device(void **state)
{
    fixture *f = *state;
    vgpu_extension extension;

    assert_int_equal(vgpu_get_extension(f->dev, &extension), 0);
    assert_int_equal(extension.version, 1);
    assert_int_equal(extension.features, 7);
    assert_int_equal(extension.window_size, WINDOW);

    /* A later version has everything that this version has. */
    model_set(&f->model, VGPU_REG_EXT_VERSION, 9);
    assert_int_equal(fixture_try_ring(f, 0, LONG_MS), 0);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

static void test_without_features(void **state)
{
    static const uint32_t features[] = {0, 1, 2, 4, 5, 6, 0xfffffff8};
    fixture *f = *state;
    vgpu_extension extension;

    for (size_t i = 0; i < ELEMENTSOF(features); i++) {
        model_set(&f->model, VGPU_REG_EXT_FEATURES, features[i]);
        assert_int_equal(fixture_try_ring(f, 0, LONG_MS), -EOPNOTSUPP);
        assert_int_equal(vgpu_get_extension(f->dev, &extension), 0);
        assert_int_equal(extension.window_size, features[i] & 1 ? WINDOW : 0);
    }
    model_set(&f->model, VGPU_REG_EXT_FEATURES, 0xffffffff);
    assert_int_equal(fixture_try_ring(f, 0, LONG_MS), 0);
    model_set(&f->model, VGPU_REG_EXT_VERSION, 0);
    assert_int_equal(fixture_try_ring(f, 0, LONG_MS), -EOPNOTSUPP);
}

static void test_entries(void **state)
{
    static const uint32_t bad[] = {1, 2, 3, 5, 12, 1023, 1025, 2048, 0x80000000, UINT32_MAX};
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        assert_int_equal(fixture_try_ring(f, bad[i], LONG_MS), -EINVAL);
    for (uint32_t entries = 4; entries <= 512; entries *= 2)
        assert_int_equal(fixture_try_ring(f, entries, LONG_MS), 0);
    /* 128 + 1024 * 160 bytes do not fit into 128 KiB. */
    assert_int_equal(fixture_try_ring(f, 1024, LONG_MS), -ENOSPC);
}

static void test_impossible_windows(void **state)
{
    static const uint64_t sizes[] = {0, 1, 65535, WINDOW + 1, WINDOW * 2, 1ull << 40, UINT64_MAX};
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        model_set(&f->model, VGPU_REG_WINDOW_SIZE_LO, (uint32_t) sizes[i]);
        model_set(&f->model, VGPU_REG_WINDOW_SIZE_HI, (uint32_t) (sizes[i] >> 32));
        assert_int_equal(fixture_try_ring(f, 4, LONG_MS), -EPROTO);
    }
    model_set(&f->model, VGPU_REG_WINDOW_SIZE_LO, 65536);
    model_set(&f->model, VGPU_REG_WINDOW_SIZE_HI, 0);
    assert_int_equal(fixture_try_ring(f, 256, LONG_MS), 0);
    assert_int_equal(fixture_try_ring(f, 512, LONG_MS), -ENOSPC);
    unlink(fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "resource2"));
    assert_int_equal(fixture_try_ring(f, 4, LONG_MS), -ENOENT);
}

static void test_write_combining_is_preferred(void **state)
{
    fixture *f = *state;
    char from[256];

    snprintf(from, sizeof(from), "%s", fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "resource2"));
    assert_return_code(rename(from, fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "resource2_wc")), 0);
    assert_int_equal(fixture_try_ring(f, 4, LONG_MS), 0);
}

static void test_host_that_refuses(void **state)
{
    fixture *f = *state;

    f->model.ring.start_error = VGPU_ERROR_MEDIATOR_UNAVAILABLE;
    assert_int_equal(fixture_try_ring(f, 0, LONG_MS), VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    f->model.ring.start_error = 0x80000000;
    assert_int_equal(fixture_try_ring(f, 0, LONG_MS), -EPROTO);
    f->model.ring.start_error = 0;
    f->model.ring.start_delay = 50;
    assert_int_equal(fixture_try_ring(f, 0, LONG_MS), 0);
    f->model.ring.start_delay = UINT32_MAX;
    assert_int_equal(fixture_try_ring(f, 0, 1), -ETIMEDOUT);

    /* Neither of the two failures keeps the lock. */
    f->model.ring.start_delay = 0;
    assert_int_equal(fixture_try_ring(f, 0, LONG_MS), 0);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_CTRL), VGPU_RING_OFF);
}

static void test_one_ring_at_a_time(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 0), *second = NULL;
    vgpu_device *other;

    assert_int_equal(fixture_try_ring(f, 0, LONG_MS), -EALREADY);
    assert_int_equal(vgpu_open(&f->sysfs.paths, NULL, &other), 0);
    assert_int_equal(vgpu_ring_open(other, 0, 1, &second), -EBUSY);
    /* Every handle can use the registers. */
    assert_int_equal(vgpu_lock(other, 0), 0);
    vgpu_unlock(other);
    vgpu_ring_close(ring);
    assert_int_equal(vgpu_ring_open(other, 0, LONG_MS, &second), 0);
    vgpu_ring_close(second);
    vgpu_close(other);
}

/* A process that had the ring has died. */
static void test_ring_left_on(void **state)
{
    fixture *f = *state;

    model_set(&f->model, VGPU_REG_RING_ENTRIES, 64);
    model_set(&f->model, VGPU_REG_RING_IRQ_CTRL, 1);
    model_set(&f->model, VGPU_REG_RING_IRQ_STATUS, 1);
    model_set(&f->model, VGPU_REG_RING_CTRL, VGPU_RING_ON);
    f->model.ring.stop_delay = 20;
    assert_int_equal(fixture_try_ring(f, 16, LONG_MS), 0);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_ENTRIES), 16);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_IRQ_CTRL), 0);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_IRQ_STATUS), 0);

    model_set(&f->model, VGPU_REG_RING_CTRL, VGPU_RING_FAILED);
    assert_int_equal(fixture_try_ring(f, 16, LONG_MS), 0);

    model_set(&f->model, VGPU_REG_RING_CTRL, VGPU_RING_ON);
    f->model.ring.stop_delay = UINT32_MAX;
    assert_int_equal(fixture_try_ring(f, 16, 1), -ETIMEDOUT);
}

/* ---- A caller that errs, and callbacks ---------------------------------------------------- */

static void call_everything(vgpu_ring *ring, const vgpu_completion *completion)
{
    int *called = completion->userdata;
    int32_t x[4] = {0};
    vgpu_completion c;
    vgpu_value v;
    vgpu_job job;

    vgpu_job_nop(&job);
    assert_int_equal(vgpu_ring_poll(ring, &c, 1, NULL), -EDEADLK);
    assert_int_equal(vgpu_ring_wait(ring, 1, LONG_MS), -EDEADLK);
    assert_int_equal(vgpu_ring_wait_for(ring, 0, LONG_MS, &c), -EDEADLK);
    assert_int_equal(vgpu_ring_wait_room(ring, LONG_MS), -EDEADLK);
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, &c), -EDEADLK);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, x, x, 4, LONG_MS, x, NULL),
        -EDEADLK);
    assert_int_equal(
        vgpu_compute_reduce(ring, VGPU_OP_RING_SUM, VGPU_INT32, x, NULL, 4, LONG_MS, &v), -EDEADLK);
    assert_int_equal(vgpu_compute_matmul(ring, VGPU_FLOAT32, x, x, 1, 1, 1, LONG_MS, x), -EDEADLK);

    /* A callback may submit. */
    if (++*called < 10) {
        job.callback = call_everything;
        job.userdata = called;
        assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    }
}

static void test_callbacks(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 4);
    int called = 0;
    vgpu_job job;

    vgpu_job_nop(&job);
    job.callback = call_everything;
    job.userdata = &called;
    assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    assert_int_equal(vgpu_ring_wait_for(ring, job.id, LONG_MS, &(vgpu_completion){0}), -ENOENT);
    assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
    assert_int_equal(called, 10);
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, NULL), -EINVAL);
    vgpu_ring_close(ring);
}

static void test_waiting(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    vgpu_completion c = {0};
    vgpu_job jobs[8];
    size_t n;

    f->model.ring.manual = true;
    for (int i = 0; i < 8; i++)
        vgpu_job_nop(&jobs[i]);
    assert_int_equal(vgpu_ring_wait(ring, 1, LONG_MS), 0); /* nothing is outstanding */
    assert_int_equal(vgpu_ring_submit(ring, jobs, 8, NULL), 0);
    assert_int_equal(vgpu_ring_wait(ring, 1, 0), -ETIMEDOUT);
    assert_int_equal(vgpu_ring_wait(ring, 1, 2), -ETIMEDOUT);
    assert_int_equal(vgpu_ring_wait(ring, 0, 0), 0);
    assert_int_equal(vgpu_ring_wait_for(ring, jobs[3].id, 2, &c), -ETIMEDOUT);

    ring_model_take(&f->model);
    for (int i = 0; i < 3; i++)
        ring_model_complete(&f->model, 2);
    /* A request that has ended counts until its completion is taken. */
    assert_int_equal(vgpu_ring_wait(ring, 3, 0), 0);
    assert_int_equal(vgpu_ring_wait(ring, 3, 0), 0);
    assert_int_equal(vgpu_ring_wait(ring, 4, 0), -ETIMEDOUT);
    assert_int_equal(vgpu_ring_wait_for(ring, jobs[3].id, 0, &c), 0);
    assert_int_equal(c.id, jobs[3].id);
    assert_int_equal(vgpu_ring_wait_for(ring, jobs[3].id, 0, &c), -ENOENT);
    assert_int_equal(vgpu_ring_wait(ring, 3, 0), -ETIMEDOUT);
    assert_int_equal(vgpu_ring_poll(ring, &c, 1, &n), 0);
    assert_int_equal(c.id, jobs[2].id);
    assert_int_equal(vgpu_ring_poll(ring, &c, 1, &n), 0);
    assert_int_equal(c.id, jobs[4].id);
    assert_int_equal(vgpu_ring_poll(ring, &c, 1, &n), 0);
    assert_int_equal(n, 0);

    assert_int_equal(vgpu_ring_wait_for(ring, 0, 0, &c), -ENOENT);
    assert_int_equal(vgpu_ring_wait_for(ring, UINT64_MAX, 0, &c), -ENOENT);
    assert_int_equal(vgpu_ring_wait_for(ring, jobs[0].id + (1 << 16), 0, &c), -ENOENT);
    vgpu_ring_close(ring);
}

static void test_window_memory(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 4);
    void *a, *b;
    uint64_t offset, largest = vgpu_window_largest(ring);
    vgpu_job job;

    assert_int_equal(largest, WINDOW - 4096);
    assert_int_equal(vgpu_window_alloc(ring, 0, 0, &a), -EINVAL);
    assert_int_equal(vgpu_window_alloc(ring, 8, 3, &a), -EINVAL);
    assert_int_equal(vgpu_window_alloc(ring, 8, 8192, &a), -EINVAL);
    assert_int_equal(vgpu_window_alloc(ring, WINDOW, 0, &a), -ENOSPC);
    assert_int_equal(vgpu_window_alloc(ring, 8, 0, &a), 0);
    assert_int_equal(vgpu_window_alloc(ring, 8, 4096, &b), 0);
    assert_int_equal((uintptr_t) a % 64, 0);
    assert_int_equal((uintptr_t) b % 4096, 0);
    assert_int_equal(vgpu_window_offset(ring, a, 8, &offset), 0);
    assert_int_equal(offset, 4096);
    assert_int_equal(vgpu_window_offset(ring, b, WINDOW - 8192, &offset), 0);
    assert_int_equal(vgpu_window_offset(ring, b, WINDOW - 8191, &offset), -ERANGE);
    assert_int_equal(vgpu_window_offset(ring, &job, 0, &offset), -ERANGE);
    assert_int_equal(vgpu_window_offset(ring, NULL, 0, &offset), -ERANGE);

    assert_int_equal(vgpu_job_reduce(ring, VGPU_OP_RING_SUM, VGPU_INT32, &job, NULL, 1, &job),
                     -ERANGE);
    assert_int_equal(
        vgpu_job_reduce(ring, VGPU_OP_RING_SUM, VGPU_INT64, (char *) a + 4, NULL, 1, &job),
        -ERANGE);
    assert_int_equal(vgpu_job_reduce(ring, VGPU_OP_RING_SUM, VGPU_INT32, a, NULL, 0, &job),
                     -ERANGE);
    assert_int_equal(vgpu_job_reduce(ring, VGPU_OP_RING_ADD, VGPU_INT32, a, a, 1, &job), -EINVAL);
    assert_int_equal(vgpu_job_vector(ring, VGPU_OP_RING_SUM, VGPU_INT32, 0, a, a, a, 1, &job),
                     -EINVAL);
    assert_int_equal(vgpu_job_vector(ring, VGPU_OP_RING_AXPY, VGPU_INT64, 1, a, a, a, 1, &job),
                     -EINVAL);
    assert_int_equal(vgpu_job_vector(ring, VGPU_OP_RING_ADD, (vgpu_type) 4, 1, a, a, a, 1, &job),
                     -EINVAL);
    assert_int_equal(vgpu_job_matmul(ring, VGPU_INT32, a, a, a, 1, 1, 1, &job), -EINVAL);

    assert_int_equal(vgpu_window_free(ring, (char *) a + 64), -EINVAL);
    assert_int_equal(vgpu_window_free(ring, &job), -EINVAL);
    assert_int_equal(vgpu_window_free(ring, NULL), 0);
    assert_int_equal(vgpu_window_free(ring, a), 0);
    assert_int_equal(vgpu_window_free(ring, a), -EINVAL);
    assert_int_equal(vgpu_window_free(ring, b), 0);
    assert_int_equal(vgpu_window_largest(ring), largest);
    vgpu_ring_close(ring);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_old_device, fixture_setup, fixture_teardown),
        CASE(test_new_device),
        CASE(test_without_features),
        CASE(test_entries),
        CASE(test_impossible_windows),
        CASE(test_write_combining_is_preferred),
        CASE(test_host_that_refuses),
        CASE(test_one_ring_at_a_time),
        CASE(test_ring_left_on),
        CASE(test_callbacks),
        CASE(test_waiting),
        CASE(test_window_memory),
    };

    return cmocka_run_group_tests_name("guest-ring-open", tests, NULL, NULL);
}

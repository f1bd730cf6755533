/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring with an older device, a host that refuses, lies or goes away, and a caller that errs. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "ring.h"
#include "test-guest-fixture.h"

#define WINDOW (UINT64_C(1) << 17)

static int setup(void **state)
{
    fixture *f;

    fixture_setup(state);
    f = *state;
    ring_model_add(&f->model, &f->sysfs, WINDOW);
    return 0;
}

static vgpu_ring *open_ring(fixture *f, uint32_t entries)
{
    vgpu_ring *ring = NULL;

    assert_int_equal(vgpu_ring_open(f->dev, entries, LONG_MS, &ring), 0);
    return ring;
}

static int try_open(fixture *f, uint32_t entries, int timeout_ms)
{
    vgpu_ring *ring = NULL;
    int r = vgpu_ring_open(f->dev, entries, timeout_ms, &ring);

    assert_int_equal(r == 0, ring != NULL);
    vgpu_ring_close(ring);
    return r;
}

/* ---- Opening ------------------------------------------------------------------- */

static void test_old_device(void **state)
{
    fixture *f = *state;
    vgpu_extension extension = {.version = 77};

    assert_int_equal(vgpu_get_extension(f->dev, &extension), -EOPNOTSUPP);
    assert_int_equal(extension.version, 77);
    assert_int_equal(try_open(f, 0, LONG_MS), -EOPNOTSUPP);
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

    /* A later version has all of this one. */
    model_set(&f->model, VGPU_REG_EXT_VERSION, 9);
    assert_int_equal(try_open(f, 0, LONG_MS), 0);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

static void test_without_features(void **state)
{
    static const uint32_t features[] = {0, 1, 2, 4, 5, 6, 0xfffffff8};
    fixture *f = *state;
    vgpu_extension extension;

    for (size_t i = 0; i < ELEMENTSOF(features); i++) {
        model_set(&f->model, VGPU_REG_EXT_FEATURES, features[i]);
        assert_int_equal(try_open(f, 0, LONG_MS), -EOPNOTSUPP);
        assert_int_equal(vgpu_get_extension(f->dev, &extension), 0);
        assert_int_equal(extension.window_size, features[i] & 1 ? WINDOW : 0);
    }
    model_set(&f->model, VGPU_REG_EXT_FEATURES, 0xffffffff);
    assert_int_equal(try_open(f, 0, LONG_MS), 0);
    model_set(&f->model, VGPU_REG_EXT_VERSION, 0);
    assert_int_equal(try_open(f, 0, LONG_MS), -EOPNOTSUPP);
}

static void test_entries(void **state)
{
    static const uint32_t bad[] = {1, 2, 3, 5, 12, 1023, 1025, 2048, 0x80000000, UINT32_MAX};
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        assert_int_equal(try_open(f, bad[i], LONG_MS), -EINVAL);
    for (uint32_t entries = 4; entries <= 512; entries *= 2)
        assert_int_equal(try_open(f, entries, LONG_MS), 0);
    /* 128 + 1024 * 160 bytes do not fit into 128 KiB. */
    assert_int_equal(try_open(f, 1024, LONG_MS), -ENOSPC);
}

static void test_impossible_windows(void **state)
{
    static const uint64_t sizes[] = {0, 1, 65535, WINDOW + 1, WINDOW * 2, 1ull << 40, UINT64_MAX};
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        model_set(&f->model, VGPU_REG_WINDOW_SIZE_LO, (uint32_t) sizes[i]);
        model_set(&f->model, VGPU_REG_WINDOW_SIZE_HI, (uint32_t) (sizes[i] >> 32));
        assert_int_equal(try_open(f, 4, LONG_MS), -EPROTO);
    }
    model_set(&f->model, VGPU_REG_WINDOW_SIZE_LO, 65536);
    model_set(&f->model, VGPU_REG_WINDOW_SIZE_HI, 0);
    assert_int_equal(try_open(f, 256, LONG_MS), 0);
    assert_int_equal(try_open(f, 512, LONG_MS), -ENOSPC);
    unlink(fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "resource2"));
    assert_int_equal(try_open(f, 4, LONG_MS), -ENOENT);
}

static void test_write_combining_is_preferred(void **state)
{
    fixture *f = *state;
    char from[256];

    snprintf(from, sizeof(from), "%s", fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "resource2"));
    assert_return_code(rename(from, fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "resource2_wc")), 0);
    assert_int_equal(try_open(f, 4, LONG_MS), 0);
}

static void test_host_that_refuses(void **state)
{
    fixture *f = *state;

    f->model.ring.start_error = VGPU_ERROR_MEDIATOR_UNAVAILABLE;
    assert_int_equal(try_open(f, 0, LONG_MS), VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    f->model.ring.start_error = 0x80000000;
    assert_int_equal(try_open(f, 0, LONG_MS), -EPROTO);
    f->model.ring.start_error = 0;
    f->model.ring.start_delay = 50;
    assert_int_equal(try_open(f, 0, LONG_MS), 0);
    f->model.ring.start_delay = UINT32_MAX;
    assert_int_equal(try_open(f, 0, 1), -ETIMEDOUT);

    /* Neither keeps the lock. */
    f->model.ring.start_delay = 0;
    assert_int_equal(try_open(f, 0, LONG_MS), 0);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_CTRL), VGPU_RING_OFF);
}

static void test_one_ring_at_a_time(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = open_ring(f, 0), *second = NULL;
    vgpu_device *other;

    assert_int_equal(try_open(f, 0, LONG_MS), -EALREADY);
    assert_int_equal(vgpu_open(&f->sysfs.paths, NULL, &other), 0);
    assert_int_equal(vgpu_ring_open(other, 0, 1, &second), -EBUSY);
    /* The registers are for everybody. */
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
    assert_int_equal(try_open(f, 16, LONG_MS), 0);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_ENTRIES), 16);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_IRQ_CTRL), 0);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_IRQ_STATUS), 0);

    model_set(&f->model, VGPU_REG_RING_CTRL, VGPU_RING_FAILED);
    assert_int_equal(try_open(f, 16, LONG_MS), 0);

    model_set(&f->model, VGPU_REG_RING_CTRL, VGPU_RING_ON);
    f->model.ring.stop_delay = UINT32_MAX;
    assert_int_equal(try_open(f, 16, 1), -ETIMEDOUT);
}

/* ---- A ring that ends -------------------------------------------------------------- */

typedef struct ending {
    int called;
    int result;
} ending;

static void note_ending(vgpu_ring *ring, const vgpu_completion *completion)
{
    ending *e = completion->userdata;

    (void) ring;
    e->called++;
    e->result = completion->result;
}

/* Five outstanding, one of them with a callback. */
static vgpu_ring *open_with_five(fixture *f, ending *e)
{
    vgpu_ring *ring = open_ring(f, 8);
    vgpu_job jobs[5];

    f->model.ring.manual = true;
    for (int i = 0; i < 5; i++)
        vgpu_job_nop(&jobs[i]);
    jobs[2].callback = note_ending;
    jobs[2].userdata = e;
    assert_int_equal(vgpu_ring_submit(ring, jobs, 5, NULL), 0);
    assert_int_equal(ring_model_take(&f->model), 5);
    return ring;
}

/* All of them, once, with @result; and nothing goes any more. */
static void expect_end(vgpu_ring *ring, const ending *e, int result)
{
    vgpu_completion completions[8];
    vgpu_job job;
    size_t n;

    assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
    assert_int_equal(vgpu_ring_poll(ring, completions, 8, &n), 0);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(completions[i].result, result);
    assert_int_equal(e->called, 1);
    assert_int_equal(e->result, result);
    assert_int_equal(vgpu_ring_get_outstanding(ring), 0);

    vgpu_job_nop(&job);
    assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), result);
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, NULL), result);
    assert_int_equal(vgpu_ring_wait_room(ring, LONG_MS), result);
    vgpu_ring_close(ring);
    assert_int_equal(e->called, 1);
}

static void test_reset_under_us(void **state)
{
    fixture *f = *state;
    ending e = {0};
    vgpu_ring *ring = open_with_five(f, &e);

    model_reset(&f->model);
    expect_end(ring, &e, -ECONNRESET);
    f->model.ring.manual = false;
    assert_int_equal(try_open(f, 8, LONG_MS), 0);
}

static void test_host_ends_the_ring(void **state)
{
    fixture *f = *state;
    ending e = {0};
    vgpu_ring *ring = open_with_five(f, &e);

    ring_model_fail(&f->model, VGPU_ERROR_VM_QUARANTINED);
    expect_end(ring, &e, VGPU_ERROR_VM_QUARANTINED);
}

static void test_states_that_end_a_ring(void **state)
{
    static const struct {
        uint32_t ctrl, error;
        int result;
    } cases[] = {
        {VGPU_RING_STOPPING, 0, -ECONNRESET},
        {VGPU_RING_FAILED, 0, -EPROTO},
        {VGPU_RING_FAILED, 99, 99},
        {VGPU_RING_FAILED, 0x80000000, -EPROTO},
        {5, 0, -EPROTO},
        {UINT32_MAX, UINT32_MAX, -ENODEV},
    };
    fixture *f = *state;

    f->model.ring.stop_delay = 0;
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        ending e = {0};
        vgpu_ring *ring = open_with_five(f, &e);

        f->model.ring.delay = cases[i].ctrl == VGPU_RING_STOPPING ? 1 : 0;
        model_set(&f->model, VGPU_REG_RING_CTRL, cases[i].ctrl);
        model_set(&f->model, VGPU_REG_RING_ERROR, cases[i].error);
        expect_end(ring, &e, cases[i].result);
        ring_model_reset(&f->model);
    }
}

static void complete_two_and_fail(model *m)
{
    ring_model_complete(m, 4);
    ring_model_complete(m, 2);
    ring_model_fail(m, VGPU_ERROR_TIMEOUT);
    m->ring.before_check = NULL;
}

/* What was complete before the ring ended is so. */
static void test_completions_before_the_end(void **state)
{
    fixture *f = *state;
    ending e = {0};
    vgpu_ring *ring = open_with_five(f, &e);
    vgpu_completion completions[8];
    size_t n;

    f->model.ring.before_check = complete_two_and_fail;
    assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
    assert_int_equal(vgpu_ring_poll(ring, completions, 8, &n), 0);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(completions[i].result, i == 0 ? 0 : VGPU_ERROR_TIMEOUT);
    assert_int_equal(e.result, 0);
    vgpu_ring_close(ring);
}

static void test_close_with_requests_outstanding(void **state)
{
    fixture *f = *state;
    ending e = {0};
    vgpu_ring *ring = open_with_five(f, &e);

    f->model.ring.stop_delay = 5;
    vgpu_ring_close(ring);
    assert_int_equal(e.called, 1);
    assert_int_equal(e.result, -ECANCELED);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_CTRL), VGPU_RING_OFF);
    assert_null(vgpu_ring_close(NULL));
}

/* ---- A hostile host ------------------------------------------------------------------- */

static void poke_cq_tail(fixture *f, uint32_t by)
{
    ring_model_header(&f->model)->cq_tail += by;
}

static void test_cq_tail_that_jumps(void **state)
{
    static const uint32_t jumps[] = {9, 10, 1000, 0x7fffffff, 0x80000000, UINT32_MAX};
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(jumps); i++) {
        ending e = {0};
        vgpu_ring *ring = open_with_five(f, &e);

        poke_cq_tail(f, jumps[i]);
        expect_end(ring, &e, -EPROTO);
        assert_int_equal(model_get(&f->model, VGPU_REG_RING_CTRL), VGPU_RING_OFF);
    }
}

/* More completions than requests: what lies behind the last one is not taken for one. */
static void test_completions_of_nothing(void **state)
{
    fixture *f = *state;

    for (uint32_t extra = 1; extra <= 3; extra++) {
        ending e = {0};
        vgpu_ring *ring = open_with_five(f, &e);

        poke_cq_tail(f, extra);
        expect_end(ring, &e, -EPROTO);
    }

    /* Also when none is outstanding, which is seen at the next occasion. */
    f->model.ring.manual = false;
    vgpu_ring *ring = open_ring(f, 4);
    vgpu_job job;

    vgpu_job_nop(&job);
    poke_cq_tail(f, 1);
    assert_int_equal(vgpu_ring_poll(ring, NULL, 0, NULL), 0);
    assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), -EPROTO);
    vgpu_ring_close(ring);
}

static uint64_t tag_to_write;

static void write_tag(model *m, VGPUCompletion *c)
{
    (void) m;
    c->tag = tag_to_write;
}

static void test_unknown_tags(void **state)
{
    fixture *f = *state;

    for (int i = 0; i < 5; i++) {
        ending e = {0};
        vgpu_ring *ring = open_with_five(f, &e);
        uint64_t first = ring_model_submission(&f->model, 0)->tag;
        const uint64_t tags[] = {0, UINT64_MAX, first + 8, first ^ (UINT64_C(1) << 63), 1023};

        tag_to_write = tags[i];
        f->model.ring.lie = write_tag;
        ring_model_complete(&f->model, 0);
        expect_end(ring, &e, -EPROTO);
    }
}

static void test_tag_twice(void **state)
{
    fixture *f = *state;
    ending e = {0};
    vgpu_ring *ring = open_with_five(f, &e);
    vgpu_completion completions[8];
    size_t n;

    tag_to_write = ring_model_submission(&f->model, 0)->tag;
    f->model.ring.lie = write_tag;
    ring_model_complete(&f->model, 0);
    ring_model_complete(&f->model, 0);
    assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
    assert_int_equal(vgpu_ring_poll(ring, completions, 8, &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(completions[0].result, 0);
    for (size_t i = 1; i < n; i++)
        assert_int_equal(completions[i].result, -EPROTO);
    assert_int_equal(e.result, -EPROTO);
    vgpu_ring_close(ring);
}

/* The tag of a request whose slot another has by now. */
static void test_tag_of_an_earlier_request(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = open_ring(f, 4);
    vgpu_job job;

    vgpu_job_nop(&job);
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, NULL), 0);
    tag_to_write = job.id;
    f->model.ring.lie = write_tag;
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, NULL), -EPROTO);
    assert_int_not_equal(job.id, tag_to_write);
    vgpu_ring_close(ring);
}

static uint32_t status_to_write;

static void write_status(model *m, VGPUCompletion *c)
{
    (void) m;
    c->status = status_to_write;
    c->cuda_result = 700;
}

static void test_statuses(void **state)
{
    static const struct {
        uint32_t status;
        int result;
    } cases[] = {
        {VGPU_ERROR_NONE, 0},  {VGPU_ERROR_CUDA_ERROR, VGPU_ERROR_CUDA_ERROR},
        {0x0c, 0x0c},          {INT_MAX, INT_MAX},
        {0x80000000, -EPROTO}, {UINT32_MAX, -EPROTO},
    };
    fixture *f = *state;
    vgpu_ring *ring = open_ring(f, 4);
    vgpu_completion c;
    vgpu_job job;

    f->model.ring.lie = write_status;
    vgpu_job_nop(&job);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        status_to_write = cases[i].status;
        assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, &c), cases[i].result);
        assert_int_equal(c.result, cases[i].result);
        assert_int_equal(c.cuda_result, 700);
    }
    vgpu_ring_close(ring);
}

static void test_sq_head_that_jumps(void **state)
{
    static const uint32_t heads[] = {9, 0x7fffffff, 0x80000000, UINT32_MAX};
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(heads); i++) {
        ending e = {0};
        vgpu_ring *ring = open_with_five(f, &e);
        vgpu_job jobs[4];

        for (int j = 0; j < 4; j++)
            vgpu_job_nop(&jobs[j]);
        assert_int_equal(vgpu_ring_submit(ring, jobs, 3, NULL), 0);
        ring_model_take(&f->model);
        ring_model_header(&f->model)->sq_head = heads[i];
        ring_model_finish(&f->model, 7);
        assert_int_equal(vgpu_ring_poll(ring, NULL, 0, NULL), 0);
        ring_model_header(&f->model)->sq_head = heads[i];
        /* All slots but the one that has ended and was not taken are in use. */
        assert_int_equal(vgpu_ring_submit(ring, jobs, 1, NULL), -EAGAIN);
        assert_int_equal(vgpu_ring_wait_for(ring, jobs[2].id, LONG_MS, &(vgpu_completion){0}), 0);
        assert_int_equal(vgpu_ring_submit(ring, jobs, 1, NULL), -EPROTO);
        vgpu_ring_close(ring);
        assert_int_equal(e.result, -EPROTO);
    }
}

/* All that it reads of the header at random: never a crash, a hang, or an answer twice. */
static void test_garbage_in_the_header(void **state)
{
    fixture *f = *state;
    uint32_t random = 7;

    f->model.ring.manual = true;
    for (int i = 0; i < 2000; i++) {
        vgpu_ring *ring = open_ring(f, 4);
        VGPURingHeader *h = ring_model_header(&f->model);
        vgpu_completion completions[4];
        vgpu_job jobs[4];
        size_t taken = 0;

        for (int j = 0; j < 4; j++)
            vgpu_job_nop(&jobs[j]);
        assert_int_equal(vgpu_ring_submit(ring, jobs, 4, NULL), 0);
        for (int j = 0; j < 8; j++) {
            size_t n;

            random = random * 1664525u + 1013904223u;
            h->cq_tail = random >> 28;
            h->sq_head = random >> 20 & 15;
            h->sq_event = random;
            ring_model_completion(&f->model, random >> 4 & 3)->tag = jobs[random >> 6 & 3].id;
            assert_int_equal(vgpu_ring_poll(ring, completions, 4, &n), 0);
            taken += n;
            assert_true(taken <= 4);
        }
        vgpu_ring_close(ring);
    }
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

    /* Submitting is what a callback is for. */
    if (++*called < 10) {
        job.callback = call_everything;
        job.userdata = called;
        assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    }
}

static void test_callbacks(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = open_ring(f, 4);
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
    vgpu_ring *ring = open_ring(f, 8);
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
    /* What has ended counts until it is taken. */
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
    vgpu_ring *ring = open_ring(f, 4);
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
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_old_device, fixture_setup, fixture_teardown),
        TEST(test_new_device),
        TEST(test_without_features),
        TEST(test_entries),
        TEST(test_impossible_windows),
        TEST(test_write_combining_is_preferred),
        TEST(test_host_that_refuses),
        TEST(test_one_ring_at_a_time),
        TEST(test_ring_left_on),
        TEST(test_reset_under_us),
        TEST(test_host_ends_the_ring),
        TEST(test_states_that_end_a_ring),
        TEST(test_completions_before_the_end),
        TEST(test_close_with_requests_outstanding),
        TEST(test_cq_tail_that_jumps),
        TEST(test_completions_of_nothing),
        TEST(test_unknown_tags),
        TEST(test_tag_twice),
        TEST(test_tag_of_an_earlier_request),
        TEST(test_statuses),
        TEST(test_sq_head_that_jumps),
        TEST(test_garbage_in_the_header),
        TEST(test_callbacks),
        TEST(test_waiting),
        TEST(test_window_memory),
    };

    return cmocka_run_group_tests_name("guest-ring-faults", tests, NULL, NULL);
}

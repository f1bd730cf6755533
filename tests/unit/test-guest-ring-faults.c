/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring with a host that refuses, lies or goes away. */
#include <errno.h>
#include <limits.h>
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

/* Returns a ring with five outstanding requests, of which one has a callback. */
static vgpu_ring *open_with_five(fixture *f, ending *e)
{
    vgpu_ring *ring = fixture_open_ring(f, 8);
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

/* Each request ends once, with @result, and the ring accepts no more. */
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
    assert_int_equal(fixture_try_ring(f, 8, LONG_MS), 0);
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

/* A request that was complete before the ring ended is complete. */
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

/* A PCI slot without a device reads as ones, or as zeros: the window and the registers alike. */
static void test_device_unplugged(void **state)
{
    static const unsigned char bytes[] = {0xff, 0};
    fixture *f = *state;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t word = bytes[i % 2] * 0x01010101u;
        ending e = {0};
        vgpu_ring *ring = open_with_five(f, &e);

        model_set(&f->model, VGPU_REG_RING_CTRL, word);
        model_set(&f->model, VGPU_REG_EXT_MAGIC, word);
        if (i < 2) /* otherwise the library looks at the registers first */
            memset(ring_model_header(&f->model), bytes[i], sizeof(VGPURingHeader));
        expect_end(ring, &e, -ENODEV);
        model_set(&f->model, VGPU_REG_EXT_MAGIC, VGPU_EXT_MAGIC);
        ring_model_reset(&f->model);
    }
}

/* There are more completions than requests: the library does not take what lies behind the last one
 * for a completion. */
static void test_completions_of_nothing(void **state)
{
    fixture *f = *state;

    for (uint32_t extra = 1; extra <= 3; extra++) {
        ending e = {0};
        vgpu_ring *ring = open_with_five(f, &e);

        poke_cq_tail(f, extra);
        expect_end(ring, &e, -EPROTO);
    }

    /* The same when no request is outstanding: the library sees it at the next occasion. */
    f->model.ring.manual = false;
    vgpu_ring *ring = fixture_open_ring(f, 4);
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

/* The tag is that of a request whose slot another request has by now. */
static void test_tag_of_an_earlier_request(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 4);
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
    vgpu_ring *ring = fixture_open_ring(f, 4);
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
        /* One request has ended, and nobody has taken its completion: so all slots are in use. */
        assert_int_equal(vgpu_ring_submit(ring, jobs, 1, NULL), -EAGAIN);
        assert_int_equal(vgpu_ring_wait_for(ring, jobs[2].id, LONG_MS, &(vgpu_completion){0}), 0);
        assert_int_equal(vgpu_ring_submit(ring, jobs, 1, NULL), -EPROTO);
        vgpu_ring_close(ring);
        assert_int_equal(e.result, -EPROTO);
    }
}

/* Everything that the library reads in the header is random. It never crashes or hangs, and hands
 * over no answer twice. */
static void test_garbage_in_the_header(void **state)
{
    fixture *f = *state;
    uint32_t random = 7;

    f->model.ring.manual = true;
    for (int i = 0; i < 2000; i++) {
        vgpu_ring *ring = fixture_open_ring(f, 4);
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

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_reset_under_us),
        CASE(test_host_ends_the_ring),
        CASE(test_states_that_end_a_ring),
        CASE(test_completions_before_the_end),
        CASE(test_close_with_requests_outstanding),
        CASE(test_cq_tail_that_jumps),
        CASE(test_device_unplugged),
        CASE(test_completions_of_nothing),
        CASE(test_unknown_tags),
        CASE(test_tag_twice),
        CASE(test_tag_of_an_earlier_request),
        CASE(test_statuses),
        CASE(test_sq_head_that_jumps),
        CASE(test_garbage_in_the_header),
    };

    return cmocka_run_group_tests_name("guest-ring-faults", tests, NULL, NULL);
}

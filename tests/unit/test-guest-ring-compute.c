/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Vectors and matrices of ordinary memory through a window that is smaller, and requests with
 * strides. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "ring.h"
#include "test-guest-compute.h"
#include "test-guest-fixture.h"
#include "test.h"

#define WINDOW_SMALL VGPU_WINDOW_SIZE_MIN
#define WINDOW_LARGE (UINT64_C(8) << 20)

static int setup_small(void **state)
{
    return fixture_setup_ring(state, WINDOW_SMALL);
}

static int setup_large(void **state)
{
    return fixture_setup_ring(state, WINDOW_LARGE);
}

/* Every type can hold these numbers, and their sum is exact in any order. */
static void fill(vgpu_type type, void *vector, size_t n, int seed)
{
    for (size_t i = 0; i < n; i++) {
        int value = (int) ((i * 7 + (size_t) seed * 13) % 31) - 15;

        switch (type) {
        case VGPU_INT32:
            ((int32_t *) vector)[i] = value;
            break;
        case VGPU_INT64:
            ((int64_t *) vector)[i] = value * INT64_C(0x100000001);
            break;
        case VGPU_FLOAT32:
            ((float *) vector)[i] = (float) value * 0.5f;
            break;
        case VGPU_FLOAT64:
            ((double *) vector)[i] = value * 0.25;
            break;
        }
    }
}

/* The same result from the model's arithmetic, without a window. */
static uint64_t expected(uint32_t opcode, vgpu_type type, const void *a, const void *b, size_t n,
                         void *c)
{
    size_t bytes = n * vgpu_type_size(type);
    CLEANUP_FREE uint8_t *memory = malloc(3 * bytes);
    const VGPUSubmission s = {
        .opcode = opcode,
        .type = type,
        .count = n,
        .scalar = -1.5,
        .a = {0, 1, 0},
        .b = {bytes, 1, 0},
        .c = {2 * bytes, 1, 0},
    };
    uint64_t bits;

    memcpy(memory, a, bytes);
    memcpy(memory + bytes, b, bytes);
    bits = compute(&s, memory);
    if (c)
        memcpy(c, memory + 2 * bytes, bytes);
    return bits;
}

static void check_lengths(fixture *f, vgpu_type type, const size_t *lengths, size_t n_lengths)
{
    static const uint32_t vectors[] = {VGPU_OP_RING_ADD, VGPU_OP_RING_MUL, VGPU_OP_RING_AXPY};
    static const uint32_t reductions[] = {VGPU_OP_RING_DOT, VGPU_OP_RING_SUM, VGPU_OP_RING_MIN,
                                          VGPU_OP_RING_MAX};
    static double a[200000], b[200000], c[200000], wanted[200000];
    vgpu_ring *ring = fixture_open_ring(f, 8);
    uint64_t free_before = vgpu_window_largest(ring);
    bool floating = type == VGPU_FLOAT32 || type == VGPU_FLOAT64;

    fill(type, a, ELEMENTSOF(a), 1);
    fill(type, b, ELEMENTSOF(b), 2);
    for (size_t i = 0; i < n_lengths; i++) {
        size_t n = lengths[i], done = 0;

        for (size_t op = 0; op < (floating ? 3 : 2); op++) {
            memset(c, 0x55, sizeof(c));
            expected(vectors[op], type, a, b, n, wanted);
            assert_int_equal(
                vgpu_compute_vector(ring, vectors[op], type, -1.5, a, b, n, LONG_MS, c, &done), 0);
            assert_int_equal(done, n);
            assert_memory_equal(c, wanted, n * vgpu_type_size(type));
            assert_int_equal(((uint8_t *) c)[n * vgpu_type_size(type)], 0x55);
        }
        for (size_t op = 0; op < ELEMENTSOF(reductions); op++) {
            vgpu_value value = {.bits = 0};

            assert_int_equal(
                vgpu_compute_reduce(ring, reductions[op], type, a, b, n, LONG_MS, &value), 0);
            assert_int_equal(value.bits, expected(reductions[op], type, a, b, n, NULL));
        }
    }
    assert_int_equal(vgpu_window_largest(ring), free_before);
    vgpu_ring_close(ring);
}

static void test_small_window(void **state)
{
    static const size_t lengths[] = {1, 15, 16, 17, 639, 640, 641, 10000, 199999};
    fixture *f = *state;

    for (unsigned int type = 0; type < VGPU_N_TYPES; type++)
        check_lengths(f, (vgpu_type) type, lengths, ELEMENTSOF(lengths));
}

/* Pieces of 256 KiB: 65536 or 32768 elements. */
static void test_large_window(void **state)
{
    static const size_t lengths[] = {32767, 32768, 32769, 65536, 65537, 131073, 199999};
    fixture *f = *state;

    f->model.ring.backwards = true;
    for (unsigned int type = 0; type < VGPU_N_TYPES; type++)
        check_lengths(f, (vgpu_type) type, lengths, ELEMENTSOF(lengths));
}

static void test_in_place(void **state)
{
    static int32_t a[50000], b[50000], wanted[50000];
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);

    fill(VGPU_INT32, a, 50000, 1);
    fill(VGPU_INT32, b, 50000, 2);
    expected(VGPU_OP_RING_ADD, VGPU_INT32, a, b, 50000, wanted);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, a, b, 50000, LONG_MS, b, NULL),
        0);
    assert_memory_equal(b, wanted, sizeof(wanted));
    vgpu_ring_close(ring);
}

static void test_integers_wrap(void **state)
{
    static int32_t a[60000];
    static int64_t b[60000];
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    vgpu_value v;

    for (int i = 0; i < 60000; i++) {
        a[i] = INT32_MAX;
        b[i] = INT64_MAX;
    }
    assert_int_equal(
        vgpu_compute_reduce(ring, VGPU_OP_RING_SUM, VGPU_INT32, a, NULL, 60000, LONG_MS, &v), 0);
    assert_int_equal(v.int32, -60000);
    assert_int_equal(
        vgpu_compute_reduce(ring, VGPU_OP_RING_SUM, VGPU_INT64, b, NULL, 60000, LONG_MS, &v), 0);
    assert_int_equal(v.int64, -60000);
    vgpu_ring_close(ring);
}

/* NaN is in any piece, and the two zeros are in different pieces. */
static void test_extremes_of_floats(void **state)
{
    static double a[60000];
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    static const size_t places[] = {0, 30000, 59999};
    vgpu_value v;

    for (size_t i = 0; i < ELEMENTSOF(places); i++) {
        memset(a, 0, sizeof(a));
        a[places[i]] = -0.0;
        assert_int_equal(
            vgpu_compute_reduce(ring, VGPU_OP_RING_MIN, VGPU_FLOAT64, a, NULL, 60000, LONG_MS, &v),
            0);
        assert_true(v.float64 == 0 && signbit(v.float64));
        assert_int_equal(
            vgpu_compute_reduce(ring, VGPU_OP_RING_MAX, VGPU_FLOAT64, a, NULL, 60000, LONG_MS, &v),
            0);
        assert_true(v.float64 == 0 && !signbit(v.float64));
        a[places[i]] = (double) NAN;
        assert_int_equal(
            vgpu_compute_reduce(ring, VGPU_OP_RING_MIN, VGPU_FLOAT64, a, NULL, 60000, LONG_MS, &v),
            0);
        assert_true(isnan(v.float64));
        assert_int_equal(
            vgpu_compute_reduce(ring, VGPU_OP_RING_MAX, VGPU_FLOAT64, a, NULL, 60000, LONG_MS, &v),
            0);
        assert_true(isnan(v.float64));
    }
    vgpu_ring_close(ring);
}

static void check_matmul(vgpu_ring *ring, vgpu_type type, size_t m, size_t n, size_t k)
{
    static double a[40000], b[40000], c[40000], wanted[40000];
    size_t size = vgpu_type_size(type);
    CLEANUP_FREE uint8_t *memory = malloc((m * k + k * n + m * n) * size);
    const VGPUSubmission s = {
        .opcode = VGPU_OP_RING_MATMUL,
        .type = type,
        .count = m,
        .n = (uint32_t) n,
        .k = (uint32_t) k,
        .a = {0, (uint32_t) k, 0},
        .b = {m * k * size, (uint32_t) n, 0},
        .c = {(m * k + k * n) * size, (uint32_t) n, 0},
    };

    fill(type, a, m * k, 3);
    fill(type, b, k * n, 4);
    memcpy(memory, a, m * k * size);
    memcpy(memory + s.b.offset, b, k * n * size);
    compute(&s, memory);
    memcpy(wanted, memory + s.c.offset, m * n * size);
    memset(c, 0x55, sizeof(c));
    assert_int_equal(vgpu_compute_matmul(ring, type, a, b, m, n, k, LONG_MS, c), 0);
    assert_memory_equal(c, wanted, m * n * size);
    assert_int_equal(((uint8_t *) c)[m * n * size], 0x55);
}

static void test_matmul(void **state)
{
    static const size_t shapes[][3] = {
        {1, 1, 1},    {3, 5, 7},    {7, 1, 9},     {1, 7, 9},     {64, 64, 64},  {120, 130, 110},
        {9, 2, 3000}, {2, 9, 3000}, {1000, 35, 3}, {35, 1000, 3}, {190, 200, 1},
    };
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    uint64_t free_before = vgpu_window_largest(ring);
    double x[8] = {0};

    for (size_t i = 0; i < ELEMENTSOF(shapes); i++)
        for (unsigned int type = VGPU_FLOAT32; type <= VGPU_FLOAT64; type++)
            check_matmul(ring, (vgpu_type) type, shapes[i][0], shapes[i][1], shapes[i][2]);
    assert_int_equal(vgpu_window_largest(ring), free_before);

    /* When the window cannot hold a row and a column at the same time, nothing is touched. */
    assert_int_equal(vgpu_compute_matmul(ring, VGPU_FLOAT64, x, x, 1, 1, WINDOW_LARGE, LONG_MS, x),
                     -ENOSPC);
    assert_int_equal(vgpu_compute_matmul(ring, VGPU_FLOAT64, x, x, 1, 1, SIZE_MAX, LONG_MS, x),
                     -ENOSPC);
    assert_int_equal(vgpu_compute_matmul(ring, VGPU_FLOAT64, x, x, 0, 1, 1, LONG_MS, x), -ERANGE);
    assert_int_equal(vgpu_compute_matmul(ring, VGPU_INT64, x, x, 1, 1, 1, LONG_MS, x), -EINVAL);
    vgpu_ring_close(ring);
}

/* ---- Strides ---------------------------------------------------------------------- */

static void test_strides(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    double *memory;
    vgpu_completion c;
    vgpu_job job;

    assert_int_equal(vgpu_window_alloc(ring, 4096 * 8, 0, (void **) &memory), 0);
    for (int i = 0; i < 4096; i++)
        memory[i] = i;
    assert_int_equal(vgpu_job_vector(ring, VGPU_OP_RING_AXPY, VGPU_FLOAT64, 2, memory,
                                     memory + 1000, memory + 3000, 10, &job),
                     0);
    job.submission.a.stride = 3;
    job.submission.b.stride = 5;
    job.submission.c.stride = 2;
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, &c), 0);
    for (int i = 0; i < 20; i++)
        assert_true(memory[3000 + i] ==
                    (i % 2 == 0 ? 2.0 * (i / 2 * 3) + 1000 + i / 2 * 5 : 3000 + i));

    /* The second column of a matrix of two. */
    assert_int_equal(
        vgpu_job_reduce(ring, VGPU_OP_RING_SUM, VGPU_FLOAT64, memory + 1, NULL, 4, &job), 0);
    job.submission.a.stride = 2;
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, &c), 0);
    assert_true(c.value.float64 == 1 + 3 + 5 + 7);

    job.submission.a.stride = 0;
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, &c), VGPU_ERROR_INVALID_REQUEST);
    job.submission.a.stride = UINT32_MAX;
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, &c), VGPU_ERROR_INVALID_REQUEST);
    job.submission.opcode = 0x02ff;
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, &c), VGPU_ERROR_UNSUPPORTED_OP);
    vgpu_ring_close(ring);
}

/* ---- When something goes wrong ------------------------------------------------------- */

static void turn_away_twice_of_three(model *m, VGPUCompletion *c)
{
    if (++m->number % 3 != 0)
        c->status = m->number % 2 == 0 ? VGPU_ERROR_QUEUE_FULL : VGPU_ERROR_RATE_LIMITED;
}

static void test_host_that_turns_away(void **state)
{
    static int32_t a[20000], wanted[20000];
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    size_t done;

    f->model.ring.lie = turn_away_twice_of_three;
    fill(VGPU_INT32, a, 20000, 1);
    expected(VGPU_OP_RING_ADD, VGPU_INT32, a, a, 20000, wanted);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, a, a, 20000, LONG_MS, a, &done),
        0);
    assert_int_equal(done, 20000);
    assert_memory_equal(a, wanted, sizeof(a));
    vgpu_ring_close(ring);
}

static void fail_the_fifth(model *m, VGPUCompletion *c)
{
    if (++m->number == 5)
        c->status = VGPU_ERROR_CUDA_ERROR;
}

static void test_piece_that_fails(void **state)
{
    static int32_t a[40000], c[40000], wanted[40000];
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    uint64_t free_before = vgpu_window_largest(ring);
    size_t done;

    f->model.ring.lie = fail_the_fifth;
    fill(VGPU_INT32, a, 40000, 1);
    expected(VGPU_OP_RING_ADD, VGPU_INT32, a, a, 40000, wanted);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, a, a, 40000, LONG_MS, c, &done),
        VGPU_ERROR_CUDA_ERROR);
    assert_true(done > 0 && done < 40000);
    assert_memory_equal(c, wanted, done * 4);
    assert_int_equal(c[done], 0);
    assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
    assert_int_equal(vgpu_window_largest(ring), free_before);
    vgpu_ring_close(ring);
}

/* Nobody else gets the memory of a request that the host still has. */
static void test_timeout(void **state)
{
    static int32_t a[40000];
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    uint64_t free_before = vgpu_window_largest(ring);
    size_t done = 1;

    f->model.ring.manual = true;
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, a, a, 40000, 1, a, &done),
        -ETIMEDOUT);
    assert_int_equal(done, 0);
    assert_true(vgpu_window_largest(ring) < free_before / 4);
    assert_int_equal(vgpu_ring_get_outstanding(ring), 4);
    ring_model_run(&f->model);
    assert_int_equal(vgpu_ring_poll(ring, NULL, 0, NULL), 0);
    assert_int_equal(vgpu_window_largest(ring), free_before);

    /* Closing a ring frees the memory that was left to the host. */
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, a, a, 40000, 1, a, NULL),
        -ETIMEDOUT);
    vgpu_ring_close(ring);
}

static void test_no_room(void **state)
{
    static int32_t a[4];
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    vgpu_completion completions[8];
    vgpu_job jobs[8];
    void *all;

    /* The window is full. */
    assert_int_equal(vgpu_window_alloc(ring, vgpu_window_largest(ring), 0, &all), 0);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, a, a, 4, LONG_MS, a, NULL),
        -ENOSPC);
    assert_int_equal(vgpu_window_free(ring, all), 0);

    /* The ring is full of completions that the caller has not taken. */
    for (int i = 0; i < 8; i++)
        vgpu_job_nop(&jobs[i]);
    assert_int_equal(vgpu_ring_submit(ring, jobs, 8, NULL), 0);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, a, a, 4, LONG_MS, a, NULL),
        -EAGAIN);
    assert_int_equal(vgpu_ring_poll(ring, completions, 8, NULL), 0);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, a, a, 4, LONG_MS, a, NULL), 0);
    vgpu_ring_close(ring);
}

static void test_arguments(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = fixture_open_ring(f, 8);
    double x[4] = {0};
    size_t done = 9;
    vgpu_value v;

    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_AXPY, VGPU_INT32, 0, x, x, 4, LONG_MS, x, &done),
        -EINVAL);
    assert_int_equal(done, 0);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_MATMUL, VGPU_FLOAT32, 0, x, x, 4, LONG_MS, x, NULL),
        -EINVAL);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_DOT, VGPU_FLOAT32, 0, x, x, 4, LONG_MS, x, NULL),
        -EINVAL);
    assert_int_equal(
        vgpu_compute_vector(ring, VGPU_OP_RING_ADD, (vgpu_type) 4, 0, x, x, 4, LONG_MS, x, NULL),
        -EINVAL);
    assert_int_equal(vgpu_compute_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, NULL, NULL, 0,
                                         LONG_MS, NULL, NULL),
                     0);
    assert_int_equal(vgpu_compute_reduce(ring, VGPU_OP_RING_ADD, VGPU_INT32, x, x, 4, LONG_MS, &v),
                     -EINVAL);
    assert_int_equal(vgpu_compute_reduce(ring, VGPU_OP_RING_NOP, VGPU_INT32, x, x, 4, LONG_MS, &v),
                     -EINVAL);
    assert_int_equal(vgpu_compute_reduce(ring, VGPU_OP_RING_SUM, VGPU_INT32, x, x, 0, LONG_MS, &v),
                     -ERANGE);
    vgpu_ring_close(ring);
}

int main(void)
{
#define CASE(function, size) \
    cmocka_unit_test_setup_teardown(function, setup_##size, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_small_window, small),
        CASE(test_large_window, large),
        CASE(test_in_place, small),
        CASE(test_integers_wrap, small),
        CASE(test_extremes_of_floats, small),
        CASE(test_matmul, small),
        CASE(test_matmul, large),
        CASE(test_strides, small),
        CASE(test_host_that_turns_away, small),
        CASE(test_piece_that_fails, small),
        CASE(test_timeout, small),
        CASE(test_no_room, small),
        CASE(test_arguments, small),
    };

    return cmocka_run_group_tests_name("guest-ring-compute", tests, NULL, NULL);
}

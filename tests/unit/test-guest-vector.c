/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu: vectors cut into requests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test-guest-fixture.h"
#include "test.h"

#define MAX 1000

static uint8_t a[MAX * 8], b[MAX * 8], c[MAX * 8];

static int setup(void **state)
{
    for (size_t i = 0; i < sizeof(a); i++) {
        a[i] = (uint8_t) (i * 37 + i / 256 * 11);
        b[i] = (uint8_t) (i * 101 + i / 256 * 7);
    }
    return fixture_setup(state);
}

static void expect_sums(vgpu_type type, const uint8_t *sums, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        union {
            uint32_t u32;
            uint64_t u64;
            float f32;
            double f64;
        } x = {.u64 = 0}, y = {.u64 = 0}, z = {.u64 = 0};
        size_t size = vgpu_type_size(type);

        memcpy(&x, a + i * size, size);
        memcpy(&y, b + i * size, size);
        memcpy(&z, sums + i * size, size);
        if (type == VGPU_INT32)
            assert_int_equal(z.u32, x.u32 + y.u32);
        else if (type == VGPU_INT64)
            assert_true(z.u64 == x.u64 + y.u64);
        else if (type == VGPU_FLOAT32)
            assert_true(z.f32 == x.f32 + y.f32 || z.f32 != z.f32);
        else
            assert_true(z.f64 == x.f64 + y.f64 || z.f64 != z.f64);
    }
}

TEST(test_types)
{
    static const struct {
        const char *name;
        vgpu_type type;
        size_t size, max;
    } types[] = {
        {"int32", VGPU_INT32, 4, 124},
        {"int64", VGPU_INT64, 8, 62},
        {"float32", VGPU_FLOAT32, 4, 124},
        {"float64", VGPU_FLOAT64, 8, 62},
    };
    const vgpu_type none = (vgpu_type) VGPU_N_TYPES;
    vgpu_type type;

    for (size_t i = 0; i < VGPU_N_TYPES; i++) {
        assert_int_equal(vgpu_type_from_string(types[i].name, &type), 0);
        assert_int_equal(type, types[i].type);
        assert_string_equal(vgpu_type_to_string(type), types[i].name);
        assert_int_equal(vgpu_type_size(type), types[i].size);
        assert_int_equal(vgpu_vector_max(type), types[i].max);
    }
    assert_int_equal(vgpu_type_from_string("int", &type), -EINVAL);
    assert_int_equal(vgpu_type_from_string("", &type), -EINVAL);
    assert_null(vgpu_type_to_string(none));
    assert_int_equal(vgpu_type_size(none), 0);
    assert_int_equal(vgpu_vector_max(none), 0);
}

static void test_lengths(void **state)
{
    fixture *f = *state;

    for (unsigned int t = 0; t < VGPU_N_TYPES; t++) {
        vgpu_type type = (vgpu_type) t;
        size_t max = vgpu_vector_max(type), size = vgpu_type_size(type);
        const size_t lengths[] = {0, 1, 2, max - 1, max, max + 1, 5 * max, 5 * max + 3};

        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            uint64_t before = f->model.doorbells;
            size_t n = lengths[i], done = MAX;

            memset(c, 0xee, sizeof(c));
            assert_int_equal(vgpu_vector_add(f->dev, type, a, b, n, LONG_MS, c, &done), 0);
            assert_int_equal(done, n);
            assert_int_equal(f->model.doorbells - before, (n + max - 1) / max);
            expect_sums(type, c, n);
            assert_int_equal(c[n * size], 0xee);
        }
    }
}

static void test_in_place(void **state)
{
    fixture *f = *state;

    memcpy(c, a, sizeof(c));
    assert_int_equal(vgpu_vector_add(f->dev, VGPU_INT64, c, b, 200, LONG_MS, c, NULL), 0);
    expect_sums(VGPU_INT64, c, 200);
    memcpy(c, b, sizeof(c));
    assert_int_equal(vgpu_vector_add(f->dev, VGPU_INT32, a, c, 300, LONG_MS, c, NULL), 0);
    expect_sums(VGPU_INT32, c, 300);
}

static void test_unaligned(void **state)
{
    fixture *f = *state;
    uint8_t *sums = c + 1;

    memmove(a + 1, a, sizeof(a) - 1);
    memmove(b + 3, b, sizeof(b) - 3);
    assert_int_equal(vgpu_vector_add(f->dev, VGPU_INT64, a + 1, b + 3, 100, LONG_MS, sums, NULL),
                     0);
    memmove(a, a + 1, sizeof(a) - 1);
    memmove(b, b + 3, sizeof(b) - 3);
    expect_sums(VGPU_INT64, sums, 100);
}

static void fail_third(model *m)
{
    if (++m->number == 3)
        model_end_with_error(m, VGPU_ERROR_CUDA_ERROR);
}

static void test_says_which_request_failed(void **state)
{
    fixture *f = *state;
    size_t done = 0;

    f->model.lie = fail_third;
    assert_int_equal(vgpu_vector_add(f->dev, VGPU_FLOAT32, a, b, 124 * 5, LONG_MS, c, &done),
                     VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(done, 2 * 124);
    assert_int_equal(f->model.doorbells, 3);
    expect_sums(VGPU_FLOAT32, c, done);
}

static void test_bad_type(void **state)
{
    fixture *f = *state;
    size_t done = 1;

    assert_int_equal(vgpu_vector_add(f->dev, (vgpu_type) 9, a, b, 5, LONG_MS, c, &done), -EINVAL);
    assert_int_equal(done, 0);
    assert_int_equal(f->model.doorbells, 0);
}

static void turn_away_three_times(model *m)
{
    m->number++;
    if (m->number <= 3)
        model_end_with_error(m, m->number == 2 ? VGPU_ERROR_RATE_LIMITED : VGPU_ERROR_QUEUE_FULL);
}

static void turn_away(model *m)
{
    model_end_with_error(m, VGPU_ERROR_RATE_LIMITED);
}

static void test_tries_again(void **state)
{
    fixture *f = *state;
    size_t done = 0;

    f->model.lie = turn_away_three_times;
    assert_int_equal(vgpu_vector_add(f->dev, VGPU_INT32, a, b, 200, LONG_MS, c, &done), 0);
    assert_int_equal(done, 200);
    assert_int_equal(f->model.doorbells, 5);
    expect_sums(VGPU_INT32, c, 200);

    f->model.lie = turn_away;
    assert_int_equal(vgpu_vector_add(f->dev, VGPU_INT32, a, b, 200, 20, c, &done),
                     VGPU_ERROR_RATE_LIMITED);
    assert_int_equal(done, 0);
    assert_int_equal(vgpu_vector_add(f->dev, VGPU_INT32, a, b, 200, 0, c, &done),
                     VGPU_ERROR_RATE_LIMITED);
}

/* The library does not take an answer of another length. */
static void shorter(model *m)
{
    model_response(m)->data_length -= 4;
}

static void longer(model *m)
{
    model_response(m)->data_length += 4;
    model_set(m, VGPU_REG_RESPONSE_LEN, model_get(m, VGPU_REG_RESPONSE_LEN) + 4);
}

static void elsewhere(model *m)
{
    model_response(m)->data_offset = 0xfffffff0;
}

static void test_lies(void **state)
{
    void (*const hosts[])(model * m) = {shorter, longer, elsewhere};
    fixture *f = *state;

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        f->model.lie = hosts[i];
        memset(c, 0xee, sizeof(c));
        assert_int_equal(vgpu_vector_add(f->dev, VGPU_INT32, a, b, 10, LONG_MS, c, NULL), -EPROTO);
        assert_int_equal(c[0], 0xee);
    }
}

static void test_held_lock_is_kept(void **state)
{
    fixture *f = *state;
    vgpu_device *other;

    assert_int_equal(vgpu_open(&f->sysfs.paths, NULL, &other), 0);
    assert_int_equal(vgpu_lock(f->dev, 0), 0);
    assert_int_equal(vgpu_vector_add(f->dev, VGPU_INT32, a, b, 300, LONG_MS, c, NULL), 0);
    assert_int_equal(vgpu_lock(other, 0), -EBUSY);
    vgpu_unlock(f->dev);
    assert_int_equal(vgpu_vector_add(f->dev, VGPU_INT32, a, b, 300, LONG_MS, c, NULL), 0);
    assert_int_equal(vgpu_lock(other, 0), 0);
    vgpu_close(other);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        CASE(test_lengths),
        CASE(test_in_place),
        CASE(test_unaligned),
        CASE(test_says_which_request_failed),
        CASE(test_bad_type),
        CASE(test_tries_again),
        CASE(test_lies),
        CASE(test_held_lock_is_kept),
    };

    return cmocka_run_group_tests_name("guest-vector", tests, NULL, NULL);
}

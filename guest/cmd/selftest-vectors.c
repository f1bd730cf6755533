/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu selftest: vectors against the CPU of this machine. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cleanup.h"
#include "selftest.h"

#define MAX_ELEMENTS 1000
#define MAX_BYTES (MAX_ELEMENTS * sizeof(uint64_t))

/* One element, whatever its type. */
typedef union element {
    uint32_t u32;
    uint64_t u64;
    float f32;
    double f64;
} element;

static element element_load(vgpu_type type, const uint8_t *vector, size_t i)
{
    element e = {.u64 = 0};

    memcpy(&e, vector + i * vgpu_type_size(type), vgpu_type_size(type));
    return e;
}

static void element_store(vgpu_type type, uint8_t *vector, size_t i, element e)
{
    memcpy(vector + i * vgpu_type_size(type), &e, vgpu_type_size(type));
}

static element cpu_sum(vgpu_type type, element a, element b)
{
    element c = {.u64 = 0};

    switch (type) {
    case VGPU_INT32:
        c.u32 = a.u32 + b.u32;
        break;
    case VGPU_INT64:
        c.u64 = a.u64 + b.u64;
        break;
    case VGPU_FLOAT32:
        c.f32 = a.f32 + b.f32;
        break;
    case VGPU_FLOAT64:
        c.f64 = a.f64 + b.f64;
        break;
    }
    return c;
}

/* Are these the same bits? One NaN is as good as another. */
static bool is_same(vgpu_type type, element x, element y)
{
    if (type == VGPU_FLOAT32 && isnan(x.f32))
        return isnan(y.f32);
    if (type == VGPU_FLOAT64 && isnan(x.f64))
        return isnan(y.f64);
    return x.u64 == y.u64;
}

/* Add @n elements on the device and here, and compare. */
static void compare_vectors(selftest *t, vgpu_type type, const uint8_t *a, const uint8_t *b,
                            size_t n)
{
    static uint8_t c[MAX_BYTES];
    char what[48];
    size_t done;
    int r;

    r = vgpu_vector_add(t->dev, type, a, b, n, t->options->timeout_ms, c, &done);
    snprintf(what, sizeof(what), "%zu elements of %s", n, vgpu_type_to_string(type));
    if (!expect_result(t, r, 0, what))
        return;

    for (size_t i = 0; i < n; i++) {
        element x = element_load(type, a, i), y = element_load(type, b, i),
                z = element_load(type, c, i);

        if (!is_same(type, cpu_sum(type, x, y), z)) {
            fail(t,
                 "%s: element %zu, 0x%" PRIx64 " + 0x%" PRIx64 ", came back as 0x%" PRIx64
                 ", not 0x%" PRIx64,
                 what, i, x.u64, y.u64, z.u64, cpu_sum(type, x, y).u64);
            return;
        }
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The bits are random, so floating-point numbers of every size come up. */
static void check_lengths(selftest *t, vgpu_type type)
{
    static uint8_t a[MAX_BYTES], b[MAX_BYTES];
    const size_t max = vgpu_vector_max(type);
    const size_t lengths[] = {1, 2, 3, max - 1, max, max + 1, 2 * max, 2 * max + 1, MAX_ELEMENTS};
    uint64_t state = 0x9e3779b97f4a7c15;

    for (size_t i = 0; i < MAX_ELEMENTS; i++) {
        element_store(type, a, i, (element){.u64 = next_random(&state)});
        element_store(type, b, i, (element){.u64 = next_random(&state)});
    }
    for (size_t i = 0; i < ELEMENTSOF(lengths); i++)
        compare_vectors(t, type, a, b, lengths[i]);
}

/* Add each special value to each. */
static void check_pairs(selftest *t, vgpu_type type, const element *values, size_t n)
{
    static uint8_t a[MAX_BYTES], b[MAX_BYTES];

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            element_store(type, a, i * n + j, values[i]);
            element_store(type, b, i * n + j, values[j]);
        }
    compare_vectors(t, type, a, b, n * n);
}

static void check_int32(selftest *t)
{
    static const element values[] = {
        {.u32 = 0},          {.u32 = 1},          {.u32 = 0xffffffff},
        {.u32 = 0x7fffffff}, {.u32 = 0x80000000}, {.u32 = 0x80000001},
    };

    check_pairs(t, VGPU_INT32, values, ELEMENTSOF(values));
    check_lengths(t, VGPU_INT32);
}

static void check_int64(selftest *t)
{
    static const element values[] = {
        {.u64 = 0},          {.u64 = 1},          {.u64 = UINT64_MAX},     {.u64 = INT64_MAX},
        {.u64 = 1ull << 63}, {.u64 = 0xffffffff}, {.u64 = 0x100000000ull},
    };

    check_pairs(t, VGPU_INT64, values, ELEMENTSOF(values));
    check_lengths(t, VGPU_INT64);
}

static void check_float32(selftest *t)
{
    const element values[] = {
        {.f32 = 0.0f},         {.f32 = -0.0f},
        {.f32 = 1.0f},         {.f32 = 0.1f},
        {.f32 = FLT_TRUE_MIN}, {.f32 = -FLT_MIN},
        {.f32 = FLT_MAX},      {.f32 = -FLT_MAX},
        {.f32 = INFINITY},     {.f32 = -INFINITY},
        {.f32 = NAN},          {.f32 = FLT_EPSILON / 2},
        {.f32 = 16777216.0f},  {.f32 = 3.0f * FLT_TRUE_MIN},
    };

    check_pairs(t, VGPU_FLOAT32, values, ELEMENTSOF(values));
    check_lengths(t, VGPU_FLOAT32);
}

static void check_float64(selftest *t)
{
    const element values[] = {
        {.f64 = 0.0},
        {.f64 = -0.0},
        {.f64 = 1.0},
        {.f64 = 0.1},
        {.f64 = DBL_TRUE_MIN},
        {.f64 = -DBL_MIN},
        {.f64 = DBL_MAX},
        {.f64 = -DBL_MAX},
        {.f64 = INFINITY},
        {.f64 = -INFINITY},
        {.f64 = NAN},
        {.f64 = DBL_EPSILON / 2},
        {.f64 = 9007199254740992.0},
    };

    check_pairs(t, VGPU_FLOAT64, values, ELEMENTSOF(values));
    check_lengths(t, VGPU_FLOAT64);
}

const check vector_checks[] = {
    {"vectors of int32", check_int32, true},
    {"vectors of int64", check_int64, true},
    {"vectors of float32", check_float32, true},
    {"vectors of float64", check_float64, true},
    {0},
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-compute.h"

#include <math.h>
#include <string.h>

/* One element in the widest form of its kind. */
typedef struct number {
    uint64_t u;
    double f;
} number;

static bool is_floating(uint32_t type)
{
    return type == VGPU_TYPE_FLOAT32 || type == VGPU_TYPE_FLOAT64;
}

static number load(uint32_t type, const uint8_t *at)
{
    number x = {0};
    int32_t i32;
    float f32;

    switch (type) {
    case VGPU_TYPE_INT32:
        memcpy(&i32, at, 4);
        x.u = (uint64_t) (int64_t) i32;
        break;
    case VGPU_TYPE_INT64:
        memcpy(&x.u, at, 8);
        break;
    case VGPU_TYPE_FLOAT32:
        memcpy(&f32, at, 4);
        x.f = (double) f32;
        break;
    case VGPU_TYPE_FLOAT64:
        memcpy(&x.f, at, 8);
        break;
    }
    return x;
}

static void store(uint32_t type, number x, uint8_t *at)
{
    float f32 = (float) x.f;

    switch (type) {
    case VGPU_TYPE_FLOAT32:
        memcpy(at, &f32, 4);
        break;
    case VGPU_TYPE_FLOAT64:
        memcpy(at, &x.f, 8);
        break;
    default:
        memcpy(at, &x.u, vgpu_ring_type_size(type));
    }
}

static number product(number x, number y)
{
    return (number){x.u * y.u, x.f * y.f};
}

static number sum(number x, number y)
{
    return (number){x.u + y.u, x.f + y.f};
}

static number extreme(uint32_t type, number x, number y, bool smallest)
{
    if (!is_floating(type))
        return ((int64_t) x.u < (int64_t) y.u) == smallest ? x : y;
    if (isnan(x.f) || isnan(y.f))
        return isnan(x.f) ? x : y;
    if (x.f == y.f)
        return !!signbit(x.f) == smallest ? x : y;
    return (x.f < y.f) == smallest ? x : y;
}

static const uint8_t *place(const VGPUSubmission *s, const VGPUOperand *o, const uint8_t *window,
                            uint64_t row, uint64_t column)
{
    return window + o->offset + (row * o->stride + column) * vgpu_ring_type_size(s->type);
}

static void multiply_matrices(const VGPUSubmission *s, uint8_t *window)
{
    for (uint64_t i = 0; i < s->count; i++)
        for (uint64_t j = 0; j < s->n; j++) {
            number x = {0};

            for (uint64_t l = 0; l < s->k; l++)
                x = sum(x, product(load(s->type, place(s, &s->a, window, i, l)),
                                   load(s->type, place(s, &s->b, window, l, j))));
            store(s->type, x, (uint8_t *) place(s, &s->c, window, i, j));
        }
}

static number element(const VGPUSubmission *s, number a, number b)
{
    number scaled = {.f = s->scalar * a.f};

    switch (s->opcode) {
    case VGPU_OP_RING_ADD:
        return sum(a, b);
    case VGPU_OP_RING_AXPY:
        return sum(scaled, b);
    default:
        return product(a, b);
    }
}

uint64_t compute(const VGPUSubmission *s, uint8_t *window)
{
    number result = {0};
    uint64_t bits = 0;
    VGPUShape shape;

    if (!vgpu_submission_shape(s, &shape))
        return 0; /* NOP */
    if (s->opcode == VGPU_OP_RING_MATMUL) {
        multiply_matrices(s, window);
        return 0;
    }

    for (uint64_t i = 0; i < s->count; i++) {
        number a = load(s->type, place(s, &s->a, window, i, 0));
        number b = shape.has_b ? load(s->type, place(s, &s->b, window, i, 0)) : (number){1, 1};

        if (shape.has_c)
            store(s->type, element(s, a, b), (uint8_t *) place(s, &s->c, window, i, 0));
        else if (s->opcode == VGPU_OP_RING_MIN || s->opcode == VGPU_OP_RING_MAX)
            result = i == 0 ? a : extreme(s->type, result, a, s->opcode == VGPU_OP_RING_MIN);
        else
            result = sum(result, product(a, b));
    }
    if (!shape.has_c)
        store(s->type, result, (uint8_t *) &bits);
    return bits;
}

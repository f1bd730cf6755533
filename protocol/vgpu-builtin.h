/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The built-in operations: what an entry of the ring (vgpu-ring.h) can ask for, what its
 * operands are, and what the result is. The device knows nothing of them. The set is closed:
 * programs that need more bring their own kernels.
 */
#ifndef VGPU_BUILTIN_H
#define VGPU_BUILTIN_H

#include "vgpu-ring.h"

/* ---- Types and operations ---------------------------------------------------------------- */

enum {
    VGPU_TYPE_INT32 = 0,
    VGPU_TYPE_INT64 = 1,
    VGPU_TYPE_FLOAT32 = 2,
    VGPU_TYPE_FLOAT64 = 3,
    VGPU_N_TYPES = 4,
};

/*
 * Operands may overlap in two ways: c may be exactly a or b (same offset, same stride) in ADD,
 * MUL and AXPY, and vectors may lie between each other's elements. In all other cases c and the
 * result are undefined, and so they are when c of a matrix product shares bytes with a or b, or
 * when the guest writes to the operands meanwhile. Only the elements of c are ever written.
 *
 * Integers: every result is taken modulo 2^32 or 2^64, so it wraps; MIN and MAX are signed.
 *
 * Floating-point numbers are IEEE 754's, rounded to nearest, with denormals:
 *
 * - ADD, MUL, AXPY: each operation is rounded by itself; AXPY's scalar is first rounded to the
 *   type, then the product, then the sum. Every host gives the same bits, a NaN's payload aside.
 * - DOT, SUM: terms (for DOT, products) are added up in float64, in an order that depends on
 *   the host's kind of device, count, stride and type only, so the same vector gives the same
 *   bits again on that host. With T the sum of the terms' magnitudes,
 *       |result - exact| <= 2^-44 T + count 2^-1074                 for float64
 *       |result - exact| <= 2^-24 |exact| + 2^-43 T + 2^-150        for float32
 *   for every vector that fits in a window, provided that T does not overflow float64 (for
 *   float32 it can't). Infinities and NaNs among the terms act as in any sum. A sum of zeros
 *   alone is +0.
 * - MIN, MAX: exact. NaN, as 0x7fc00000 or 0x7ff8000000000000, when any element is NaN;
 *   else -0 counts as smaller than +0.
 * - MATMUL: sums of k products in any order, fused or not, in the operands' type. With u the
 *   unit roundoff, 2^-24 or 2^-53, |c[i][j] - exact| <= 2 k u (sum over l of
 *   |a[i][l] b[l][j]|) while 2 k u < 1 and nothing overflows or underflows. Infinities and NaNs
 *   in row i of a or column j of b act as in any such sum. What c held before is ignored.
 */
enum {
    VGPU_OP_RING_NOP = 0x0200,
    VGPU_OP_RING_ADD = 0x0201,  /* c[i] = a[i] + b[i] */
    VGPU_OP_RING_MUL = 0x0202,  /* c[i] = a[i] * b[i] */
    VGPU_OP_RING_AXPY = 0x0203, /* c[i] = scalar * a[i] + b[i]; floating point only */
    VGPU_OP_RING_DOT = 0x0204,  /* result = sum of a[i] * b[i] */
    VGPU_OP_RING_SUM = 0x0205,  /* result = sum of a[i] */
    VGPU_OP_RING_MIN = 0x0206,  /* result = smallest a[i] */
    VGPU_OP_RING_MAX = 0x0207,
    VGPU_OP_RING_MATMUL = 0x0208, /* c (m x n) = a (m x k) times b (k x n), row-major; floating */
};

/* ---- Checks that guest, mediator and executor share ---------------------------------------- */

/* vgpu_ring_type_size() - bytes of an element of VGPU_TYPE_*; 0 for any other number */
static inline uint32_t vgpu_ring_type_size(uint32_t type)
{
    return type == VGPU_TYPE_INT32 || type == VGPU_TYPE_FLOAT32   ? 4
           : type == VGPU_TYPE_INT64 || type == VGPU_TYPE_FLOAT64 ? 8
                                                                  : 0;
}

/* Finds the bytes [*ret_begin, *ret_end) that @rows rows of @columns elements at @o take.
 * Returns false when they do not lie in the window. */
static inline bool vgpu_operand_range(const VGPUOperand *o, uint64_t rows, uint64_t columns,
                                      uint32_t element, uint64_t window_size, uint64_t *ret_begin,
                                      uint64_t *ret_end)
{
    uint64_t last, bytes;

    if (rows == 0 || columns == 0 || o->stride == 0 || o->offset % element != 0)
        return false;
    if (__builtin_mul_overflow(rows - 1, (uint64_t) o->stride, &last) ||
        __builtin_add_overflow(last, columns, &last) ||
        __builtin_mul_overflow(last, (uint64_t) element, &bytes) || o->offset > window_size ||
        bytes > window_size - o->offset)
        return false;

    *ret_begin = o->offset;
    *ret_end = o->offset + bytes;
    return true;
}

/* What an operation reads and writes. A vector is a matrix of one column. */
typedef struct VGPUShape {
    bool has_b, has_c;
    uint64_t rows[3], columns[3]; /* of a, b, c */
} VGPUShape;

/* Returns false for an opcode that does not exist, or does not exist for the type. */
static inline bool vgpu_submission_shape(const VGPUSubmission *s, VGPUShape *ret)
{
    bool floating = s->type == VGPU_TYPE_FLOAT32 || s->type == VGPU_TYPE_FLOAT64;
    VGPUShape shape = {
        .rows = {s->count, s->count, s->count},
        .columns = {1, 1, 1},
    };

    switch (s->opcode) {
    case VGPU_OP_RING_AXPY:
        if (!floating)
            return false;
        shape.has_b = shape.has_c = true;
        break;
    case VGPU_OP_RING_ADD:
    case VGPU_OP_RING_MUL:
        shape.has_b = shape.has_c = true;
        break;
    case VGPU_OP_RING_DOT:
        shape.has_b = true;
        break;
    case VGPU_OP_RING_SUM:
    case VGPU_OP_RING_MIN:
    case VGPU_OP_RING_MAX:
        break;
    case VGPU_OP_RING_MATMUL:
        if (!floating)
            return false;
        shape.has_b = shape.has_c = true;
        shape.columns[0] = s->k;
        shape.rows[1] = s->k;
        shape.columns[1] = shape.columns[2] = s->n;
        break;
    default:
        return false;
    }

    *ret = shape;
    return true;
}

/*
 * vgpu_submission_span() - the bytes from the first to the last of each operand, added up
 * @s: passed vgpu_submission_check(), and is no NOP
 *
 * Strides count. At most three times the window's size.
 */
static inline uint64_t vgpu_submission_span(const VGPUSubmission *s)
{
    const VGPUOperand *operands[3] = {&s->a, &s->b, &s->c};
    uint64_t element = vgpu_ring_type_size(s->type), sum = 0;
    VGPUShape shape;

    if (!vgpu_submission_shape(s, &shape))
        return 0;
    for (unsigned i = 0; i < 3; i++)
        if (i == 0 || (i == 1 && shape.has_b) || (i == 2 && shape.has_c))
            sum += ((shape.rows[i] - 1) * operands[i]->stride + shape.columns[i]) * element;
    return sum;
}

/*
 * vgpu_submission_check() - may this be computed?
 * @s: a copy that nobody else can write
 * @window_size: bytes
 * @ret_repeatable: set with NONE: may it be computed twice, with the same outcome as once?
 *     Not when c shares bytes with a or b
 *
 * Returns VGPU_ERROR_NONE, UNSUPPORTED_OP (no such opcode for this type), or
 * INVALID_REQUEST (an operand outside the window, misaligned, or too narrow a stride).
 */
static inline uint32_t vgpu_submission_check(const VGPUSubmission *s, uint64_t window_size,
                                             bool *ret_repeatable)
{
    const VGPUOperand *operands[3] = {&s->a, &s->b, &s->c};
    uint64_t begin[3] = {0}, end[3] = {0};
    uint32_t element;
    VGPUShape shape;

    *ret_repeatable = true;
    if (s->opcode == VGPU_OP_RING_NOP)
        return VGPU_ERROR_NONE;
    element = vgpu_ring_type_size(s->type);
    if (element == 0 || !vgpu_submission_shape(s, &shape))
        return VGPU_ERROR_UNSUPPORTED_OP;

    for (unsigned i = 0; i < 3; i++) {
        if ((i == 1 && !shape.has_b) || (i == 2 && !shape.has_c))
            continue;
        if (operands[i]->stride < shape.columns[i] ||
            !vgpu_operand_range(operands[i], shape.rows[i], shape.columns[i], element, window_size,
                                &begin[i], &end[i]))
            return VGPU_ERROR_INVALID_REQUEST;
    }
    for (unsigned i = 0; i < 2; i++)
        if (shape.has_c && begin[2] < end[i] && begin[i] < end[2])
            *ret_repeatable = false;
    return VGPU_ERROR_NONE;
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compiled with -O3 and -ffp-contract=off for each level of instructions (meson.build).
 * Every loop is written so that the compiler makes vector instructions of its contiguous
 * form.
 *
 * Operands lie in memory that a guest may write to meanwhile. That makes the results wrong
 * and does nothing else, because no loop depends on what it reads.
 */
#include "cpu-level.h"

/* No iteration depends on the result of another one. Where operands overlap, but not exactly,
 * the result is undefined (vgpu-builtin.h), so the compiler need not look for that. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety) interleave(enable)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Integers are unsigned, since a signed result that overflows is undefined. */
typedef uint32_t int32;
typedef uint64_t int64;
typedef float float32;
typedef double float64;

/* ---- Element by element ------------------------------------------------------ */

#define DEFINE_MAP(name, type, expression)                                                      \
    static void name(const void *va, size_t sa, const void *vb, size_t sb, void *vc, size_t sc, \
                     size_t n, double scalar)                                                   \
    {                                                                                           \
        const type *a = va, *b = vb;                                                            \
        type *c = vc;                                                                           \
                                                                                                \
        (void) scalar; /* only AXPY's may be converted: an integer may not hold it */           \
        if (sa == 1 && sb == 1 && sc == 1) {                                                    \
            INDEPENDENT                                                                         \
            for (size_t i = 0; i < n; i++) {                                                    \
                type x = a[i], y = b[i];                                                        \
                                                                                                \
                c[i] = expression;                                                              \
            }                                                                                   \
        } else {                                                                                \
            for (size_t i = 0; i < n; i++) {                                                    \
                type x = a[i * sa], y = b[i * sb];                                              \
                                                                                                \
                c[i * sc] = expression;                                                         \
            }                                                                                   \
        }                                                                                       \
    }

#define DEFINE_MAPS(type)               \
    DEFINE_MAP(add_##type, type, x + y) \
    DEFINE_MAP(mul_##type, type, x *y)

DEFINE_MAPS(int32)
DEFINE_MAPS(int64)
DEFINE_MAPS(float32)
DEFINE_MAPS(float64)
DEFINE_MAP(axpy_float32, float32, (float32) scalar *x + y)
DEFINE_MAP(axpy_float64, float64, (float64) scalar *x + y)

/* ---- Sums ---------------------------------------------------------------------- */

/* The terms of a part go into this many sums in turn, which are then combined. The number does
 * not depend on the width of a vector register, so the result has the same bits with each. */
#define SUMS 16u

static void combine_sums(double sums[SUMS], Partial *ret)
{
    for (unsigned width = SUMS / 2; width > 0; width /= 2)
        for (unsigned i = 0; i < width; i++)
            sums[i] += sums[i + width];

    *ret = (Partial){0};
    memcpy(&ret->low, &sums[0], sizeof(sums[0]));
}

#define DEFINE_FLOATING_SUM(name, type, term)                                                    \
    static inline __attribute__((always_inline)) void name##_strided(                            \
        const type *a, size_t sa, const type *b, size_t sb, size_t n, Partial *ret)              \
    {                                                                                            \
        double sums[SUMS] = {0};                                                                 \
        size_t i = 0;                                                                            \
                                                                                                 \
        (void) b;                                                                                \
        (void) sb;                                                                               \
        for (; i + SUMS <= n; i += SUMS)                                                         \
            for (unsigned k = 0; k < SUMS; k++)                                                  \
                sums[k] += term(i + k);                                                          \
        for (unsigned k = 0; i < n; i++, k++)                                                    \
            sums[k] += term(i);                                                                  \
        combine_sums(sums, ret);                                                                 \
    }                                                                                            \
                                                                                                 \
    static void name(const void *a, size_t sa, const void *b, size_t sb, size_t n, Partial *ret) \
    {                                                                                            \
        if (sa == 1 && sb == 1)                                                                  \
            name##_strided(a, 1, b, 1, n, ret);                                                  \
        else                                                                                     \
            name##_strided(a, sa, b, sb, n, ret);                                                \
    }

#define DEFINE_INTEGER_SUM(name, type, term)                                                     \
    static inline __attribute__((always_inline)) void name##_strided(                            \
        const type *a, size_t sa, const type *b, size_t sb, size_t n, Partial *ret)              \
    {                                                                                            \
        type sum = 0;                                                                            \
                                                                                                 \
        (void) b;                                                                                \
        (void) sb;                                                                               \
        for (size_t i = 0; i < n; i++)                                                           \
            sum += term(i);                                                                      \
        *ret = (Partial){.low = sum};                                                            \
    }                                                                                            \
                                                                                                 \
    static void name(const void *a, size_t sa, const void *b, size_t sb, size_t n, Partial *ret) \
    {                                                                                            \
        if (sa == 1 && sb == 1)                                                                  \
            name##_strided(a, 1, b, 1, n, ret);                                                  \
        else                                                                                     \
            name##_strided(a, sa, b, sb, n, ret);                                                \
    }

#define ELEMENT(i) a[(i) *sa]
#define PRODUCT(i) (a[(i) *sa] * b[(i) *sb])
#define ELEMENT_WIDE(i) (double) a[(i) *sa]
#define PRODUCT_WIDE(i) ((double) a[(i) *sa] * (double) b[(i) *sb])

DEFINE_INTEGER_SUM(sum_int32, int32, ELEMENT)
DEFINE_INTEGER_SUM(sum_int64, int64, ELEMENT)
DEFINE_INTEGER_SUM(dot_int32, int32, PRODUCT)
DEFINE_INTEGER_SUM(dot_int64, int64, PRODUCT)
DEFINE_FLOATING_SUM(sum_float32, float32, ELEMENT_WIDE)
DEFINE_FLOATING_SUM(sum_float64, float64, ELEMENT_WIDE)
DEFINE_FLOATING_SUM(dot_float32, float32, PRODUCT_WIDE)
DEFINE_FLOATING_SUM(dot_float64, float64, PRODUCT_WIDE)

/* ---- Smallest and largest ---------------------------------------------------------- */

/* The bits of an element as an integer, which may alias it; reduction.h orders them */
typedef int32_t __attribute__((may_alias)) Bits32;
typedef int64_t __attribute__((may_alias)) Bits64;

#define KEY_OF_INTEGER(bits, max) (bits)
#define KEY_OF_FLOATING(bits, max) ((bits) ^ ((bits) < 0 ? (max) : 0))

#define DEFINE_EXTREMES(name, type, largest, key_of)                                             \
    static inline __attribute__((always_inline)) void name##_strided(const type *a, size_t sa,   \
                                                                     size_t n, Partial *ret)     \
    {                                                                                            \
        type min = largest, max = -largest - 1;                                                  \
                                                                                                 \
        for (size_t i = 0; i < n; i++) {                                                         \
            type bits = a[i * sa], key = key_of(bits, largest);                                  \
                                                                                                 \
            min = key < min ? key : min;                                                         \
            max = key > max ? key : max;                                                         \
        }                                                                                        \
        *ret = (Partial){(uint64_t) (int64_t) min, (uint64_t) (int64_t) max};                    \
    }                                                                                            \
                                                                                                 \
    static void name(const void *a, size_t sa, const void *b, size_t sb, size_t n, Partial *ret) \
    {                                                                                            \
        (void) b;                                                                                \
        (void) sb;                                                                               \
        if (sa == 1)                                                                             \
            name##_strided(a, 1, n, ret);                                                        \
        else                                                                                     \
            name##_strided(a, sa, n, ret);                                                       \
    }

DEFINE_EXTREMES(extremes_int32, Bits32, INT32_MAX, KEY_OF_INTEGER)
DEFINE_EXTREMES(extremes_int64, Bits64, INT64_MAX, KEY_OF_INTEGER)
DEFINE_EXTREMES(extremes_float32, Bits32, INT32_MAX, KEY_OF_FLOATING)
DEFINE_EXTREMES(extremes_float64, Bits64, INT64_MAX, KEY_OF_FLOATING)

/* ---- The table ---------------------------------------------------------------------- */

#define OF_EVERY_TYPE(name)                                                        \
    {                                                                              \
        [VGPU_TYPE_INT32] = name##_int32, [VGPU_TYPE_INT64] = name##_int64,        \
        [VGPU_TYPE_FLOAT32] = name##_float32, [VGPU_TYPE_FLOAT64] = name##_float64 \
    }
#define OF_FLOATING_TYPES(name)                                                    \
    {                                                                              \
        [VGPU_TYPE_FLOAT32] = name##_float32, [VGPU_TYPE_FLOAT64] = name##_float64 \
    }

const CpuKernels CPU_NAME(cpu_kernels) = {
    .add = OF_EVERY_TYPE(add),
    .mul = OF_EVERY_TYPE(mul),
    .axpy = OF_FLOATING_TYPES(axpy),
    .dot = OF_EVERY_TYPE(dot),
    .sum = OF_EVERY_TYPE(sum),
    .extremes = OF_EVERY_TYPE(extremes),
    .matmul =
        {
            [VGPU_TYPE_FLOAT32] = CPU_NAME(cpu_matmul_float32),
            [VGPU_TYPE_FLOAT64] = CPU_NAME(cpu_matmul_float64),
        },
};

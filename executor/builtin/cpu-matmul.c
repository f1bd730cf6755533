/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The matrix product for hosts without OpenBLAS. A panel of b, which is PANEL_K rows of a
 * few vectors each, is copied so that it lies in the first-level cache. Then it is
 * multiplied with every four rows of a, whose part of c stays in registers.
 *
 * Unlike cpu-kernels.c, this is compiled with -ffp-contract=fast: products and sums are fused
 * if there is an instruction for it.
 */
#include "cpu-level.h"

#define PANEL_K 256u
#define ROWS 4u

/* A vector is a register. The sums of ROWS rows of so many vectors must fit into registers. */
#define VECTORS 2u
#if defined(__AVX512F__)
#define VECTOR_BYTES 64u
#elif defined(__AVX__)
#define VECTOR_BYTES 32u
#else
#define VECTOR_BYTES 16u
#endif

#define DEFINE_MATMUL(name, type)                                                                  \
    typedef type name##_vector __attribute__((vector_size(VECTOR_BYTES)));                         \
    typedef name##_vector name##_panel[PANEL_K][VECTORS];                                          \
                                                                                                   \
    /* c += a times the panel, for @rows of a; or c = that, when @first */                         \
    static inline __attribute__((always_inline)) void name##_rows(                                 \
        const type *a, size_t lda, name##_panel panel, type *c, size_t ldc, size_t rows, size_t n, \
        size_t k, bool first)                                                                      \
    {                                                                                              \
        name##_vector sums[ROWS][VECTORS] = {0};                                                   \
                                                                                                   \
        for (size_t l = 0; l < k; l++)                                                             \
            for (size_t r = 0; r < rows; r++)                                                      \
                for (size_t v = 0; v < VECTORS; v++)                                               \
                    sums[r][v] += a[r * lda + l] * panel[l][v];                                    \
        for (size_t r = 0; r < rows; r++) {                                                        \
            type row[VECTORS * VECTOR_BYTES / sizeof(type)];                                       \
                                                                                                   \
            memcpy(row, sums[r], sizeof(row));                                                     \
            for (size_t j = 0; j < n; j++)                                                         \
                c[r * ldc + j] = first ? row[j] : c[r * ldc + j] + row[j];                         \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    void CPU_NAME(name)(const void *va, size_t lda, const void *vb, size_t ldb, void *vc,          \
                        size_t ldc, size_t m, size_t n, size_t k)                                  \
    {                                                                                              \
        const size_t width = VECTORS * VECTOR_BYTES / sizeof(type);                                \
        const type *a = va, *b = vb;                                                               \
        name##_panel panel;                                                                        \
        type *c = vc;                                                                              \
                                                                                                   \
        for (size_t j = 0; j < n; j += width) {                                                    \
            size_t columns = n - j < width ? n - j : width;                                        \
                                                                                                   \
            for (size_t l = 0; l < k; l += PANEL_K) {                                              \
                size_t depth = k - l < PANEL_K ? k - l : PANEL_K, i = 0;                           \
                                                                                                   \
                memset(panel, 0, sizeof(panel));                                                   \
                for (size_t p = 0; p < depth; p++)                                                 \
                    memcpy(panel[p], &b[(l + p) * ldb + j], columns * sizeof(type));               \
                for (; i + ROWS <= m; i += ROWS)                                                   \
                    name##_rows(&a[i * lda + l], lda, panel, &c[i * ldc + j], ldc, ROWS, columns,  \
                                depth, l == 0);                                                    \
                for (; i < m; i++)                                                                 \
                    name##_rows(&a[i * lda + l], lda, panel, &c[i * ldc + j], ldc, 1, columns,     \
                                depth, l == 0);                                                    \
            }                                                                                      \
        }                                                                                          \
    }

DEFINE_MATMUL(cpu_matmul_float32, float)
DEFINE_MATMUL(cpu_matmul_float64, double)

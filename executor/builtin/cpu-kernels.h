/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loops of the CPU backend. They are compiled several times, each time for another set of
 * vector instructions. The results have the same bits with each, but for matrix products.
 */
#ifndef VGPU_EXECUTOR_CPU_KERNELS_H
#define VGPU_EXECUTOR_CPU_KERNELS_H

#include "reduction.h"

/* The most elements that one call of a CpuReduce gets: a part of a reduction */
#define CPU_PART 4096u

/* c[i * sc] = a[i * sa] op b[i * sb] for i < n; alpha: for AXPY. c may be a or b. */
typedef void CpuMap(const void *a, size_t sa, const void *b, size_t sb, void *c, size_t sc,
                    size_t n, double alpha);

/* The partial result of a[i * sa] (and b[i * sb]) for i < n; n from 1 to CPU_PART */
typedef void CpuReduce(const void *a, size_t sa, const void *b, size_t sb, size_t n, Partial *ret);

/* c (m x n) = a (m x k) times b (k x n), row-major with these strides; m, n and k at least 1 */
typedef void CpuMatmul(const void *a, size_t lda, const void *b, size_t ldb, void *c, size_t ldc,
                       size_t m, size_t n, size_t k);

/* By VGPU_TYPE_*; NULL where the type does not go with the operation */
typedef struct CpuKernels {
    CpuMap *add[VGPU_N_TYPES], *mul[VGPU_N_TYPES], *axpy[VGPU_N_TYPES];
    CpuReduce *dot[VGPU_N_TYPES], *sum[VGPU_N_TYPES], *extremes[VGPU_N_TYPES];
    CpuMatmul *matmul[VGPU_N_TYPES];
} CpuKernels;

/* cpu_kernels_best() - the fastest ones that this processor can run */
const CpuKernels *cpu_kernels_best(void);

#endif

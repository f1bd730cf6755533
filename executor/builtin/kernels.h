/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the CUDA kernels of windows are launched with; for C and for CUDA C++. */
#ifndef VGPU_EXECUTOR_KERNELS_H
#define VGPU_EXECUTOR_KERNELS_H

#include <stdint.h>

/* The most blocks of a launch that report, and their threads. */
#define KERNEL_BLOCKS_MAX 64u
#define KERNEL_THREADS 256u

/* The part of a matrix product that one block computes is so many rows and columns. */
#define KERNEL_TILE 64u

/* What each block says; in memory of the host's. Times are the device's own. */
typedef struct KernelReport {
    uint64_t start_ns, end_ns;
    uint64_t low, high; /* of a reduction: as in Partial */
} KernelReport;

/* c[i * sc] = a[i * sa] op b[i * sb] for i < n, or the partial results of that. Addresses
 * are the device's; strides are in elements. */
typedef struct KernelVector {
    uint64_t a, b, c;
    uint64_t sa, sb, sc;
    uint64_t n;
    double scalar;
    uint64_t reports; /* one for each block; 0: none */
} KernelVector;

/* c (m x n) = a (m x k) times b (k x n), row-major; added to c when @accumulate */
typedef struct KernelMatmul {
    uint64_t a, b, c;
    uint64_t lda, ldb, ldc;
    uint32_t m, n, k;
    uint32_t accumulate;
    uint64_t reports;
} KernelMatmul;

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parameters of the CUDA kernels of windows, for C and for CUDA C++ */
#ifndef VGPU_EXECUTOR_KERNELS_H
#define VGPU_EXECUTOR_KERNELS_H

#include <stdint.h>

/* The most blocks of a launch that report, and their threads. */
#define KERNEL_BLOCKS_MAX 64u
#define KERNEL_THREADS 256u

/* One block computes so many rows and columns of a matrix product. */
#define KERNEL_TILE 64u

/* What a block reports, in memory of the host's. Times are by the device's clock. end_ns is written
 * last, when all else that the block has written can be seen, and is not 0. */
typedef struct KernelReport {
    uint64_t start_ns, end_ns;
    uint64_t low, high; /* of a reduction, as in Partial */
} KernelReport;

/* c[i * sc] = a[i * sa] op b[i * sb] for i < n, or partial results of a reduction. Addresses
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

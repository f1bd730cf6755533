/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A libcublas.so.13 beside the fake libcuda.so.1: exactly the functions that the
 * executor uses. Products are run by the fake device.
 */
#include "cuda-blas.h"
#include "fake-queue.h"

#include <stdlib.h>

#define DECLARE(member, symbol, parameters) int symbol parameters;
CUDA_BLAS_FUNCTIONS(DECLARE)

enum { SUCCESS = 0, NOT_INITIALIZED = 1, EXECUTION_FAILED = 13 };

struct cublasContext {
    CUstream stream;
};

int cublasCreate_v2(CudaBlasHandle *handle)
{
    if (fake_enter_blas(__func__) != CUDA_SUCCESS || !fake_has_blas())
        return NOT_INITIALIZED;
    *handle = calloc(1, sizeof(**handle));
    return *handle ? SUCCESS : NOT_INITIALIZED;
}

int cublasDestroy_v2(CudaBlasHandle handle)
{
    if (fake_enter_blas(__func__) != CUDA_SUCCESS)
        return NOT_INITIALIZED;
    free(handle);
    return SUCCESS;
}

int cublasSetStream_v2(CudaBlasHandle handle, CUstream stream)
{
    if (fake_enter_blas(__func__) != CUDA_SUCCESS)
        return NOT_INITIALIZED;
    handle->stream = stream;
    return SUCCESS;
}

/* cuBLAS's matrices are by columns. c (m x n) = a (m x k) times b (k x n) is, by rows,
 * c (n x m) = b (n x k) times a (k x m). */
static int multiply(CudaBlasHandle handle, const char *kernel, int m, int n, int k, const void *a,
                    int lda, const void *b, int ldb, void *c, int ldc, double alpha, double beta)
{
    KernelMatmul product = {
        .a = (CUdeviceptr) (uintptr_t) b,
        .b = (CUdeviceptr) (uintptr_t) a,
        .c = (CUdeviceptr) (uintptr_t) c,
        .lda = (uint64_t) ldb,
        .ldb = (uint64_t) lda,
        .ldc = (uint64_t) ldc,
        .m = (uint32_t) n,
        .n = (uint32_t) m,
        .k = (uint32_t) k,
        .accumulate = beta == 1,
    };
    FakeWork w = {.kind = FAKE_WORK_KERNEL};

    if (!handle->stream || m < 1 || n < 1 || k < 1 || lda < m || ldb < k || ldc < m || alpha != 1 ||
        (beta != 0 && beta != 1))
        fake_misuse("cuBLAS: %d by %d by %d, %d, %d, %d apart", m, n, k, lda, ldb, ldc);
    w.launch = fake_launch_new(fake_kernel_find(kernel), &product, sizeof(product));
    w.launch.grid[0] = ((unsigned) m + KERNEL_TILE - 1) / KERNEL_TILE;
    w.launch.grid[1] = ((unsigned) n + KERNEL_TILE - 1) / KERNEL_TILE;
    w.launch.exempt = true;

    FAKE_LOCKED();
    fake_submit(fake_stream_get(handle->stream, "cuBLAS"), &w);
    return SUCCESS;
}

int cublasSgemm_v2(CudaBlasHandle handle, int transpose_a, int transpose_b, int m, int n, int k,
                   const float *alpha, const float *a, int lda, const float *b, int ldb,
                   const float *beta, float *c, int ldc)
{
    if (fake_enter_blas(__func__) != CUDA_SUCCESS)
        return EXECUTION_FAILED;
    if (transpose_a != 0 || transpose_b != 0)
        fake_misuse("cuBLAS: transposed");
    return multiply(handle, "vgpu_ring_matmul_float32", m, n, k, a, lda, b, ldb, c, ldc, *alpha,
                    *beta);
}

int cublasDgemm_v2(CudaBlasHandle handle, int transpose_a, int transpose_b, int m, int n, int k,
                   const double *alpha, const double *a, int lda, const double *b, int ldb,
                   const double *beta, double *c, int ldc)
{
    if (fake_enter_blas(__func__) != CUDA_SUCCESS)
        return EXECUTION_FAILED;
    if (transpose_a != 0 || transpose_b != 0)
        fake_misuse("cuBLAS: transposed");
    return multiply(handle, "vgpu_ring_matmul_float64", m, n, k, a, lda, b, ldb, c, ldc, *alpha,
                    *beta);
}

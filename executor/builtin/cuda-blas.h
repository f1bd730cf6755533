/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The part of cuBLAS that the executor uses. It is opened at run time if it is installed, in
 * the newest version that there is.
 *
 * Prototypes are facts from NVIDIA's cuBLAS manual (docs.nvidia.com/cuda/cublas);
 * they are the same in versions 11 to 13.
 */
#ifndef VGPU_EXECUTOR_CUDA_BLAS_H
#define VGPU_EXECUTOR_CUDA_BLAS_H

#include "cuda-driver.h"

typedef struct cublasContext *CudaBlasHandle;

#define CUDA_BLAS_FUNCTIONS(X)                                                                  \
    X(create, cublasCreate_v2, (CudaBlasHandle * handle))                                       \
    X(destroy, cublasDestroy_v2, (CudaBlasHandle handle))                                       \
    X(set_stream, cublasSetStream_v2, (CudaBlasHandle handle, CUstream stream))                 \
    X(sgemm, cublasSgemm_v2,                                                                    \
      (CudaBlasHandle handle, int transpose_a, int transpose_b, int m, int n, int k,            \
       const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta, \
       float *c, int ldc))                                                                      \
    X(dgemm, cublasDgemm_v2,                                                                    \
      (CudaBlasHandle handle, int transpose_a, int transpose_b, int m, int n, int k,            \
       const double *alpha, const double *a, int lda, const double *b, int ldb,                 \
       const double *beta, double *c, int ldc))

#define CUDA_BLAS_MEMBER(member, symbol, parameters) int(*member) parameters;

typedef struct CudaBlas {
    void *shared_object; /* NULL: not there, or not looked for */
    CUDA_BLAS_FUNCTIONS(CUDA_BLAS_MEMBER)
} CudaBlas;

/* cuda_blas_open() - load it; if it is not installed, @ret is zeroed, which is no error */
void cuda_blas_open(CudaBlas *ret);

/* cuda_blas_close() - unload it; also takes a zeroed one */
void cuda_blas_close(CudaBlas *blas);

/* cuda_blas_new() - make a handle for a stream; returns NULL if cuBLAS does not work */
CudaBlasHandle cuda_blas_new(const CudaBlas *blas, CUstream stream);

/*
 * cuda_blas_matmul() - c = a times b, or c += that
 * @element: 4 for float32, 8 for float64
 * @a, @b, @c: device addresses of row-major matrices without gaps: m x k, k x n, m x n
 *
 * It runs in the handle's stream. Returns false when it could not be queued.
 */
bool cuda_blas_matmul(const CudaBlas *blas, CudaBlasHandle handle, unsigned element, CUdeviceptr a,
                      CUdeviceptr b, CUdeviceptr c, uint32_t m, uint32_t n, uint32_t k,
                      bool accumulate);

#endif

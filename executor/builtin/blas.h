/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * OpenBLAS, opened at run time if it is installed.
 *
 * Another CBLAS will not do: the reference implementation, which distributions install as
 * libblas.so.3 by default, is slower than the loops of cpu-matmul.c.
 */
#ifndef VGPU_EXECUTOR_BLAS_H
#define VGPU_EXECUTOR_BLAS_H

#include "cpu-kernels.h"

/* From the CBLAS standard (BLAS Technical Forum, appendix B); int is 32 bits there. */
typedef void BlasSgemm(int order, int transpose_a, int transpose_b, int m, int n, int k,
                       float alpha, const float *a, int lda, const float *b, int ldb, float beta,
                       float *c, int ldc);
typedef void BlasDgemm(int order, int transpose_a, int transpose_b, int m, int n, int k,
                       double alpha, const double *a, int lda, const double *b, int ldb,
                       double beta, double *c, int ldc);

typedef struct Blas {
    void *shared_object; /* NULL: not there */
    BlasSgemm *sgemm;
    BlasDgemm *dgemm;
} Blas;

/* blas_open() - load it; if it is not installed, @ret is zeroed, which is no error */
void blas_open(Blas *ret);

/* blas_close() - unload it; also takes a zeroed one */
void blas_close(Blas *blas);

/*
 * blas_matmul() - c = a times b, as CpuMatmul
 *
 * Returns false, and has computed nothing, when there is no library or the numbers are too
 * large for it.
 */
bool blas_matmul(const Blas *blas, uint32_t type, const void *a, size_t lda, const void *b,
                 size_t ldb, void *c, size_t ldc, size_t m, size_t n, size_t k);

#endif

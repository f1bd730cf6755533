/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blas.h"

#include <dlfcn.h>

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111 };

void blas_open(Blas *ret)
{
    Blas b = {.shared_object = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL)};

    if (b.shared_object) {
        *(void **) &b.sgemm = dlsym(b.shared_object, "cblas_sgemm");
        *(void **) &b.dgemm = dlsym(b.shared_object, "cblas_dgemm");
    }
    if (!b.sgemm || !b.dgemm)
        blas_close(&b);

    *ret = b;
}

void blas_close(Blas *blas)
{
    if (blas->shared_object)
        dlclose(blas->shared_object);
    *blas = (Blas){0};
}

bool blas_matmul(const Blas *blas, uint32_t type, const void *a, size_t lda, const void *b,
                 size_t ldb, void *c, size_t ldc, size_t m, size_t n, size_t k)
{
    if (!blas->shared_object || m > INT32_MAX || n > INT32_MAX || k > INT32_MAX ||
        lda > INT32_MAX || ldb > INT32_MAX || ldc > INT32_MAX)
        return false;

    if (type == VGPU_TYPE_FLOAT32)
        blas->sgemm(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, (int) m, (int) n, (int) k, 1, a,
                    (int) lda, b, (int) ldb, 0, c, (int) ldc);
    else
        blas->dgemm(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, (int) m, (int) n, (int) k, 1, a,
                    (int) lda, b, (int) ldb, 0, c, (int) ldc);
    return true;
}

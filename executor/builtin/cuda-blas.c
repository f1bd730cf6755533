/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-blas.h"

#include "cleanup.h"

#include <dlfcn.h>

enum { NO_TRANSPOSE = 0, STATUS_SUCCESS = 0 };

static CudaBlas cuda_blas_look_up(const char *name)
{
    CudaBlas b = {.shared_object = dlopen(name, RTLD_NOW | RTLD_LOCAL)};
    bool complete = b.shared_object != NULL;

#define LOOK_UP(member, symbol, parameters)                     \
    if (complete) {                                             \
        *(void **) &b.member = dlsym(b.shared_object, #symbol); \
        complete = b.member != NULL;                            \
    }
    CUDA_BLAS_FUNCTIONS(LOOK_UP)
#undef LOOK_UP

    if (!complete)
        cuda_blas_close(&b);
    return b;
}

void cuda_blas_open(CudaBlas *ret)
{
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"};

    *ret = (CudaBlas){0};
    for (unsigned i = 0; i < ELEMENTSOF(names) && !ret->shared_object; i++)
        *ret = cuda_blas_look_up(names[i]);
}

void cuda_blas_close(CudaBlas *blas)
{
    if (blas->shared_object)
        dlclose(blas->shared_object);
    *blas = (CudaBlas){0};
}

CudaBlasHandle cuda_blas_new(const CudaBlas *blas, CUstream stream)
{
    CudaBlasHandle handle;

    if (!blas->shared_object || blas->create(&handle) != STATUS_SUCCESS)
        return NULL;
    if (blas->set_stream(handle, stream) != STATUS_SUCCESS) {
        blas->destroy(handle);
        return NULL;
    }

    return handle;
}

static void *pointer(CUdeviceptr address)
{
    return (void *) (uintptr_t) address;
}

/* cuBLAS takes matrices by columns. Read by columns, a row-major matrix is its transpose. So
 * cuBLAS computes the transpose of c, as the transpose of b times that of a. */
bool cuda_blas_matmul(const CudaBlas *blas, CudaBlasHandle handle, unsigned element, CUdeviceptr a,
                      CUdeviceptr b, CUdeviceptr c, uint32_t m, uint32_t n, uint32_t k,
                      bool accumulate)
{
    const float one32 = 1, beta32 = accumulate ? 1 : 0;
    const double one64 = 1, beta64 = accumulate ? 1 : 0;
    int rows = (int) n, columns = (int) m, depth = (int) k;

    if (element == sizeof(float))
        return blas->sgemm(handle, NO_TRANSPOSE, NO_TRANSPOSE, rows, columns, depth, &one32,
                           pointer(b), rows, pointer(a), depth, &beta32, pointer(c),
                           rows) == STATUS_SUCCESS;
    return blas->dgemm(handle, NO_TRANSPOSE, NO_TRANSPOSE, rows, columns, depth, &one64, pointer(b),
                       rows, pointer(a), depth, &beta64, pointer(c), rows) == STATUS_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-backend.h"

CUresult cuda_kernel_load(Backend *b, const char *name, CUfunction *ret)
{
    CUresult r = b->driver.module_get_function(ret, b->module, name);

    if (r == CUDA_SUCCESS && b->driver.func_load)
        r = b->driver.func_load(*ret);
    return r;
}

CUresult cuda_kernels_load(Backend *b, const char **ret_name)
{
    CudaKernels *k = &b->ring_kernels;
    const struct {
        CUfunction *function;
        const char *name;
    } kernels[] = {
#define OF(type, suffix, name) {&k->name[type], "vgpu_ring_" #name "_" #suffix}
#define OF_FLOATING_TYPES(name) \
    OF(VGPU_TYPE_FLOAT32, float32, name), OF(VGPU_TYPE_FLOAT64, float64, name)
#define OF_EVERY_TYPE(name) \
    OF(VGPU_TYPE_INT32, int32, name), OF(VGPU_TYPE_INT64, int64, name), OF_FLOATING_TYPES(name)
        OF_EVERY_TYPE(add), OF_EVERY_TYPE(mul),      OF_FLOATING_TYPES(axpy),   OF_EVERY_TYPE(dot),
        OF_EVERY_TYPE(sum), OF_EVERY_TYPE(extremes), OF_FLOATING_TYPES(matmul),
#undef OF_EVERY_TYPE
#undef OF_FLOATING_TYPES
#undef OF
    };
    CUresult r = CUDA_SUCCESS;

    for (size_t i = 0; r == CUDA_SUCCESS && i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        *ret_name = kernels[i].name;
        r = cuda_kernel_load(b, kernels[i].name, kernels[i].function);
    }

    return r;
}

static CUfunction kernel_of(const Backend *b, const VGPUSubmission *s)
{
    const CudaKernels *k = &b->ring_kernels;

    switch (s->opcode) {
    case VGPU_OP_RING_ADD:
        return k->add[s->type];
    case VGPU_OP_RING_MUL:
        return k->mul[s->type];
    case VGPU_OP_RING_AXPY:
        return k->axpy[s->type];
    case VGPU_OP_RING_DOT:
        return k->dot[s->type];
    case VGPU_OP_RING_SUM:
        return k->sum[s->type];
    case VGPU_OP_RING_MATMUL:
        return k->matmul[s->type];
    default: /* MIN and MAX */
        return k->extremes[s->type];
    }
}

/* ---- Launching ------------------------------------------------------------------- */

static CUresult launch(Backend *b, CUfunction kernel, unsigned grid_x, unsigned grid_y,
                       CUstream stream, void *argument)
{
    void *params[] = {argument};

    return b->driver.launch_kernel(kernel, grid_x, grid_y, 1, KERNEL_THREADS, 1, 1, 0, stream,
                                   params, NULL);
}

CUresult cuda_launch_vector(Backend *b, const VGPUSubmission *s, KernelVector *v, unsigned blocks,
                            CUstream stream)
{
    return launch(b, kernel_of(b, s), blocks, 1, stream, v);
}

CUresult cuda_launch_matmul(Backend *b, const VGPUSubmission *s, KernelMatmul *p, CUstream stream)
{
    return launch(b, kernel_of(b, s), (p->n + KERNEL_TILE - 1) / KERNEL_TILE,
                  (p->m + KERNEL_TILE - 1) / KERNEL_TILE, stream, p);
}

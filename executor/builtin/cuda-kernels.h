/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernels of the built-in operations, on the device. */
#ifndef VGPU_EXECUTOR_CUDA_KERNELS_H
#define VGPU_EXECUTOR_CUDA_KERNELS_H

#include "backend.h"
#include "cuda-device.h"
#include "kernels.h"

#define CUDA_N_VECTOR_ADDS 4u

typedef struct CudaKernels {
    const CudaDevice *device;
    CUmodule module;
    CUfunction vector_add[CUDA_N_VECTOR_ADDS]; /* by opcode, from VGPU_OP_VECTOR_ADD_INT32 on */
    /* In a window, by VGPU_TYPE_* */
    CUfunction add[VGPU_N_TYPES], mul[VGPU_N_TYPES], axpy[VGPU_N_TYPES];
    CUfunction dot[VGPU_N_TYPES], sum[VGPU_N_TYPES], extremes[VGPU_N_TYPES];
    CUfunction matmul[VGPU_N_TYPES];
} CudaKernels;

/*
 * cuda_kernels_open() - load the module and every kernel of it
 * @k: zeroed by the caller; to be given to cuda_kernels_close() on failure as well
 * @device: open
 * @path: an image to load instead of the built-in one, or NULL
 * @reason: BACKEND_REASON_MAX bytes; on failure one line without a newline
 *
 * Returns 0 or a negative errno, as cuda_device_check().
 */
int cuda_kernels_open(CudaKernels *k, const CudaDevice *device, const char *path, char *reason);

/* cuda_kernels_close() - takes a zeroed one, too */
void cuda_kernels_close(CudaKernels *k);

/*
 * cuda_kernels_vector_add() - launch the kernel of a request
 * @opcode: a VGPU_OP_VECTOR_ADD_*
 * @params: pointers to the kernel's parameters: a, b, c, n, ret_ns
 */
CUresult cuda_kernels_vector_add(const CudaKernels *k, uint32_t opcode, void *params[],
                                 CUstream stream);

/* cuda_kernels_vector(), cuda_kernels_matmul() - launch the kernel of a submission */
CUresult cuda_kernels_vector(const CudaKernels *k, const VGPUSubmission *s, KernelVector *v,
                             unsigned blocks, CUstream stream);
CUresult cuda_kernels_matmul(const CudaKernels *k, const VGPUSubmission *s, KernelMatmul *m,
                             CUstream stream);

#endif

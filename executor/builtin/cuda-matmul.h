/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Matrix products on a CUDA device. Each element of an operand is needed many times, so a
 * large product is cut into tiles, which are copied to the device and back. A step is one
 * tile of a times one of b.
 */
#ifndef VGPU_EXECUTOR_CUDA_MATMUL_H
#define VGPU_EXECUTOR_CUDA_MATMUL_H

#include "cuda-job.h"
#include "cuda-kernels.h"
#include "cuda-pipeline.h"

/* cuda_matmul_plan() - set the numbers of steps and tiles of a product */
void cuda_matmul_plan(CudaJob *job);

/*
 * cuda_matmul_direct() - a product in the window itself, in one step
 * @reports: where the blocks report, as the device sees it
 */
CUresult cuda_matmul_direct(const CudaKernels *kernels, const CudaJob *job, CUdeviceptr reports,
                            CUstream stream);

/* cuda_matmul_step() - one step of a product in tiles, in a pipe that has its buffers */
CUresult cuda_matmul_step(const CudaKernels *kernels, const CudaBlas *blas, const CudaJob *job,
                          uint64_t step, const CudaPipe *pipe);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What large operations go through: a few pipes, streams that work at the same time, so that
 * the beginning of one step overlaps the end of another. Each priority has a pipeline.
 */
#ifndef VGPU_EXECUTOR_CUDA_PIPELINE_H
#define VGPU_EXECUTOR_CUDA_PIPELINE_H

#include "cuda-bell.h"
#include "cuda-blas.h"

#define CUDA_N_PIPES 3u
/* Of each of a pipe's buffers */
#define CUDA_PIPE_BUFFER_BYTES (16u << 20)

/* One step after the other. */
typedef struct CudaPipe {
    CUstream stream;
    CudaBell bell;
    CUdeviceptr buffers[3]; /* for tiles of a, b and c; 0 before the first of them */
    CudaBlasHandle blas;    /* NULL: cuBLAS does not work, or was not needed yet */
} CudaPipe;

typedef struct CudaPipeline {
    bool blas_is_tried; /* the preparer's */
    bool blas_is_open;  /* the loop's: the pipes have handles, if there are any to have */
    uint64_t end_nsec;  /* when its last operation with copies ended */
    CudaPipe pipes[CUDA_N_PIPES];
} CudaPipeline;

/*
 * cuda_pipeline_open() - make what is not there yet of the streams
 * @priority: the driver's number
 *
 * Nobody needs them before a priority's first large operation.
 */
CUresult cuda_pipeline_open(CudaPipeline *p, const CudaDriver *d, int priority);

/*
 * cuda_pipeline_open_buffers() - make what is not there yet of the buffers
 *
 * Nobody needs memory on the device before a priority's first large matrix product.
 */
CUresult cuda_pipeline_open_buffers(CudaPipeline *p, const CudaDriver *d);

/* cuda_pipeline_close() - wait for it and free it; takes one that was never opened */
void cuda_pipeline_close(CudaPipeline *p, const CudaDriver *d, const CudaBlas *blas);

#endif

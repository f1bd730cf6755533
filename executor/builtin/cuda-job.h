/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An operation in a window on its way through a CUDA device. */
#ifndef VGPU_EXECUTOR_CUDA_JOB_H
#define VGPU_EXECUTOR_CUDA_JOB_H

#include "backend.h"
#include "cuda-driver.h"
#include "reduction.h"

/* Steps of a job that are handed to the device at once. */
#define CUDA_SEGMENT_STEPS 16u

typedef struct CudaJob {
    Operation operation;
    VGPUShape shape;
    bool direct; /* kernels work in the window itself, and report */
    bool single; /* one step, in the priority's own stream */
    /* Not started yet: a thread prepares what the job needs (cuda-prepare.h). */
    bool preparing, needs_window, needs_blas;
    uint64_t n_steps, next_step;
    uint64_t segment;       /* the first step of those in flight */
    uint64_t end_step;      /* behind the last of them */
    uint64_t reported_step; /* the blocks before that one's reported_block have reported */
    unsigned reported_block;
    uint32_t tiles_n, tiles_k; /* of a matrix product; of vectors the latter is 1 */
    unsigned matmul_blocks;    /* of a product that is computed in the window */
    Reduction reduction;
    uint64_t first_ns, last_ns; /* the device's times of the first and last block's report */
    uint64_t start_nsec;
    CUresult error; /* what kept a step from being handed over */
} CudaJob;

static inline uint64_t cuda_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t cuda_divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

#endif

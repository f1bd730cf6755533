/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the loop learns that our own kernels have ended: they say so themselves, in pinned memory of
 * the host, as the last thing that they do (kernels.h). While the loop is awake, it looks there,
 * and neither the driver nor the kernel of the host has any part in it. Before the loop sleeps, it
 * sets bells (cuda-bell.h).
 *
 * A kernel that faults says nothing. So a bell is set also from time to time while the loop never
 * sleeps, and what has said nothing when the bell has rung has failed.
 *
 * Measured on an H200 (bench/cuda-floor.c), one scalar addition after the other: 9.5 microseconds
 * through an executor that is awake, 55 through one that sleeps; by a callback for each row of
 * requests, 29 to 53 and 46 to 73. The same in the driver alone: copy, kernel, copy and a wait that
 * spins 13.5; mapped memory and a word that the stream writes 10.1, what the kernel writes 8.5. 64
 * requests in flight: 195,000 to 202,000 a second, and 155,000 to 171,000 by callbacks.
 */
#ifndef VGPU_EXECUTOR_CUDA_AWAIT_H
#define VGPU_EXECUTOR_CUDA_AWAIT_H

#include "backend.h"
#include "cuda-bell.h"
#include "cuda-pipeline.h"

/* What a slot waits for: kernels in one or more streams */
typedef struct CudaAwait {
    unsigned n;
    struct {
        CUstream stream;
        CudaBell *bell;
        uint64_t number; /* of its bell; 0: not set yet */
    } in[CUDA_N_PIPES];
    CUresult status; /* how it ended */
} CudaAwait;

/* cuda_await_begin() - the slot waits for the kernels that it is about to launch, in no stream yet
 */
void cuda_await_begin(Backend *b, unsigned index);

/* cuda_await_cancel() - no, it could not launch any */
void cuda_await_cancel(Backend *b, unsigned index);

/* cuda_await_add() - it has launched one in that stream */
void cuda_await_add(Backend *b, unsigned index, CUstream stream, CudaBell *bell);

/* cuda_await_take() - the slots whose kernels have ended since the last call; await.status says
 * how */
uint64_t cuda_await_take(Backend *b);

/* cuda_await_sleep() - from now on, wait_fd() becomes ready when a slot's kernels have ended */
void cuda_await_sleep(Backend *b);

#endif

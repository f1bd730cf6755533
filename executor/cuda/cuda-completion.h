/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the loop learns that work on the device has ended which does not say so itself: copies, and
 * the kernels of cuBLAS. Of our own kernels, cuda-await.h has how.
 *
 * Work belongs to a slot and lies in one or more streams. A callback is put behind it in each of
 * them. The driver calls it on a thread of its own; the call that comes last marks the slot as done
 * (done.h).
 *
 * Measured on an H100 in a virtual machine (bench/cuda-floor.c; medians of two runs; the
 * machine's noise between runs is large wherever a thread is woken up):
 *
 * - cuStreamAddCallback against cuLaunchHostFunc: 32 and 33 against 61 and 35 microseconds;
 *   where the context spins, 25 and 40 against 27 and 36. That is no difference to rely on,
 *   and only the former is also called when the context is broken, with the error: that is
 *   how a fault in a kernel reaches the loop.
 */
#ifndef VGPU_EXECUTOR_CUDA_COMPLETION_H
#define VGPU_EXECUTOR_CUDA_COMPLETION_H

#include "cuda-device.h"
#include "done.h"
#include "executor-protocol.h"

typedef struct CudaCompletion CudaCompletion;

/* A slot's work. The driver's threads write here; the loop reads it when the slot is done. */
typedef struct CudaBatch {
    CudaCompletion *completion;
    unsigned slot;
    atomic_uint pending; /* callbacks that have not come yet */
    atomic_int status;   /* the first error */
    uint64_t end_nsec;   /* when the last callback came */
} CudaBatch;

struct CudaCompletion {
    CudaDevice *device;
    Done done;
    CudaBatch batches[EXECUTOR_SLOTS_MAX]; /* by slot */
};

/* How the work of a slot ended. */
typedef struct CudaEnd {
    CUresult status;
    uint64_t nsec; /* when (now_nsec()) */
} CudaEnd;

/* cuda_completion_init() - @c: to be given to cuda_completion_close() from now on */
void cuda_completion_init(CudaCompletion *c, CudaDevice *device);

/* cuda_completion_open() - make what the loop waits on; returns 0 or a negative errno */
int cuda_completion_open(CudaCompletion *c);

/* cuda_completion_close() - no callback is to come any more */
void cuda_completion_close(CudaCompletion *c);

/*
 * cuda_completion_announce() - a slot's work: all that is in these streams now
 * @slot: it has no work that was announced and whose end is still to be asked for
 * @streams: @n of them, at least one
 *
 * Without an error that makes the process unusable, the slot is sure to be done some time.
 */
void cuda_completion_announce(CudaCompletion *c, unsigned slot, const CUstream streams[],
                              unsigned n);

/* cuda_completion_signal() - from any thread: a slot is done with what is no work on the device */
void cuda_completion_signal(CudaCompletion *c, unsigned slot);

/* cuda_completion_take() - the slots that have become done since the last call */
uint64_t cuda_completion_take(CudaCompletion *c);

/* cuda_completion_end() - how a slot's work ended, after it was taken */
CudaEnd cuda_completion_end(const CudaCompletion *c, unsigned slot);

/* cuda_completion_fd() - as BackendOps.wait_fd() */
int cuda_completion_fd(const CudaCompletion *c);

#endif

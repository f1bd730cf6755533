/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the loop learns that work on the device has ended.
 *
 * Work belongs to a slot and lies in one or more streams. A batch is what ends together: one
 * slot's work in several streams, or the work of several slots in one stream. A callback is
 * put behind the batch's work in each of its streams. The driver calls it on a thread of its
 * own; the call that comes last marks the batch's slots as done (done.h).
 *
 * Measured on an H100 in a virtual machine (bench/cuda-floor.c; medians of two runs; the
 * machine's noise between runs is large wherever a thread is woken up):
 *
 * - cuStreamAddCallback against cuLaunchHostFunc: 32 and 33 against 61 and 35 microseconds;
 *   where the context spins, 25 and 40 against 27 and 36. That is no difference to rely on,
 *   and only the former is also called when the context is broken, with the error: that is
 *   how a fault in a kernel reaches the loop.
 * - 64 requests in flight: 27,000 requests a second with a callback for each request and
 *   three streams for each slot, 115,000 to 166,000 with a callback for each row of requests,
 *   whether there are 3, 6 or 48 streams.
 */
#ifndef VGPU_EXECUTOR_CUDA_COMPLETION_H
#define VGPU_EXECUTOR_CUDA_COMPLETION_H

#include "cuda-device.h"
#include "done.h"
#include "executor-protocol.h"

typedef struct CudaCompletion CudaCompletion;

/* The driver's threads write to a batch; the loop reads it when its slots are done. */
typedef struct CudaBatch {
    CudaCompletion *completion;
    uint64_t slots;
    atomic_uint pending; /* callbacks that have not come yet */
    atomic_int status;   /* the first error */
    uint64_t end_nsec;   /* when the last callback came */
} CudaBatch;

struct CudaCompletion {
    CudaDevice *device;
    Done done;
    /* A batch has at least one slot, and each slot is in one batch at most. So a batch is known
     * by the lowest of its slots, and there are never more batches than slots. */
    CudaBatch batches[EXECUTOR_SLOTS_MAX];
    CudaBatch *batch_of[EXECUTOR_SLOTS_MAX]; /* the slot's last batch */
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
 * cuda_completion_announce() - a batch: all that is in these streams now
 * @slots: one bit for each; none of them is in a batch that was announced and whose end is still
 *     to be asked for
 * @streams: @n of them, at least one
 *
 * Without an error that makes the process unusable, the slots are sure to be done some time.
 */
void cuda_completion_announce(CudaCompletion *c, uint64_t slots, const CUstream streams[],
                              unsigned n);

/* cuda_completion_signal() - from any thread: a slot is done with what is no work on the device */
void cuda_completion_signal(CudaCompletion *c, unsigned slot);

/* cuda_completion_take() - the slots that have become done since the last call */
uint64_t cuda_completion_take(CudaCompletion *c);

/* cuda_completion_end() - how the last batch of a slot ended, after it was taken */
CudaEnd cuda_completion_end(const CudaCompletion *c, unsigned slot);

/* cuda_completion_fd() - as BackendOps.wait_fd() */
int cuda_completion_fd(const CudaCompletion *c);

#endif

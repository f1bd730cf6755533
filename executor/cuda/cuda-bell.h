/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream's bell, for a loop that is about to sleep.
 *
 * Kernels of the built-in operations say in the host's memory that they have ended, and a loop
 * that is awake looks there. Nobody wakes a loop that sleeps for that. So the loop puts a callback
 * behind the work first: the bell. It also rings when the work has failed, and says how.
 *
 * A stream is a queue, and so its bells ring in the order in which they were set.
 */
#ifndef VGPU_EXECUTOR_CUDA_BELL_H
#define VGPU_EXECUTOR_CUDA_BELL_H

#include "cuda-device.h"

#include <stdatomic.h>

/* All zero: none was set */
typedef struct CudaBell {
    int event_fd;
    uint64_t n_set;             /* the loop's */
    atomic_uint_least64_t rung; /* so many have rung */
    /* Of the last one that rang with an error. The driver's threads write the error first. */
    atomic_int status;
    atomic_uint_least64_t failed;
} CudaBell;

/*
 * cuda_bell_set() - ring when all that is in the stream now has ended
 * @event_fd: an eventfd, which is written to then; it outlives the stream
 *
 * Without an error that makes the process unusable, the bell is sure to ring some time. Where the
 * driver takes no callback, this waits for the stream. Returns the bell's number, from 1 on.
 */
uint64_t cuda_bell_set(CudaBell *bell, CudaDevice *device, CUstream stream, int event_fd);

/*
 * cuda_bell_has_rung() - has that one?
 * @number: what cuda_bell_set() returned
 * @ret: on true, how the stream's work ended; an error may also be that of work behind it
 */
bool cuda_bell_has_rung(const CudaBell *bell, uint64_t number, CUresult *ret);

#endif

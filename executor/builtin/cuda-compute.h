/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operations in windows, on a CUDA device: cuda-compute.c says how they are computed. */
#ifndef VGPU_EXECUTOR_CUDA_COMPUTE_H
#define VGPU_EXECUTOR_CUDA_COMPUTE_H

#include "cuda-backend.h"

/* cuda_compute_start() - as BackendOps.start() */
bool cuda_compute_start(Backend *b, unsigned index, const Operation *operation, Completion *ret);

/* cuda_compute_has_reported() - have all blocks of what is in flight of a direct job reported? */
bool cuda_compute_has_reported(Backend *b, unsigned index);

/*
 * cuda_compute_collect() - what was in flight of a slot's job has ended
 *
 * Returns true when the job has finished and @ret says how, false when there is more in flight now.
 */
bool cuda_compute_collect(Backend *b, unsigned index, Completion *ret);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the first job in a window, and the first large matrix product of a priority, need
 * and later ones find done. Most of it is done on a thread of its own, while every job that
 * does not need it goes on.
 *
 * Registering a window pins its pages, and makes those that nobody has touched yet.
 * Measured on an H100, for 192 MiB of a memfd: 70 to 105 ms, or 7 to 11 if the pages are
 * there. So the thread makes the pages. The rest is done on the loop's thread: while it lasts,
 * the driver lets no thread launch anything, whichever thread registers. Nor can a window be
 * registered in parts: a copy must not reach from one registration into another.
 *
 * Loading cuBLAS takes 60 to 270 ms and its first handle 3 to 23, during which launches
 * took no longer than 0.3.
 */
#ifndef VGPU_EXECUTOR_CUDA_PREPARE_H
#define VGPU_EXECUTOR_CUDA_PREPARE_H

#include "cuda-backend.h"

/*
 * cuda_prepare() - have the thread do what the job of a slot needs
 *
 * Returns false when nothing is to be done, true when the slot will become done and is
 * then to be given to cuda_prepare_end().
 */
bool cuda_prepare(Backend *b, unsigned index);

/* cuda_prepare_end() - do the rest of it; after that the job's window may have an error */
void cuda_prepare_end(Backend *b, unsigned index);

/* cuda_prepare_run() - the thread's work, as WorkerFunction */
void cuda_prepare_run(void *data, unsigned index);

/* cuda_prepare_undo() - as BackendOps.window_remove() */
void cuda_prepare_undo(Backend *b, MappedWindow *window);

#endif

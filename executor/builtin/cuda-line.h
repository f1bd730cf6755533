/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When operations begin on a CUDA device, for the mediator's time limit. The device does not say it
 * at no cost, but what lies in a line (a stream, or the streams of a pipeline) is done one after
 * the other: the first has begun. Of the others it is not known, and their time begins when those
 * before them have ended.
 */
#ifndef VGPU_EXECUTOR_CUDA_LINE_H
#define VGPU_EXECUTOR_CUDA_LINE_H

#include "backend.h"

#include <sys/queue.h>

typedef struct CudaLineEntry CudaLineEntry;
typedef TAILQ_HEAD(CudaLine, CudaLineEntry) CudaLine;

struct CudaLineEntry {
    TAILQ_ENTRY(CudaLineEntry) link;
    CudaLine *line;
    uint64_t tag; /* of its operation */
    ExecutorBegun *begun;
};

/* cuda_line_join() - @op is about to be handed to the device; the caller owns @e */
void cuda_line_join(CudaLine *line, CudaLineEntry *e, const Operation *op);

/* cuda_line_leave() - it has ended */
void cuda_line_leave(CudaLineEntry *e);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests that the library makes for itself, with memory in the window. When the caller gives up
 * before the host has finished, the memory stays allocated until the host has finished. A pipeline
 * is for one thread; several threads can have one each. */
#ifndef VGPU_GUEST_RING_PIPELINE_H
#define VGPU_GUEST_RING_PIPELINE_H

#include "cleanup.h"
#include "ring.h"

#define PIPELINE_STAGES 4u

typedef struct pipeline pipeline;

typedef struct stage {
    pipeline *owner;
    uint8_t *memory; /* its part of the window */
    vgpu_job job;
    ring_request request; /* with the completion of the last one that has ended */
} stage;

struct pipeline {
    vgpu_ring *ring;
    void *memory;
    uint32_t n_left; /* after pipeline_end(): how many requests the host still has */
    stage stages[PIPELINE_STAGES];
};

/* pipeline_new() - make a pipeline of @n_stages, each with @size bytes of the window. @size is a
 * multiple of HEAP_UNIT. Returns 0, -ENOSPC or -ENOMEM. */
int pipeline_new(vgpu_ring *ring, uint32_t n_stages, uint64_t size, pipeline **ret);

/* pipeline_end() - free the pipeline now, or when the last of its requests has ended */
void pipeline_end(pipeline *p);

/* stage_start() - submit the job of a stage, and wait for room if need be. Returns 0, -ETIMEDOUT,
 * or as vgpu_ring_submit(). */
int stage_start(stage *s, int timeout_ms);

/* stage_wait() - wait until the job has ended, and repeat it while the host turns it away for the
 * moment. Returns the completion's result, -ETIMEDOUT, or another negative errno. */
int stage_wait(stage *s, int timeout_ms);

static inline void cleanup_pipeline(pipeline **p)
{
    if (*p)
        pipeline_end(*p);
}

#define CLEANUP_PIPELINE CLEANUP(cleanup_pipeline)

#endif

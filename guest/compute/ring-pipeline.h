/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests that the library makes for itself, on memory in the window that outlives an impatient
 * caller: what the host still has is not given to anybody else. A pipeline is for one thread;
 * several threads can have one each. */
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
    ring_request request; /* its completion is that of the last that has ended */
} stage;

struct pipeline {
    vgpu_ring *ring;
    void *memory;
    uint32_t n_left; /* requests that the host still has of an abandoned one */
    stage stages[PIPELINE_STAGES];
};

/* pipeline_new() - @n_stages with @size bytes of the window each, at multiples of HEAP_UNIT.
 * Returns 0, -ENOSPC or -ENOMEM. */
int pipeline_new(vgpu_ring *ring, uint32_t n_stages, uint64_t size, pipeline **ret);

/* pipeline_end() - free it, or leave that to the last of its requests */
void pipeline_end(pipeline *p);

/* stage_start() - submit its job, waiting for room if need be. Returns 0, -ETIMEDOUT, or as
 * vgpu_ring_submit(). */
int stage_start(stage *s, int timeout_ms);

/* stage_wait() - wait until it has ended, and repeat what was turned away for the moment. Returns
 * the completion's result, -ETIMEDOUT, or another negative errno. */
int stage_wait(stage *s, int timeout_ms);

static inline void cleanup_pipeline(pipeline **p)
{
    if (*p)
        pipeline_end(*p);
}

#define CLEANUP_PIPELINE CLEANUP(cleanup_pipeline)

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ring-pipeline.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* The longest pause before a request is repeated that the host has turned away for the moment. */
#define RETRY_PAUSE_MAX_NS 100000000u

static void pipeline_destroy(pipeline *p)
{
    vgpu_window_free(p->ring, p->memory);
    free(p);
}

/* The callbacks of a ring never run at the same time, so what only they use needs no lock. */
static void pipeline_left(vgpu_ring *ring, const vgpu_completion *completion)
{
    pipeline *p = completion->userdata;

    (void) ring;
    assert(p->n_left > 0);
    if (--p->n_left == 0)
        pipeline_destroy(p);
}

int pipeline_new(vgpu_ring *ring, uint32_t n_stages, uint64_t size, pipeline **ret)
{
    CLEANUP_FREE pipeline *p = calloc(1, sizeof(*p));
    int r;

    assert(n_stages > 0 && n_stages <= PIPELINE_STAGES);
    if (!p)
        return -ENOMEM;

    p->ring = ring;
    r = vgpu_window_alloc(ring, (size_t) (n_stages * size), HEAP_UNIT, &p->memory);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < n_stages; i++)
        p->stages[i] = (stage){.owner = p, .memory = (uint8_t *) p->memory + i * size};
    *ret = TAKE_PTR(p);
    return 0;
}

void pipeline_end(pipeline *p)
{
    uint32_t n = 0;

    ring_lock(p->ring);
    for (uint32_t i = 0; i < PIPELINE_STAGES; i++)
        if (p->stages[i].request.slot) {
            ring_leave(&p->stages[i].request, pipeline_left, p);
            n++;
        }
    p->n_left = n;
    ring_unlock(p->ring);

    if (n == 0)
        pipeline_destroy(p);
}

static int stage_start_until(stage *s, deadline until)
{
    vgpu_ring *ring = s->owner->ring;
    int r;

    assert(!s->request.slot);
    ring_lock(ring);
    r = ring_start(ring, &s->job, &s->request, until);
    ring_unlock(ring);
    return r;
}

int stage_start(stage *s, int timeout_ms)
{
    return stage_start_until(s, deadline_after(timeout_ms));
}

static int stage_wait_once(stage *s, deadline until)
{
    vgpu_ring *ring = s->owner->ring;
    int r;

    ring_lock(ring);
    r = ring_await(ring, &s->request, until);
    ring_unlock(ring);
    return r < 0 ? r : s->request.completion.result;
}

static bool was_turned_away(int result)
{
    return result == VGPU_ERROR_QUEUE_FULL || result == VGPU_ERROR_RATE_LIMITED;
}

int stage_wait(stage *s, int timeout_ms)
{
    deadline until = deadline_after(timeout_ms);
    backoff pause = {0};
    int r;

    for (;;) {
        r = stage_wait_once(s, until);
        if (!was_turned_away(r) || !backoff_pause(&pause, until, RETRY_PAUSE_MAX_NS))
            return r;
        r = stage_start_until(s, until);
        if (r != 0)
            return r;
    }
}

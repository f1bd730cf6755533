/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ring-pipeline.h"

#include <errno.h>
#include <stdlib.h>

/* Between two tries of a request that the host turned away for the moment. */
#define RETRY_PAUSE_MAX_NS 100000000u

static void destroy(pipeline *p)
{
    vgpu_window_free(p->ring, p->memory);
    free(p);
}

static void has_ended(vgpu_ring *ring, const vgpu_completion *completion)
{
    stage *s = completion->userdata;
    pipeline *p = s->owner;

    (void) ring;
    s->completion = *completion;
    s->ended = true;
    p->in_flight--;
    if (p->abandoned && p->in_flight == 0)
        destroy(p);
}

int pipeline_new(vgpu_ring *ring, uint32_t n_stages, uint64_t size, pipeline **ret)
{
    pipeline *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;

    p->ring = ring;
    r = vgpu_window_alloc(ring, (size_t) (n_stages * size), HEAP_UNIT, &p->memory);
    if (r < 0) {
        free(p);
        return r;
    }
    for (uint32_t i = 0; i < n_stages; i++)
        p->stages[i] = (stage){.owner = p, .memory = (uint8_t *) p->memory + i * size};
    *ret = p;
    return 0;
}

void pipeline_end(pipeline *p)
{
    if (p->in_flight == 0)
        destroy(p);
    else
        p->abandoned = true;
}

static int start(stage *s, deadline until)
{
    vgpu_ring *ring = s->owner->ring;
    int r;

    s->ended = false;
    s->job.callback = has_ended;
    s->job.userdata = s;
    while ((r = vgpu_ring_submit(ring, &s->job, 1, NULL)) == -EAGAIN) {
        r = ring_wait_room(ring, until);
        if (r != 0)
            return r;
    }
    if (r == 0)
        s->owner->in_flight++;
    return r;
}

int stage_start(stage *s, int timeout_ms)
{
    return start(s, deadline_after(timeout_ms));
}

static int wait_until_ended(stage *s, deadline until)
{
    vgpu_ring *ring = s->owner->ring;

    for (;;) {
        int r = 0;

        ring_call_back(ring);
        if (!s->ended)
            r = ring_progress(ring, 1, until);
        if (s->ended)
            return s->completion.result;
        if (r < 0)
            return r;
    }
}

static bool was_turned_away(const stage *s)
{
    return s->ended && (s->completion.result == VGPU_ERROR_QUEUE_FULL ||
                        s->completion.result == VGPU_ERROR_RATE_LIMITED);
}

int stage_wait(stage *s, int timeout_ms)
{
    deadline until = deadline_after(timeout_ms);
    backoff pause = {0};
    int r;

    for (;;) {
        r = wait_until_ended(s, until);
        if (r == 0 || !was_turned_away(s) || !backoff_pause(&pause, until, RETRY_PAUSE_MAX_NS))
            return r;
        r = start(s, until);
        if (r != 0)
            return r;
    }
}

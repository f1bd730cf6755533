/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu bench --depth: vector additions on the ring, with as many outstanding as the user asks for.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "bench.h"
#include "cleanup.h"

/* The vectors are so short that the bench measures the path to the host and not the additions. */
#define ELEMENTS 16u

typedef struct bench_slot {
    vgpu_job job;
    int32_t *a, *b, *c;
    uint64_t submitted_ns;
    int32_t number; /* of its request */
} bench_slot;

typedef struct load {
    const options *o;
    vgpu_device *dev;
    vgpu_ring *ring;
    uint32_t depth;
    bench_slot *slots;
    vgpu_job *batch;
    vgpu_completion *completions;
    uint32_t *idle; /* numbers of slots without a request */
    uint32_t n_idle;
} load;

/* Twice the depth: an entry becomes free only behind those before it, and a request that takes long
 * must not hold up the others. */
static uint32_t entries_for(uint32_t depth)
{
    uint32_t entries = VGPU_RING_ENTRIES_MIN;

    while (entries < VGPU_RING_ENTRIES_MAX && entries < 2 * depth)
        entries *= 2;
    return entries;
}

static int load_open(load *l)
{
    int r;

    r = vgpu_ring_open(l->dev, entries_for(l->depth), l->o->timeout_ms, &l->ring);
    if (r != 0)
        return complain_ring(l->dev, r);

    for (uint32_t i = 0; i < l->depth; i++) {
        bench_slot *s = &l->slots[i];
        void *memory;

        r = vgpu_window_alloc(l->ring, 3 * ELEMENTS * sizeof(int32_t), 0, &memory);
        if (r < 0)
            return complain_result(vgpu_get_address(l->dev), r);
        s->a = memory;
        s->b = s->a + ELEMENTS;
        s->c = s->b + ELEMENTS;
        vgpu_job_vector(l->ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, s->a, s->b, s->c, ELEMENTS,
                        &s->job);
        s->job.userdata = s;
        l->idle[l->n_idle++] = i;
    }
    return EXIT_OK;
}

/* Start a request in each idle slot, @n at most, with one doorbell. @first is the number of the
 * first request. Returns an exit code. */
static int load_start(load *l, uint32_t first, uint32_t n, uint32_t *ret_n)
{
    uint64_t now = now_nsec();
    size_t taken;
    int r;

    if (n > l->n_idle)
        n = l->n_idle;
    *ret_n = 0;
    if (n == 0)
        return EXIT_OK;

    for (uint32_t i = 0; i < n; i++) {
        bench_slot *s = &l->slots[l->idle[l->n_idle - 1 - i]];

        s->number = (int32_t) (first + i);
        for (uint32_t j = 0; j < ELEMENTS; j++) {
            s->a[j] = s->number;
            s->b[j] = (int32_t) j;
        }
        s->submitted_ns = now;
        l->batch[i] = s->job;
    }
    r = vgpu_ring_submit(l->ring, l->batch, n, &taken);
    if (r != 0 && r != -EAGAIN)
        return complain_result(vgpu_get_address(l->dev), r);
    l->n_idle -= (uint32_t) taken;
    *ret_n = (uint32_t) taken;
    return EXIT_OK;
}

static int load_check(const load *l, const vgpu_completion *c)
{
    const bench_slot *s = c->userdata;

    if (c->result != 0)
        return complain_result(vgpu_get_address(l->dev), c->result);
    for (uint32_t j = 0; j < ELEMENTS; j++)
        if (s->c[j] != s->number + (int32_t) j) {
            complain("%s: %" PRId32 " + %" PRIu32 " came back as %" PRId32,
                     vgpu_get_address(l->dev), s->number, j, s->c[j]);
            return EXIT_REFUSED;
        }
    return EXIT_OK;
}

/* Wait for completions, and take them. With interrupts this waits for three quarters of what is
 * outstanding: most of the depth shares an interrupt and a doorbell, and the rest keeps the host
 * busy. */
static int load_finish(load *l, uint32_t outstanding, uint64_t *ret_ns, uint32_t *ret_n)
{
    uint32_t wanted = l->o->interrupt ? (outstanding * 3 + 3) / 4 : 1;
    uint64_t now;
    size_t n;
    int r;

    r = vgpu_ring_wait(l->ring, wanted, l->o->timeout_ms);
    if (r == 0)
        r = vgpu_ring_poll(l->ring, l->completions, l->depth, &n);
    if (r < 0)
        return complain_result(vgpu_get_address(l->dev), r);

    now = now_nsec();
    for (size_t i = 0; i < n; i++) {
        const bench_slot *s = l->completions[i].userdata;

        r = load_check(l, &l->completions[i]);
        if (r != EXIT_OK)
            return r;
        ret_ns[i] = now - s->submitted_ns;
        l->idle[l->n_idle++] = (uint32_t) (s - l->slots);
    }
    *ret_n = (uint32_t) n;
    return EXIT_OK;
}

/* @ns: room for @count times. @count: how many requests to measure; changed to how many were
 * measured when a signal has asked for the end. */
static int load_run(load *l, uint32_t *count, uint64_t *ns)
{
    uint32_t started = 0, finished = 0, n;
    int r;

    while (finished < *count) {
        r = load_start(l, started, *count - started, &n);
        if (r != EXIT_OK)
            return r;
        started += n;

        r = load_finish(l, started - finished, &ns[finished], &n);
        if (r != EXIT_OK)
            return r;
        finished += n;
        if (bench_is_interrupted())
            *count = started;
    }
    return EXIT_OK;
}

static int load_measure(load *l, measurement *m)
{
    uint64_t warm_up[WARM_UP], begin;
    uint32_t n_warm_up = WARM_UP;
    vgpu_ring_counters before_ring;
    vgpu_counters before;
    int r;

    r = load_open(l);
    if (r == EXIT_OK)
        r = load_run(l, &n_warm_up, warm_up);
    if (r != EXIT_OK)
        return r;

    vgpu_get_counters(l->dev, &before);
    vgpu_ring_get_counters(l->ring, &before_ring);
    begin = now_nsec();
    r = load_run(l, &m->count, m->ns);
    if (r != EXIT_OK)
        return r;
    m->total_ns = now_nsec() - begin;
    count_accesses(l->dev, &before, m);
    vgpu_ring_get_counters(l->ring, &m->ring);
    m->ring.doorbells -= before_ring.doorbells;
    m->ring.interrupts -= before_ring.interrupts;
    return EXIT_OK;
}

static void cleanup_load(load *l)
{
    vgpu_ring_close(l->ring);
    free(l->slots);
    free(l->batch);
    free(l->completions);
    free(l->idle);
}

int measure_ring(const options *o, vgpu_device *dev, measurement *m)
{
    CLEANUP(cleanup_load)
    load l = {.o = o, .dev = dev, .depth = o->depth > 0 ? o->depth : 1};

    m->depth = l.depth;
    l.slots = calloc(l.depth, sizeof(*l.slots));
    l.batch = calloc(l.depth, sizeof(*l.batch));
    l.completions = calloc(l.depth, sizeof(*l.completions));
    l.idle = calloc(l.depth, sizeof(*l.idle));
    if (!l.slots || !l.batch || !l.completions || !l.idle) {
        complain("out of memory");
        return EXIT_SYSTEM;
    }
    return load_measure(&l, m);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the device knows of the window: the host pins it in chunks, as memory of it comes into use.
 *
 * A pin belongs to the session, and takes a context to be made. So what is allocated before the
 * first context is pinned with that one.
 */
#include <errno.h>
#include <stdlib.h>

#include "client-internal.h"
#include "vgpu-ring.h"

/* Small enough to take no time that a program notices, and large enough for few copies to cross
 * two. A large window has larger ones: the host takes no more than VGPU_SESSION_PINS_MAX. */
#define CHUNK_MIN (UINT64_C(8) << 20)
#define CHUNKS_MAX 1024u

enum { CHUNK_UNUSED, CHUNK_WANTED, CHUNK_PINNED };

int client_pins_init(vgpu_session *s)
{
    client_pins *p = &s->pins;
    uint64_t window = s->transport->window_size;

    p->chunk = CHUNK_MIN;
    while (window / p->chunk >= CHUNKS_MAX)
        p->chunk *= 2;
    p->n_chunks = (uint32_t) ((window + p->chunk - 1) / p->chunk);
    p->state = calloc(p->n_chunks, 1);
    return p->state ? 0 : -ENOMEM;
}

void client_pins_destroy(vgpu_session *s)
{
    free(s->pins.state);
    free(s->pins.contexts);
}

/* ---- Contexts, with the lock held -------------------------------------------------------------
 */

static bool pins_add_context(client_pins *p, uint32_t id)
{
    uint32_t *more = realloc(p->contexts, (p->n_contexts + 1) * sizeof(*more));

    if (!more)
        return false;
    p->contexts = more;
    p->contexts[p->n_contexts++] = id;
    return true;
}

static void pins_remove_context(client_pins *p, uint32_t id)
{
    for (size_t i = 0; i < p->n_contexts; i++)
        if (p->contexts[i] == id) {
            p->contexts[i] = p->contexts[--p->n_contexts];
            return;
        }
}

/* ---- Pins, with the lock held -----------------------------------------------------------------
 */

/* Returns 0 also when there is no context: then it is pinned with the next. */
static int pin_bytes(vgpu_session *s, uint64_t begin, uint64_t end)
{
    const VGPUSessionPin pin = {.bytes = {.offset = begin, .size = end - begin}};
    client_pins *p = &s->pins;
    int r = VGPU_CUDA_ERROR_INVALID_CONTEXT;

    if (begin >= end)
        return 0;
    while (r == VGPU_CUDA_ERROR_INVALID_CONTEXT && p->n_contexts > 0) {
        const vgpu_session_from from = {.context = p->contexts[0]};

        /* With output_lock held, maybe. */
        r = client_call_silently(s, VGPU_SESSION_OP_WINDOW_PIN, &from, &pin, sizeof(pin), NULL, 0,
                                 NULL);
        if (r == VGPU_CUDA_ERROR_INVALID_CONTEXT)
            pins_remove_context(p, from.context);
    }
    return r;
}

/* The session's own area lies in a chunk, and is pinned already. */
static int pin_around_area(vgpu_session *s, uint64_t begin, uint64_t end)
{
    uint64_t area = s->area, area_end = area + vgpu_session_size(s->ring_size);
    int r;

    if (area_end <= begin || area >= end)
        return pin_bytes(s, begin, end);
    r = pin_bytes(s, begin, area);
    return r == 0 ? pin_bytes(s, area_end, end) : r;
}

/* Chunks side by side are one piece. */
static int pin_chunks(vgpu_session *s, uint32_t first, uint32_t last)
{
    client_pins *p = &s->pins;
    int r = 0;

    for (uint32_t i = first, end; r == 0 && p->n_contexts > 0 && i <= last; i = end) {
        uint64_t stop;

        for (end = i; end <= last && p->state[end] == CHUNK_WANTED; end++)
            ;
        if (end == i) {
            end = i + 1;
            continue;
        }
        stop = end * p->chunk;
        if (stop > s->transport->window_size)
            stop = s->transport->window_size;
        r = pin_around_area(s, i * p->chunk, stop);
        for (uint32_t j = i; r == 0 && j < end; j++)
            p->state[j] = CHUNK_PINNED;
    }
    /* An executor that is older than this operation has pinned all. */
    if (r == VGPU_CUDA_ERROR_NOT_SUPPORTED) {
        p->is_whole = true;
        r = 0;
    }
    return r == VGPU_CUDA_ERROR_INVALID_CONTEXT ? 0 : r;
}

/* ---- For the others ----------------------------------------------------------------------------
 */

int client_pins_need(vgpu_session *s, uint64_t offset, uint64_t size)
{
    client_pins *p = &s->pins;
    uint32_t first = (uint32_t) (offset / p->chunk);
    uint32_t last = (uint32_t) ((offset + size - 1) / p->chunk);
    int r = 0;

    pthread_mutex_lock(&p->lock);
    for (uint32_t i = first; i <= last; i++)
        if (p->state[i] == CHUNK_UNUSED)
            p->state[i] = CHUNK_WANTED;
    if (!p->is_whole)
        r = pin_chunks(s, first, last);
    pthread_mutex_unlock(&p->lock);
    return r;
}

int client_pins_begin_context(vgpu_session *s, uint32_t id)
{
    client_pins *p = &s->pins;
    int r = VGPU_CUDA_ERROR_OUT_OF_MEMORY;

    pthread_mutex_lock(&p->lock);
    if (pins_add_context(p, id))
        r = p->is_whole ? 0 : pin_chunks(s, 0, p->n_chunks - 1);
    pthread_mutex_unlock(&p->lock);
    return r;
}

void client_pins_end_context(vgpu_session *s, uint32_t id)
{
    pthread_mutex_lock(&s->pins.lock);
    pins_remove_context(&s->pins, id);
    pthread_mutex_unlock(&s->pins.lock);
}

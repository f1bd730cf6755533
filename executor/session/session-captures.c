/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-captures.h"

void session_captures_open(Session *s)
{
    pthread_mutex_init(&s->captures.lock, NULL);
    LIST_INIT(&s->captures.streams);
}

/* ---- Modes ------------------------------------------------------------------------------------
 */

static bool capture_minds(const SessionStream *stream, const VGPUSessionRecord *record)
{
    if (stream->capture_mode == SESSION_CAPTURE_RELAXED)
        return false;
    return stream->capture_thread == record->thread ||
           (stream->capture_mode == SESSION_CAPTURE_GLOBAL &&
            record->capture_mode == SESSION_CAPTURE_GLOBAL);
}

int session_captures_mode(Session *s, const VGPUSessionRecord *record)
{
    SessionCaptures *c = &s->captures;
    const SessionStream *stream;
    int mode = SESSION_CAPTURE_RELAXED;

    if (__atomic_load_n(&c->n, __ATOMIC_ACQUIRE) == 0 ||
        record->capture_mode == SESSION_CAPTURE_RELAXED)
        return mode;
    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, capture_link)
    if (capture_minds(stream, record))
        mode = SESSION_CAPTURE_GLOBAL;
    pthread_mutex_unlock(&c->lock);
    return mode;
}

void session_captures_begin(Session *s, SessionStream *stream, const VGPUSessionRecord *record,
                            uint32_t mode)
{
    SessionCaptures *c = &s->captures;

    stream->capture_mode = (uint8_t) mode;
    stream->capture_thread = record->thread;
    pthread_mutex_lock(&c->lock);
    LIST_INSERT_HEAD(&c->streams, stream, capture_link);
    if (c->n == 0)
        c->time++;
    __atomic_store_n(&c->n, c->n + 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&c->lock);
}

void session_captures_end(Session *s, SessionStream *stream)
{
    SessionCaptures *c = &s->captures;

    pthread_mutex_lock(&c->lock);
    LIST_REMOVE(stream, capture_link);
    __atomic_store_n(&c->n, c->n - 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&c->lock);
    if (stream->grows) {
        pthread_mutex_lock(&session_store(s)->handles);
        (void) session_graph_lost(s, stream->grows);
        pthread_mutex_unlock(&session_store(s)->handles);
    }
    if (c->n > 0)
        return;
    c->n_nodes = 0;
    c->may_wait = false;
    pthread_mutex_lock(&session_store(s)->handles);
    session_uses_clear(&c->uses);
    session_events_sweep(s);
    pthread_mutex_unlock(&session_store(s)->handles);
}

/* ---- What is in them --------------------------------------------------------------------------
 */

CUresult session_captures_count(Session *s, uint32_t n, bool may_wait)
{
    SessionCaptures *c = &s->captures;

    c->may_wait |= may_wait;
    if (n > VGPU_SESSION_NODES_MAX - c->n_nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    c->n_nodes += n;
    return CUDA_SUCCESS;
}

static uint64_t captures_time(Session *s)
{
    return __atomic_load_n(&s->captures.time, __ATOMIC_RELAXED);
}

static bool captures_are(Session *s)
{
    return __atomic_load_n(&s->captures.n, __ATOMIC_ACQUIRE) > 0;
}

CUresult session_captures_module(Session *s, SessionModule *module)
{
    const uint64_t time = captures_time(s);
    CUresult r = CUDA_SUCCESS;

    if (module->captured != time)
        r = session_uses_add_object(&s->captures.uses, module);
    if (r == CUDA_SUCCESS)
        module->captured = time;
    return r;
}

CUresult session_captures_named(Session *s, const void *object)
{
    return session_uses_add_object(&s->captures.uses, object);
}

CUresult session_captures_event(Session *s, CUevent event, uint32_t id)
{
    return session_uses_add_event(&s->captures.uses, event, id);
}

CUresult session_captures_exec(Session *s, const SessionGraph *exec)
{
    return session_uses_add(&s->captures.uses, &exec->uses);
}

bool session_captures_have(Session *s, CUevent event)
{
    return captures_are(s) && session_uses_event(&s->captures.uses, event);
}

void session_captures_forget(Session *s, CUevent event)
{
    if (session_uses_forget_event(&s->captures.uses, event))
        s->captures.broken = captures_time(s);
}

void session_captures_break(Session *s, const void *object)
{
    if (captures_are(s) && session_uses_has_object(&s->captures.uses, object))
        s->captures.broken = captures_time(s);
}

bool session_captures_are_broken(Session *s)
{
    return s->captures.broken == captures_time(s);
}

CUresult session_captures_take(Session *s, SessionGraph *graph)
{
    if (session_captures_are_broken(s))
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    return session_uses_add(&graph->uses, &s->captures.uses);
}

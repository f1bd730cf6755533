/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-objects.h"

#include <errno.h>

void session_objects_init(Session *s, uint32_t limit)
{
    for (unsigned k = 0; k < SESSION_N_KINDS; k++)
        session_table_init(&s->tables[k], limit);
}

CUresult session_add(Session *s, SessionKind kind, uint32_t id, void *object)
{
    const SessionThread *thread = session_thread();
    uint32_t context = thread && thread->context ? thread->context->id : 0;
    int r;

    pthread_mutex_lock(&s->lock);
    r = session_table_add(&s->tables[kind], id, object, context);
    pthread_mutex_unlock(&s->lock);
    if (r == -ENOMEM)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return r < 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

static CUresult session_missing(SessionKind kind)
{
    return kind == SESSION_CONTEXT ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_INVALID_HANDLE;
}

CUresult session_find(Session *s, SessionKind kind, uint32_t id, void **ret)
{
    void *object = session_table_find(&s->tables[kind], id);

    if (!object)
        return session_missing(kind);
    *ret = object;
    return CUDA_SUCCESS;
}

CUresult session_remove(Session *s, SessionKind kind, uint32_t id, void **ret)
{
    void *object;

    pthread_mutex_lock(&s->lock);
    object = session_table_remove(&s->tables[kind], id);
    pthread_mutex_unlock(&s->lock);
    if (!object)
        return session_missing(kind);
    *ret = object;
    return CUDA_SUCCESS;
}

void *session_take_of(Session *s, SessionKind kind, uint32_t context, uint32_t *id)
{
    void *object;

    pthread_mutex_lock(&s->lock);
    object = session_table_take_of(&s->tables[kind], context, id);
    pthread_mutex_unlock(&s->lock);
    return object;
}

const CudaSessionDriver *session_driver(const Session *s)
{
    return &s->driver;
}

CUdevice session_device(const Session *s)
{
    return s->device;
}

SessionControl *session_control(Session *s)
{
    return s->control;
}

const SessionStart *session_limits(const Session *s)
{
    return &s->start;
}

struct SessionStore *session_store(Session *s)
{
    return s->store;
}

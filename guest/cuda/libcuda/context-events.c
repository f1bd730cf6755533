/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events of a whole context. All that its streams do comes together in a stream of this library's
 * own, where the program's event is recorded; and all of them, and those that are made later, wait
 * for what another such stream waits for.
 */
#include "context.h"
#include "cuda-api-streams.h"
#include "event.h"

/* Who makes these streams; outside of a context's lock */
static pthread_mutex_t context_events_lock = PTHREAD_MUTEX_INITIALIZER;

static CUresult context_events_make(const LibCall *call, LibStream **stream, uint32_t *event)
{
    VGPUSessionCreate parameters = {.flags = EVENT_DISABLE_TIMING};
    CUresult r;

    if (*stream)
        return CUDA_SUCCESS;
    r = vgpu_session_id_take(call->session, VGPU_SESSION_EVENTS, &parameters.id);
    if (r != CUDA_SUCCESS)
        return r;
    r = libcuda_post(call, VGPU_SESSION_OP_EVENT_CREATE, &parameters, sizeof(parameters));
    if (r == CUDA_SUCCESS)
        r = libcuda_stream_make(call, CU_STREAM_NON_BLOCKING, 0, stream);
    if (r != CUDA_SUCCESS) {
        vgpu_session_id_give(call->session, VGPU_SESSION_EVENTS, parameters.id);
        return r;
    }
    __atomic_store_n(event, parameters.id, __ATOMIC_RELEASE);
    return CUDA_SUCCESS;
}

void context_events_drop(vgpu_session *s, LibContext *c)
{
    if (c->joined)
        vgpu_session_id_give(s, VGPU_SESSION_EVENTS, c->joined_event);
    if (c->barrier)
        vgpu_session_id_give(s, VGPU_SESSION_EVENTS, c->barrier_event);
    c->joined = c->barrier = NULL;
    c->joined_event = 0;
    __atomic_store_n(&c->barrier_event, 0, __ATOMIC_RELEASE);
}

static CUresult context_events_post(const LibCall *call, uint16_t opcode, uint32_t event,
                                    uint32_t stream)
{
    const VGPUSessionEvent parameters = {.event = event, .stream = stream};

    return libcuda_post(call, opcode, &parameters, sizeof(parameters));
}

CUresult context_events_before(const LibCall *call, const LibStream *stream)
{
    const uint32_t event = __atomic_load_n(&call->context->barrier_event, __ATOMIC_ACQUIRE);

    return event == 0 ? CUDA_SUCCESS
                      : context_events_post(call, VGPU_SESSION_OP_STREAM_WAIT_EVENT, event,
                                            stream->number);
}

/* The event, in whatever context it is, and @handle's context in the call */
static CUresult context_events_enter(CUcontext handle, CUevent event_handle, LibCall *call,
                                     LibEvent **ret)
{
    CUresult r = event_of(event_handle, call, ret);
    const LibStream *stream;
    LibContext *c;

    if (r != CUDA_SUCCESS)
        return r;
    c = libcuda_context_of(handle);
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    call->context = c;
    call->from.context = __atomic_load_n(&c->number, __ATOMIC_ACQUIRE);
    if (call->from.context == 0)
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, of_context)
    if (__atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED))
        r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    pthread_mutex_unlock(&c->lock);
    return r;
}

static bool context_events_owns(const LibContext *c, const LibStream *stream)
{
    return stream == c->joined || stream == c->barrier;
}

/* An event that a stream waits for may be recorded again at once. */
static CUresult context_events_join(const LibCall *call)
{
    LibContext *c = call->context;
    const LibStream *stream;
    CUresult r = CUDA_SUCCESS;

    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, of_context)
    {
        if (context_events_owns(c, stream))
            continue;
        if (r == CUDA_SUCCESS)
            r = context_events_post(call, VGPU_SESSION_OP_EVENT_RECORD, c->joined_event,
                                    stream->number);
        if (r == CUDA_SUCCESS)
            r = context_events_post(call, VGPU_SESSION_OP_STREAM_WAIT_EVENT, c->joined_event,
                                    c->joined->number);
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

CUresult cuCtxRecordEvent(CUcontext handle, CUevent event_handle)
{
    LibEvent *event;
    LibCall call;
    CUresult r = context_events_enter(handle, event_handle, &call, &event);

    if (r != CUDA_SUCCESS)
        return r;
    if (event->context != call.context)
        return CUDA_ERROR_INVALID_HANDLE;
    pthread_mutex_lock(&context_events_lock);
    r = context_events_make(&call, &call.context->joined, &call.context->joined_event);
    if (r == CUDA_SUCCESS)
        r = context_events_join(&call);
    if (r == CUDA_SUCCESS)
        r = event_record(&call, event, call.context->joined, 0);
    pthread_mutex_unlock(&context_events_lock);
    return r;
}

static CUresult context_events_wait(const LibCall *call, const LibEvent *event)
{
    LibContext *c = call->context;
    LibStream *stream;
    CUresult r;

    r = context_events_make(call, &c->barrier, &c->barrier_event);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, of_context)
    if (r == CUDA_SUCCESS && stream != c->joined)
        r = event_wait(call, event, stream, 0);
    pthread_mutex_unlock(&c->lock);
    return r == CUDA_SUCCESS ? context_events_post(call, VGPU_SESSION_OP_EVENT_RECORD,
                                                   c->barrier_event, c->barrier->number)
                             : r;
}

CUresult cuCtxWaitEvent(CUcontext handle, CUevent event_handle)
{
    LibEvent *event;
    LibCall call;
    CUresult r = context_events_enter(handle, event_handle, &call, &event);

    if (r != CUDA_SUCCESS)
        return r;
    if (event->is_captured)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    pthread_mutex_lock(&context_events_lock);
    r = context_events_wait(&call, event);
    pthread_mutex_unlock(&context_events_lock);
    return r;
}

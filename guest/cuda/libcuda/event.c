/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events. The executor has each as the driver's own, for waits of streams and for times; whether
 * one has come is a look at the fence that stands behind it in its stream.
 */
#include "event.h"

#include <stdlib.h>
#include <string.h>

#include "capture.h"

/* CUevent_flags */
#define EVENT_FLAGS (EVENT_BLOCKING_SYNC | EVENT_DISABLE_TIMING | EVENT_INTERPROCESS)

/* CUevent_record_flags, CUevent_wait_flags */
#define EVENT_EXTERNAL 0x1u

static bool event_is_alive(const LibEvent *event)
{
    return __atomic_load_n(&event->context->number, __ATOMIC_ACQUIRE) != 0 &&
           __atomic_load_n(&event->context->opened, __ATOMIC_RELAXED) == event->opened;
}

/* Also one whose context has ended */
static CUresult event_find(CUevent handle, LibCall *call, LibEvent **ret)
{
    LibEvent *event;
    CUresult r = libcuda_enter(call);

    if (r != CUDA_SUCCESS)
        return r;
    event = handle_object(HANDLE_EVENT, handle);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    call->context = event->context;
    call->from.context = event->context->number;
    *ret = event;
    return CUDA_SUCCESS;
}

CUresult event_of(CUevent handle, LibCall *call, LibEvent **ret)
{
    CUresult r = event_find(handle, call, ret);

    return r == CUDA_SUCCESS && !event_is_alive(*ret) ? CUDA_ERROR_CONTEXT_IS_DESTROYED : r;
}

static LibEvent *event_new(const LibCall *call, unsigned flags, uint32_t number)
{
    LibEvent *event = calloc(1, sizeof(*event));

    if (!event)
        return NULL;
    event->handle = handle_new(HANDLE_EVENT, event);
    if (!event->handle) {
        free(event);
        return NULL;
    }
    event->context = call->context;
    event->opened = call->context->opened;
    event->flags = flags;
    event->number = number;
    pthread_mutex_init(&event->lock, NULL);
    return event;
}

static CUresult event_fence_new(vgpu_session *s, LibEventFence **ret)
{
    LibEventFence *f = calloc(1, sizeof(*f));
    CUresult r = f ? vgpu_session_fence_new(s, &f->fence) : CUDA_ERROR_OUT_OF_MEMORY;

    if (r != CUDA_SUCCESS) {
        free(f);
        return r;
    }
    f->n = 1;
    *ret = f;
    return CUDA_SUCCESS;
}

/* With the event's lock, unless nobody else has the event */
static void event_fence_leave(vgpu_session *s, LibEventFence *f)
{
    if (!f || --f->n > 0)
        return;
    libcuda_fence_leave(s, NULL, f->fence, f->last);
    free(f);
}

static void event_free(LibEvent *event)
{
    handle_end(event->handle);
    pthread_mutex_destroy(&event->lock);
    free(event);
}

CUresult cuEventCreate(CUevent *ret, unsigned flags)
{
    /* What processes share is not the driver's (event-ipc.c). */
    VGPUSessionCreate parameters = {.flags = flags & ~(unsigned) EVENT_INTERPROCESS};
    LibEvent *event;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || (flags & ~(unsigned) EVENT_FLAGS) != 0 ||
        ((flags & EVENT_INTERPROCESS) && !(flags & EVENT_DISABLE_TIMING)))
        return CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_id_take(call.session, VGPU_SESSION_EVENTS, &parameters.id);
    if (r != CUDA_SUCCESS)
        return r;
    event = event_new(&call, flags, parameters.id);
    r = event ? libcuda_post(&call, VGPU_SESSION_OP_EVENT_CREATE, &parameters, sizeof(parameters))
              : CUDA_ERROR_OUT_OF_MEMORY;
    if (r != CUDA_SUCCESS) {
        vgpu_session_id_give(call.session, VGPU_SESSION_EVENTS, parameters.id);
        if (event)
            event_free(event);
        return r;
    }
    *ret = event->handle;
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent handle)
{
    LibEvent *event;
    VGPUSessionId parameters = {0};
    LibCall call;
    CUresult r = event_find(handle, &call, &event);

    if (r != CUDA_SUCCESS)
        return r;
    parameters.id = event->number;
    if (event_is_alive(event))
        r = libcuda_post(&call, VGPU_SESSION_OP_EVENT_DESTROY, &parameters, sizeof(parameters));
    vgpu_session_id_give(call.session, VGPU_SESSION_EVENTS, event->number);
    event_fence_leave(call.session, event->fence);
    event_free(event);
    return r;
}

CUresult cuEventDestroy(CUevent handle)
{
    return cuEventDestroy_v2(handle);
}

/* ---- In streams --------------------------------------------------------------------------------
 */

/* The event has a fence of its own: its stream may end before the event is asked. One fence is for
 * numbers of one stream, which come in their order: a record in another stream takes another fence,
 * unless the last number has come. */
static CUresult event_mark(const LibCall *call, LibEvent *event, LibStream *stream)
{
    uint64_t number;
    CUresult r = CUDA_SUCCESS, told;

    pthread_mutex_lock(&event->lock);
    if (event->fence && event->stream != stream->number &&
        !vgpu_session_fence_is_idle(event->fence->fence, event->fence->last)) {
        event_fence_leave(call->session, event->fence);
        event->fence = NULL;
        __atomic_store_n(&event->looked, 0, __ATOMIC_RELAXED); /* numbers begin again */
    }
    if (!event->fence)
        r = event_fence_new(call->session, &event->fence);
    if (r == CUDA_SUCCESS)
        r = libcuda_fence_put(call, stream, event->fence->fence, &number);
    if (r == CUDA_SUCCESS) {
        event->fence->last = number;
        event->stream = stream->number;
    }
    pthread_mutex_unlock(&event->lock);
    if (r == CUDA_SUCCESS)
        return r;
    told = libcuda_told(call); /* the same, of the record: one call tells it */
    return told != CUDA_SUCCESS ? told : r;
}

CUresult event_recorded(const LibCall *call, LibEvent *event, LibStream *stream)
{
    event->is_captured = __atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED);
    event->capture_id = stream->capture_id;
    return event->is_captured ? CUDA_SUCCESS : event_mark(call, event, stream);
}

CUresult event_record(const LibCall *call, LibEvent *event, LibStream *stream, unsigned flags)
{
    const VGPUSessionEvent parameters = {
        .event = event->number,
        .stream = stream->number,
        .flags = flags,
    };
    const bool captures = capture_has(stream);
    CUresult r;

    libcuda_stream_worked(stream);
    /* A capture may have ended by something else: then the event stays as it was. */
    if (captures)
        r = libcuda_ask(call, VGPU_SESSION_OP_EVENT_RECORD, &parameters, sizeof(parameters), NULL);
    else
        r = libcuda_post(call, VGPU_SESSION_OP_EVENT_RECORD, &parameters, sizeof(parameters));
    if (r == CUDA_SUCCESS && flags != 0 && captures) {
        event->is_captured = false;
        return capture_records(stream, event->handle);
    }
    return r == CUDA_SUCCESS ? event_recorded(call, event, stream) : r;
}

/* Wait until it has come. */
static CUresult event_come(const LibCall *call, LibEvent *event)
{
    LibEventFence *f;
    uint64_t last = 0;
    uint32_t stream;
    CUresult r = CUDA_SUCCESS;

    pthread_mutex_lock(&event->lock);
    f = event->fence;
    stream = event->stream;
    if (f) {
        f->n++;
        last = f->last;
    }
    pthread_mutex_unlock(&event->lock);
    if (f) {
        r = libcuda_fence_wait(call, stream, f->fence, last);
        pthread_mutex_lock(&event->lock);
        event_fence_leave(call->session, f);
        pthread_mutex_unlock(&event->lock);
    }
    return r == CUDA_SUCCESS ? libcuda_told(call) : r;
}

CUresult cuEventRecordWithFlags(CUevent handle, CUstream stream_handle, unsigned flags)
{
    LibStream *stream;
    LibEvent *event;
    LibCall call;
    CUresult r = event_of(handle, &call, &event);

    if (r == CUDA_SUCCESS)
        r = libcuda_enter_stream(stream_handle, &call, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    if (flags & ~EVENT_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;
    if (event->context != call.context)
        return CUDA_ERROR_INVALID_HANDLE;
    if ((event->flags & EVENT_INTERPROCESS) && capture_has(stream))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    r = event_record(&call, event, stream, flags);
    return r == CUDA_SUCCESS && (event->flags & EVENT_INTERPROCESS) ? event_come(&call, event) : r;
}

CUresult cuEventRecord(CUevent handle, CUstream stream)
{
    return cuEventRecordWithFlags(handle, stream, 0);
}

CUresult cuEventRecord_ptsz(CUevent handle, CUstream stream)
{
    return cuEventRecordWithFlags(handle, libcuda_per_thread(stream), 0);
}

CUresult cuEventRecordWithFlags_ptsz(CUevent handle, CUstream stream, unsigned flags)
{
    return cuEventRecordWithFlags(handle, libcuda_per_thread(stream), flags);
}

CUresult event_wait(const LibCall *call, const LibEvent *event, LibStream *stream, unsigned flags)
{
    const VGPUSessionEvent parameters = {
        .event = event->number,
        .stream = stream->number,
        .flags = flags,
    };
    const bool joins = event->is_captured && !capture_has(stream);
    uint64_t number;
    CUresult r;

    /* Nothing can be put behind earlier work when the stream captures; the legacy one does not. */
    if (joins && stream->number != 0)
        (void) libcuda_stream_mark(call, stream, &number);
    libcuda_stream_worked(stream);
    /* A capture ends by what it does not allow: the program is to be told by this call. */
    if (!event->is_captured && !capture_has(stream))
        return libcuda_post(call, VGPU_SESSION_OP_STREAM_WAIT_EVENT, &parameters,
                            sizeof(parameters));
    r = libcuda_ask(call, VGPU_SESSION_OP_STREAM_WAIT_EVENT, &parameters, sizeof(parameters), NULL);
    if (r == CUDA_SUCCESS && joins)
        capture_join(call, stream, event->capture_id);
    return r;
}

CUresult cuStreamWaitEvent(CUstream stream_handle, CUevent handle, unsigned flags)
{
    LibStream *stream;
    LibEvent *event;
    LibCall call;
    CUresult r = event_of(handle, &call, &event);

    if (r == CUDA_SUCCESS)
        r = libcuda_enter_stream(stream_handle, &call, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    if (flags & ~EVENT_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;
    return event_wait(&call, event, stream, flags);
}

CUresult cuStreamWaitEvent_ptsz(CUstream stream, CUevent handle, unsigned flags)
{
    return cuStreamWaitEvent(libcuda_per_thread(stream), handle, flags);
}

/* ---- Questions ---------------------------------------------------------------------------------
 */

/* An event that was never recorded has come. *ret_last: 0 for such */
static bool event_has_come(LibEvent *event, uint64_t *ret_last)
{
    bool has;

    pthread_mutex_lock(&event->lock);
    *ret_last = event->fence ? event->fence->last : 0;
    has = !event->fence || vgpu_session_fence_is_passed(event->fence->fence, *ret_last);
    pthread_mutex_unlock(&event->lock);
    return has;
}

CUresult cuEventQuery(CUevent handle)
{
    LibEvent *event;
    uint64_t last;
    LibCall call;
    CUresult r = event_of(handle, &call, &event);

    if (r != CUDA_SUCCESS)
        return r;
    if (event->is_captured)
        return CUDA_ERROR_CAPTURED_EVENT;
    r = capture_forbids();
    if (r != CUDA_SUCCESS)
        return r;
    if (!event_has_come(event, &last))
        return CUDA_ERROR_NOT_READY;
    if (last != 0)
        libcuda_looked(&call, &event->looked, last);
    return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent handle)
{
    LibEvent *event;
    LibCall call;
    CUresult r = event_of(handle, &call, &event);

    if (r != CUDA_SUCCESS)
        return r;
    if (event->is_captured)
        return CUDA_ERROR_CAPTURED_EVENT;
    r = capture_forbids();
    return r == CUDA_SUCCESS ? event_come(&call, event) : r;
}

CUresult cuEventElapsedTime_v2(float *msec, CUevent from_handle, CUevent to_handle)
{
    VGPUSessionEvent parameters = {0};
    LibEvent *from, *to;
    VGPUSessionReply reply;
    LibCall call;
    uint32_t bits;
    CUresult r = event_of(from_handle, &call, &from);

    if (r == CUDA_SUCCESS)
        r = event_of(to_handle, &call, &to);
    if (r != CUDA_SUCCESS)
        return r;
    if (!msec)
        return CUDA_ERROR_INVALID_VALUE;
    parameters.event = from->number;
    parameters.other = to->number;
    r = libcuda_ask(&call, VGPU_SESSION_OP_EVENT_ELAPSED, &parameters, sizeof(parameters), &reply);
    if (r != CUDA_SUCCESS)
        return r;
    bits = (uint32_t) reply.value[0];
    memcpy(msec, &bits, sizeof(*msec));
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float *msec, CUevent from, CUevent to)
{
    return cuEventElapsedTime_v2(msec, from, to);
}

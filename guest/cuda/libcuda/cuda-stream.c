/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams: made and ended without an answer, under numbers that this side chooses. */
#include <stdlib.h>

#include "capture.h"
#include "context.h"
#include "cuda-api-streams.h"

LibStream *libcuda_stream_new(LibContext *c, uint32_t number, unsigned flags, int priority)
{
    LibStream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return NULL;
    stream->context = c;
    stream->number = number;
    stream->flags = flags;
    stream->priority = priority;
    stream->id = libcuda_next_id();
    pthread_mutex_init(&stream->lock, NULL);
    pthread_mutex_lock(&c->lock);
    LIST_INSERT_HEAD(&c->streams, stream, of_context);
    pthread_mutex_unlock(&c->lock);
    return stream;
}

static void stream_free(LibStream *stream)
{
    vgpu_session *s = libcuda_process.session;

    if (s) {
        libcuda_fence_leave(s, stream->context, stream->fence, stream->last);
        vgpu_session_id_give(s, VGPU_SESSION_STREAMS, stream->number);
    }
    pthread_mutex_destroy(&stream->lock);
    free(stream->capture_nodes);
    free(stream->values);
    free(stream);
}

void libcuda_stream_leave(LibStream *stream)
{
    stream->n_others--;
    if (stream->n_others == 0 && stream->is_gone)
        stream_free(stream);
}

/* Work in it goes on. */
CUresult libcuda_stream_end(const LibCall *call, LibStream *stream)
{
    const VGPUSessionId parameters = {.id = stream->number};
    LibCapture *capture = capture_begun_in(stream);
    LibContext *c = stream->context;
    CUresult r = CUDA_SUCCESS;
    uint64_t number;

    pthread_mutex_lock(&c->lock);
    if (stream->is_gone) { /* with its context, at the same moment */
        pthread_mutex_unlock(&c->lock);
        return CUDA_SUCCESS;
    }
    handle_end(stream->handle);
    /* The context is done when this work is, too (libcuda_context_wait()). */
    if (call && !capture_has(stream) && __atomic_load_n(&stream->has_work, __ATOMIC_ACQUIRE))
        (void) libcuda_stream_mark(call, stream, &number);
    if (call)
        r = libcuda_post(call, VGPU_SESSION_OP_STREAM_DESTROY, &parameters, sizeof(parameters));
    LIST_REMOVE(stream, of_context);
    __atomic_store_n(&stream->is_gone, true, __ATOMIC_RELAXED);
    if (stream->n_others == 0)
        stream_free(stream);
    pthread_mutex_unlock(&c->lock);
    if (capture)
        capture_drop(c, capture);
    return r;
}

void libcuda_stream_release(LibStream *stream)
{
    LibContext *c = stream->context;

    pthread_mutex_lock(&c->lock);
    libcuda_stream_leave(stream);
    pthread_mutex_unlock(&c->lock);
}

/* ---- Default streams ---------------------------------------------------------------------------
 */

CUresult libcuda_stream_make(const LibCall *call, unsigned flags, int priority, LibStream **ret)
{
    VGPUSessionCreate parameters = {.flags = flags, .priority = priority};
    LibStream *stream;
    CUresult r = vgpu_session_id_take(call->session, VGPU_SESSION_STREAMS, &parameters.id);

    if (r != CUDA_SUCCESS)
        return r;
    stream = libcuda_stream_new(call->context, parameters.id, flags, priority);
    r = stream ? libcuda_post(call, VGPU_SESSION_OP_STREAM_CREATE, &parameters, sizeof(parameters))
               : CUDA_ERROR_OUT_OF_MEMORY;
    if (r == CUDA_SUCCESS)
        r = context_events_before(call, stream);
    if (r != CUDA_SUCCESS) {
        if (stream)
            (void) libcuda_stream_end(NULL, stream);
        else
            vgpu_session_id_give(call->session, VGPU_SESSION_STREAMS, parameters.id);
        return r;
    }
    *ret = stream;
    return CUDA_SUCCESS;
}

/* The thread's own default stream in this context, made when it is first used; it and the legacy
 * one wait for each other. One that ended with its context, which may be there again, is forgotten.
 */
static CUresult stream_of_thread(const LibCall *call, LibStream **ret)
{
    LibStream *stream;
    CUresult r;

    LIST_FOREACH(stream, &libcuda_thread.streams, of_thread)
    if (stream->context == call->context)
        break;
    if (stream && !__atomic_load_n(&stream->is_gone, __ATOMIC_RELAXED)) {
        *ret = stream;
        return CUDA_SUCCESS;
    }
    if (stream) {
        LIST_REMOVE(stream, of_thread);
        libcuda_stream_release(stream);
    }
    r = libcuda_stream_make(call, 0, 0, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&call->context->lock);
    stream->n_others++;
    pthread_mutex_unlock(&call->context->lock);
    LIST_INSERT_HEAD(&libcuda_thread.streams, stream, of_thread);
    *ret = stream;
    return CUDA_SUCCESS;
}

void libcuda_stream_let_go(vgpu_session *s, LibStream *stream)
{
    LibContext *c = stream->context;
    const LibCall call = {
        .session = s,
        .context = c,
        .from = {.context = __atomic_load_n(&c->number, __ATOMIC_ACQUIRE)},
    };

    (void) libcuda_stream_end(call.from.context != 0 ? &call : NULL, stream);
    libcuda_stream_release(stream);
}

CUresult libcuda_enter_stream(CUstream handle, LibCall *ret, LibStream **ret_stream)
{
    LibStream *stream;
    CUresult r;

    if (!handle || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) {
        r = libcuda_enter_context(ret);
        if (r != CUDA_SUCCESS)
            return r;
        if (handle == CU_STREAM_PER_THREAD)
            return stream_of_thread(ret, ret_stream);
        *ret_stream = ret->context->legacy;
        return CUDA_SUCCESS;
    }

    r = libcuda_enter(ret);
    if (r != CUDA_SUCCESS)
        return r;
    stream = handle_object(HANDLE_STREAM, handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    ret->context = stream->context;
    ret->from.context = stream->context->number;
    *ret_stream = stream;
    return CUDA_SUCCESS;
}

CUresult libcuda_enter_work(CUstream handle, LibCall *ret, LibStream **ret_stream)
{
    CUresult r = libcuda_enter_stream(handle, ret, ret_stream);

    return r == CUDA_SUCCESS ? libcuda_told(ret) : r;
}

/* ---- The functions -----------------------------------------------------------------------------
 */

CUresult cuStreamCreateWithPriority(CUstream *ret, unsigned flags, int priority)
{
    const VGPUSessionDevice *device = &libcuda_process.device;
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || flags > CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    if (priority > device->stream_priority_least)
        priority = device->stream_priority_least;
    if (priority < device->stream_priority_greatest)
        priority = device->stream_priority_greatest;
    r = libcuda_stream_make(&call, flags, priority, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    stream->handle = handle_new(HANDLE_STREAM, stream);
    if (!stream->handle) {
        (void) libcuda_stream_end(&call, stream);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret = stream->handle;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *ret, unsigned flags)
{
    return cuStreamCreateWithPriority(ret, flags, 0);
}

CUresult cuStreamDestroy_v2(CUstream handle)
{
    LibStream *stream;
    LibCall call;
    CUresult r;

    if (!handle || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD)
        return CUDA_ERROR_INVALID_HANDLE;
    r = libcuda_enter_stream(handle, &call, &stream);
    return r == CUDA_SUCCESS ? libcuda_stream_end(&call, stream) : r;
}

CUresult cuStreamDestroy(CUstream handle)
{
    return cuStreamDestroy_v2(handle);
}

static CUresult stream_ask(CUstream handle, const void *ret, LibStream **ret_stream)
{
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, ret_stream);

    return r == CUDA_SUCCESS && !ret ? CUDA_ERROR_INVALID_VALUE : r;
}

CUresult cuStreamGetPriority(CUstream handle, int *priority)
{
    LibStream *stream;
    CUresult r = stream_ask(handle, priority, &stream);

    if (r == CUDA_SUCCESS)
        *priority = stream->priority;
    return r;
}

CUresult cuStreamGetFlags(CUstream handle, unsigned *flags)
{
    LibStream *stream;
    CUresult r = stream_ask(handle, flags, &stream);

    if (r == CUDA_SUCCESS)
        *flags = stream->flags;
    return r;
}

CUresult cuStreamGetId(CUstream handle, unsigned long long *id)
{
    LibStream *stream;
    CUresult r = stream_ask(handle, id, &stream);

    if (r == CUDA_SUCCESS)
        *id = stream->id;
    return r;
}

CUresult cuStreamGetCtx(CUstream handle, CUcontext *context)
{
    LibStream *stream;
    CUresult r = stream_ask(handle, context, &stream);

    if (r == CUDA_SUCCESS)
        *context = stream->context->handle;
    return r;
}

/* No stream here is of a green context. */
CUresult cuStreamGetCtx_v2(CUstream handle, CUcontext *context, CUgreenCtx *green)
{
    CUresult r = green ? cuStreamGetCtx(handle, context) : CUDA_ERROR_INVALID_VALUE;

    if (r == CUDA_SUCCESS)
        *green = NULL;
    return r;
}

CUresult cuStreamGetGreenCtx(CUstream handle, CUgreenCtx *green)
{
    LibStream *stream;
    CUresult r = stream_ask(handle, green, &stream);

    if (r == CUDA_SUCCESS)
        *green = NULL;
    return r;
}

CUresult cuStreamGetDevice(CUstream handle, CUdevice *device)
{
    LibStream *stream;
    CUresult r = stream_ask(handle, device, &stream);

    if (r == CUDA_SUCCESS)
        *device = 0;
    return r;
}

CUresult cuStreamGetPriority_ptsz(CUstream handle, int *priority)
{
    return cuStreamGetPriority(libcuda_per_thread(handle), priority);
}

CUresult cuStreamGetFlags_ptsz(CUstream handle, unsigned *flags)
{
    return cuStreamGetFlags(libcuda_per_thread(handle), flags);
}

CUresult cuStreamGetId_ptsz(CUstream handle, unsigned long long *id)
{
    return cuStreamGetId(libcuda_per_thread(handle), id);
}

CUresult cuStreamGetCtx_ptsz(CUstream handle, CUcontext *context)
{
    return cuStreamGetCtx(libcuda_per_thread(handle), context);
}

CUresult cuStreamGetCtx_v2_ptsz(CUstream handle, CUcontext *context, CUgreenCtx *green)
{
    return cuStreamGetCtx_v2(libcuda_per_thread(handle), context, green);
}

CUresult cuStreamGetDevice_ptsz(CUstream handle, CUdevice *device)
{
    return cuStreamGetDevice(libcuda_per_thread(handle), device);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a stream stands: the device writes a number into the window behind the work, so that a
 * question is a look at memory.
 */
#include <stdlib.h>

#include "capture.h"

/* Who finds has_work set has to put a fence behind that work. It is cleared before, and under the
 * lock: whoever comes meanwhile waits for the fence's number, which covers its own work. */
static CUresult mark_locked(const LibCall *call, LibStream *stream)
{
    CUresult r = CUDA_SUCCESS;

    if (!stream->fence)
        r = vgpu_session_fence_new(call->session, &stream->fence);
    if (r != CUDA_SUCCESS || !__atomic_exchange_n(&stream->has_work, false, __ATOMIC_ACQ_REL))
        return r;
    r = libcuda_fence_put(call, stream, stream->fence, &stream->last);
    if (r != CUDA_SUCCESS)
        __atomic_store_n(&stream->has_work, true, __ATOMIC_RELEASE);
    return r;
}

CUresult libcuda_stream_mark(const LibCall *call, LibStream *stream, uint64_t *ret_number)
{
    CUresult r;

    pthread_mutex_lock(&stream->lock);
    r = mark_locked(call, stream);
    *ret_number = stream->last;
    pthread_mutex_unlock(&stream->lock);
    return r;
}

CUresult libcuda_stream_wait(const LibCall *call, LibStream *stream)
{
    uint64_t number;
    CUresult r = libcuda_stream_mark(call, stream, &number);

    if (r == CUDA_SUCCESS)
        r = libcuda_fence_wait(call, stream->number, stream->fence, number);
    return r == CUDA_SUCCESS ? libcuda_told(call) : r;
}

/* A stream, and its mark */
typedef struct Awaited {
    LibStream *stream;
    uint64_t number;
} Awaited;

/* With the context's lock. A stream that begins to capture meanwhile has a mark from before; one
 * that the executor has refused has no work. */
static CUresult context_mark(const LibCall *call, LibStream *stream, uint64_t *ret_number)
{
    const bool is_legacy = stream == call->context->legacy;
    CUresult r = CUDA_SUCCESS;

    if (!capture_has(stream) && (is_legacy || __atomic_load_n(&stream->has_work, __ATOMIC_ACQUIRE)))
        r = libcuda_stream_mark(call, stream, ret_number);
    if (r != CUDA_SUCCESS &&
        (is_legacy || (r != CUDA_ERROR_INVALID_HANDLE && !capture_is_error(r))))
        return r;
    pthread_mutex_lock(&stream->lock);
    *ret_number = stream->last;
    pthread_mutex_unlock(&stream->lock);
    return CUDA_SUCCESS;
}

/* Marks are put into all streams first, and waited for then: for these numbers, and not for what
 * other threads put behind them meanwhile. */
CUresult libcuda_context_wait(const LibCall *call)
{
    LibContext *c = call->context;
    LibStream *stream;
    Awaited *all;
    size_t n = 0;
    CUresult r = CUDA_SUCCESS;

    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, of_context)
    n++;
    all = calloc(n, sizeof(*all)); /* the legacy one is there always */
    if (!all)
        r = CUDA_ERROR_OUT_OF_MEMORY;
    n = 0;
    LIST_FOREACH(stream, &c->streams, of_context)
    {
        uint64_t number;

        if (r == CUDA_SUCCESS)
            r = context_mark(call, stream, &number);
        if (r != CUDA_SUCCESS)
            break;
        if (!stream->fence || vgpu_session_fence_is_passed(stream->fence, number))
            continue;
        stream->n_others++;
        all[n++] = (Awaited){stream, number};
    }
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < n; i++) {
        stream = all[i].stream;
        if (r == CUDA_SUCCESS)
            r = libcuda_fence_wait(call, stream->number, stream->fence, all[i].number);
        libcuda_stream_release(stream);
    }
    free(all);
    if (r == CUDA_SUCCESS)
        r = libcuda_fences_wait(call);
    if (r == CUDA_SUCCESS) /* for streams that nobody had to wait for */
        vgpu_session_output(call->session, &call->from);
    return r;
}

void libcuda_looked(const LibCall *call, uint64_t *looked, uint64_t number)
{
    if (__atomic_exchange_n(looked, number, __ATOMIC_RELAXED) != number)
        vgpu_session_output(call->session, &call->from);
}

CUresult cuStreamSynchronize(CUstream handle)
{
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_work(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (capture_has(stream))
        return capture_spoil(stream);
    return libcuda_stream_wait(&call, stream);
}

CUresult cuStreamQuery(CUstream handle)
{
    LibStream *stream;
    LibCall call;
    uint64_t number;
    CUresult r = libcuda_enter_work(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (capture_has(stream))
        return capture_spoil(stream);
    r = libcuda_stream_mark(&call, stream, &number);
    if (r != CUDA_SUCCESS)
        return r;
    if (!vgpu_session_fence_is_passed(stream->fence, number))
        return CUDA_ERROR_NOT_READY;
    libcuda_looked(&call, &stream->looked, number);
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize_ptsz(CUstream handle)
{
    return cuStreamSynchronize(libcuda_per_thread(handle));
}

CUresult cuStreamQuery_ptsz(CUstream handle)
{
    return cuStreamQuery(libcuda_per_thread(handle));
}

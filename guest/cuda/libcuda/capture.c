/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures. Whether a stream captures is known here, as all that may make it so goes through this
 * library: nothing of its own is put into such a stream.
 */
#include "graph.h"

#include <stdlib.h>

/* CUstreamCaptureStatus */
enum { CAPTURE_NONE = 0, CAPTURE_ACTIVE = 1, CAPTURE_INVALIDATED = 2 };

CUresult cuStreamBeginCapture_v2(CUstream handle, int mode)
{
    VGPUSessionGraph parameters = {.flags = (uint32_t) mode};
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (mode < 0 || mode > 2)
        return CUDA_ERROR_INVALID_VALUE;
    if (stream->number == 0)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (__atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED))
        return CUDA_ERROR_ILLEGAL_STATE;
    parameters.stream = stream->number;
    r = libcuda_post(&call, VGPU_SESSION_OP_CAPTURE_BEGIN, &parameters, sizeof(parameters));
    if (r != CUDA_SUCCESS)
        return r;
    stream->capture_id = libcuda_next_id();
    __atomic_store_n(&stream->is_capturing, true, __ATOMIC_RELEASE);
    return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture(CUstream handle)
{
    return cuStreamBeginCapture_v2(handle, 0);
}

/* All streams of the capture are as before it. */
static void capture_end(LibContext *c, uint64_t id)
{
    LibStream *stream;

    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, of_context)
    if (stream->is_capturing && stream->capture_id == id)
        __atomic_store_n(&stream->is_capturing, false, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&c->lock);
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph *ret)
{
    VGPUSessionGraph parameters = {0};
    LibStream *stream;
    LibGraph *graph;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!__atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED))
        return CUDA_ERROR_ILLEGAL_STATE;
    r = graph_new(&call, HANDLE_GRAPH, &graph);
    if (r != CUDA_SUCCESS)
        return r;
    parameters.graph = graph->number;
    parameters.stream = stream->number;
    r = libcuda_ask(&call, VGPU_SESSION_OP_CAPTURE_END, &parameters, sizeof(parameters), NULL);
    capture_end(call.context, stream->capture_id);
    if (r != CUDA_SUCCESS) {
        graph_forget(&call, graph);
        *ret = NULL;
        return r;
    }
    *ret = graph->handle;
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream handle, int *status)
{
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!status)
        return CUDA_ERROR_INVALID_VALUE;
    *status =
        __atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED) ? CAPTURE_ACTIVE : CAPTURE_NONE;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCaptureInfo(CUstream handle, int *status, cuuint64_t *id)
{
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!status)
        return CUDA_ERROR_INVALID_VALUE;
    *status =
        __atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED) ? CAPTURE_ACTIVE : CAPTURE_NONE;
    if (id && *status == CAPTURE_ACTIVE)
        *id = stream->capture_id;
    return CUDA_SUCCESS;
}

/* The graph that grows, and its last nodes, are the executor's alone while it captures. */
CUresult cuStreamGetCaptureInfo_v3(CUstream handle, int *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **nodes, const void **edges, size_t *n)
{
    CUresult r = cuStreamGetCaptureInfo(handle, status, id);

    if (r != CUDA_SUCCESS || *status == CAPTURE_NONE || (!graph && !nodes && !edges && !n))
        return r;
    return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult cuStreamGetCaptureInfo_v2(CUstream handle, int *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **nodes, size_t *n)
{
    return cuStreamGetCaptureInfo_v3(handle, status, id, graph, nodes, NULL, n);
}

/* ---- The thread's default stream ---------------------------------------------------------------
 */

CUresult cuStreamBeginCapture_v2_ptsz(CUstream handle, int mode)
{
    return cuStreamBeginCapture_v2(libcuda_per_thread(handle), mode);
}

CUresult cuStreamBeginCapture_ptsz(CUstream handle)
{
    return cuStreamBeginCapture_v2(libcuda_per_thread(handle), 0);
}

CUresult cuStreamEndCapture_ptsz(CUstream handle, CUgraph *ret)
{
    return cuStreamEndCapture(libcuda_per_thread(handle), ret);
}

CUresult cuStreamIsCapturing_ptsz(CUstream handle, int *status)
{
    return cuStreamIsCapturing(libcuda_per_thread(handle), status);
}

CUresult cuStreamGetCaptureInfo_ptsz(CUstream handle, int *status, cuuint64_t *id)
{
    return cuStreamGetCaptureInfo(libcuda_per_thread(handle), status, id);
}

CUresult cuStreamGetCaptureInfo_v2_ptsz(CUstream handle, int *status, cuuint64_t *id,
                                        CUgraph *graph, const CUgraphNode **nodes, size_t *n)
{
    return cuStreamGetCaptureInfo_v2(libcuda_per_thread(handle), status, id, graph, nodes, n);
}

CUresult cuStreamGetCaptureInfo_v3_ptsz(CUstream handle, int *status, cuuint64_t *id,
                                        CUgraph *graph, const CUgraphNode **nodes,
                                        const void **edges, size_t *n)
{
    return cuStreamGetCaptureInfo_v3(libcuda_per_thread(handle), status, id, graph, nodes, edges,
                                     n);
}

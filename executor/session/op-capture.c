/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Captures. Nothing of the executor's own goes into a stream that captures. */
#include "cleanup.h"
#include "session-captures.h"
#include "session-dispatch.h"
#include "session-streams.h"

CUresult session_op_CAPTURE_BEGIN(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStream *stream;
    CUresult r;

    if (p->flags > SESSION_CAPTURE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    r = session_use_stream(s, p->stream, SESSION_USE_ASK, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    return s->driver.stream_begin_capture(stream->handle, p->flags == SESSION_CAPTURE_RELAXED
                                                              ? SESSION_CAPTURE_RELAXED
                                                              : SESSION_CAPTURE_GLOBAL);
}

/* Counts what the driver has made, and remembers what is in it. The caller holds the handles'
 * lock. */
static CUresult capture_take(Session *s, SessionGraph *graph)
{
    uint32_t n = 0;
    size_t n_driver = 0;
    CUresult r = session_captures_take(s, graph);

    if (r != CUDA_SUCCESS)
        return r;
    /* To look at each node takes its time, and is of no use to most. */
    if (s->captures.may_wait) {
        r = session_graph_scan(s, graph, graph->graph, &n);
    } else {
        r = s->driver.graph_get_nodes(graph->graph, NULL, &n_driver);
        if (n_driver > VGPU_SESSION_NODES_MAX)
            return CUDA_ERROR_OUT_OF_MEMORY;
        n = (uint32_t) n_driver;
    }
    if (r == CUDA_SUCCESS)
        r = session_graph_count(s, graph, n);
    if (r != CUDA_SUCCESS)
        return r;
    r = session_graph_add(s, graph);
    if (r != CUDA_SUCCESS)
        session_graph_uncount(s, graph, n);
    return r;
}

CUresult session_op_CAPTURE_END(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStore *store = session_store(s);
    CLEANUP(session_graph_freep)
    SessionGraph *graph = session_graph_new(s, SESSION_GRAPH, p->graph, call);
    SessionStream *stream;
    CUresult r;

    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = session_use_stream(s, p->stream, SESSION_USE_ASK, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    if (stream->captures && stream->capture_mode != SESSION_CAPTURE_RELAXED &&
        stream->capture_thread != call->record.thread)
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    r = s->driver.stream_end_capture(stream->handle, &graph->graph);
    if (r != CUDA_SUCCESS)
        return r;
    /* A capture that nothing was given to may end without a graph. */
    if (!graph->graph)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    pthread_mutex_lock(&store->handles);
    r = capture_take(s, graph);
    pthread_mutex_unlock(&store->handles);
    if (r == CUDA_SUCCESS)
        (void) TAKE_PTR(graph);
    else
        (void) s->driver.graph_destroy(graph->graph);
    return r;
}

CUresult session_op_CAPTURE_INFO(Session *s, SessionCall *call)
{
    const VGPUSessionId *p = call->parameters;
    SessionStream *stream;
    uint64_t id = 0;
    int status = 0;
    CUresult r;

    if (p->flags != 0 || p->value != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = session_use_stream(s, p->id, SESSION_USE_ASK, &stream);
    if (r == CUDA_SUCCESS)
        r = s->driver.stream_get_capture_info(stream->handle, &status, &id, NULL, NULL, NULL);
    if (r != CUDA_SUCCESS)
        return r;
    call->value[0] = (uint64_t) status;
    call->value[1] = status != CU_STREAM_CAPTURE_STATUS_NONE ? id : 0;
    return CUDA_SUCCESS;
}

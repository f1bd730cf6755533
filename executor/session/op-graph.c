/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Captures and graphs. Nothing of the executor's own goes into a stream that captures. */
#include <stdlib.h>

#include "cleanup.h"
#include "session-store.h"

/* CUstreamCaptureMode */
#define GRAPH_CAPTURE_MODE_MAX 2u

/* CUgraphInstantiate_flags */
enum {
    GRAPH_AUTO_FREE_ON_LAUNCH = 0x1,
    GRAPH_UPLOAD = 0x2,
    GRAPH_DEVICE_LAUNCH = 0x4,
    GRAPH_USE_NODE_PRIORITY = 0x8,
    GRAPH_FLAGS =
        GRAPH_AUTO_FREE_ON_LAUNCH | GRAPH_UPLOAD | GRAPH_DEVICE_LAUNCH | GRAPH_USE_NODE_PRIORITY,
};

static SessionGraph *graph_new(SessionKind kind, uint32_t id, const SessionCall *call)
{
    SessionGraph *graph = calloc(1, sizeof(*graph));

    if (graph) {
        graph->kind = kind;
        graph->id = id;
        graph->context = call->record.context;
    }
    return graph;
}

/* The caller holds the handles' lock. */
static CUresult graph_find(Session *s, SessionKind kind, uint32_t id, SessionGraph **ret)
{
    void *graph;
    CUresult result = session_find(s, kind, id, &graph);

    if (result == CUDA_SUCCESS)
        *ret = graph;
    return result;
}

/* Gives it its number, after which it belongs to the store. The caller holds the handles' lock. */
static CUresult graph_add(Session *s, SessionGraph *graph)
{
    CUresult result = session_add(s, graph->kind, graph->id, graph);

    if (result == CUDA_SUCCESS)
        LIST_INSERT_HEAD(&session_store(s)->graphs, graph, link);
    return result;
}

CUresult session_op_CAPTURE_BEGIN(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    CUstream stream;
    CUresult result;

    if (p->flags > GRAPH_CAPTURE_MODE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_find_stream(s, p->stream, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    return session_driver(s)->stream_begin_capture(stream, (int) p->flags);
}

CUresult session_op_CAPTURE_END(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    SessionStore *store = session_store(s);
    CLEANUP_FREE SessionGraph *graph = graph_new(SESSION_GRAPH, p->graph, call);
    CUstream stream;
    CUresult result;

    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = session_find_stream(s, p->stream, &stream);
    if (result == CUDA_SUCCESS)
        result = driver->stream_end_capture(stream, &graph->graph);
    if (result != CUDA_SUCCESS)
        return result;
    /* A capture that nothing was given to may end without a graph. */
    if (!graph->graph)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    pthread_mutex_lock(&store->handles);
    result = graph_add(s, graph);
    pthread_mutex_unlock(&store->handles);
    if (result == CUDA_SUCCESS)
        (void) TAKE_PTR(graph);
    else
        (void) driver->graph_destroy(graph->graph);
    return result;
}

static CUresult graph_destroy(Session *s, SessionKind kind, uint32_t id)
{
    SessionStore *store = session_store(s);
    SessionGraph *graph;
    CUresult result;

    pthread_mutex_lock(&store->handles);
    result = graph_find(s, kind, id, &graph);
    if (result == CUDA_SUCCESS)
        result = session_graph_end(s, graph);
    pthread_mutex_unlock(&store->handles);
    return result;
}

CUresult session_op_GRAPH_DESTROY(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;

    return graph_destroy(s, SESSION_GRAPH, p->graph);
}

CUresult session_op_GRAPH_EXEC_DESTROY(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;

    return graph_destroy(s, SESSION_EXEC, p->exec);
}

static CUresult graph_instantiate_locked(Session *s, const VGPUSessionGraph *p,
                                         CudaGraphInstantiate *params, SessionGraph *exec)
{
    const CudaSessionDriver *driver = session_driver(s);
    SessionGraph *graph;
    CUresult result;

    result = graph_find(s, SESSION_GRAPH, p->graph, &graph);
    if (result == CUDA_SUCCESS)
        result = driver->graph_instantiate(&exec->exec, graph->graph, params);
    if (result != CUDA_SUCCESS)
        return result;
    result = graph_add(s, exec);
    if (result != CUDA_SUCCESS)
        (void) driver->graph_exec_destroy(exec->exec);
    return result;
}

CUresult session_op_GRAPH_INSTANTIATE(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStore *store = session_store(s);
    CLEANUP_FREE SessionGraph *exec = graph_new(SESSION_EXEC, p->exec, call);
    CudaGraphInstantiate params = {.flags = p->flags};
    CUresult result = CUDA_SUCCESS;

    if (!exec)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (p->flags & ~(uint32_t) GRAPH_FLAGS)
        return CUDA_ERROR_INVALID_VALUE;
    if (p->flags & GRAPH_UPLOAD)
        result = session_find_stream(s, p->stream, &params.upload_stream);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&store->handles);
    result = graph_instantiate_locked(s, p, &params, exec);
    pthread_mutex_unlock(&store->handles);
    call->value[0] = (uint64_t) params.result;
    if (result == CUDA_SUCCESS)
        (void) TAKE_PTR(exec);
    return result;
}

CUresult session_op_GRAPH_UPDATE(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStore *store = session_store(s);
    CudaGraphUpdate update = {0};
    SessionGraph *exec, *graph;
    CUresult result;

    pthread_mutex_lock(&store->handles);
    result = graph_find(s, SESSION_EXEC, p->exec, &exec);
    if (result == CUDA_SUCCESS)
        result = graph_find(s, SESSION_GRAPH, p->graph, &graph);
    if (result == CUDA_SUCCESS)
        result = session_driver(s)->graph_exec_update(exec->exec, graph->graph, &update);
    pthread_mutex_unlock(&store->handles);
    call->value[0] = (uint64_t) update.result;
    return result;
}

CUresult session_op_GRAPH_LAUNCH(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionGraph *exec;
    CUstream stream;
    CUresult result;

    pthread_mutex_lock(&store->handles);
    result = graph_find(s, SESSION_EXEC, p->exec, &exec);
    if (result == CUDA_SUCCESS)
        result = session_find_stream(s, p->stream, &stream);
    if (result == CUDA_SUCCESS)
        result = session_driver(s)->graph_launch(exec->exec, stream);
    pthread_mutex_unlock(&store->handles);
    if (result == CUDA_SUCCESS)
        session_count(&session_control(s)->launches, 1);
    return result;
}

CUresult session_op_GRAPH_NODES(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionGraph *graph;
    size_t n = 0;
    CUresult result;

    pthread_mutex_lock(&store->handles);
    result = graph_find(s, SESSION_GRAPH, p->graph, &graph);
    if (result == CUDA_SUCCESS)
        result = session_driver(s)->graph_get_nodes(graph->graph, NULL, &n);
    pthread_mutex_unlock(&store->handles);
    call->value[0] = n;
    return result;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Captures. Nothing of the executor's own goes into a stream that captures. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "session-captures.h"
#include "session-dispatch.h"
#include "session-edge.h"
#include "session-node.h"
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
 * lock. *ret_n: how many of its nodes were not counted before, and now are */
static CUresult capture_count(Session *s, SessionGraph *graph, uint32_t *ret_n)
{
    uint32_t n = 0;
    size_t n_driver = 0;
    CUresult r = session_captures_take(s, graph);

    if (r != CUDA_SUCCESS)
        return r;
    /* To look at each node takes its time, and is of no use to most. */
    if (s->captures.may_wait || graph->n_nodes > 0) {
        r = session_graph_scan(s, graph, graph->graph, &n);
    } else {
        r = s->driver.graph_get_nodes(graph->graph, NULL, &n_driver);
        if (n_driver > VGPU_SESSION_NODES_MAX)
            return CUDA_ERROR_OUT_OF_MEMORY;
        n = (uint32_t) n_driver;
    }
    *ret_n = n > graph->n_total ? n - graph->n_total : 0;
    return r == CUDA_SUCCESS ? session_graph_count(s, graph, *ret_n) : r;
}

static CUresult capture_take(Session *s, SessionGraph *graph)
{
    uint32_t n;
    CUresult r = capture_count(s, graph, &n);

    if (r != CUDA_SUCCESS)
        return r;
    r = session_graph_add(s, graph);
    if (r != CUDA_SUCCESS)
        session_graph_uncount(s, graph, n);
    return r;
}

static CUresult capture_end(Session *s, SessionStream *stream, CUgraph *ret)
{
    CUresult r = s->driver.stream_end_capture(stream->handle, ret);

    /* A capture that nothing was given to may end without a graph. */
    return r == CUDA_SUCCESS && !*ret ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : r;
}

/* Of a graph that has a number already. When the driver refuses, that goes on with the capture, or
 * session_captures_end() ends it. */
static CUresult capture_end_known(Session *s, SessionStream *stream, const VGPUSessionGraph *p)
{
    SessionGraph *graph = stream->grows;
    CUgraph handle = NULL;
    uint32_t n;
    CUresult r;

    if (graph->id != p->graph)
        return CUDA_ERROR_INVALID_VALUE;
    r = capture_end(s, stream, &handle);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&session_store(s)->handles);
    graph->growing = NULL;
    stream->grows = NULL;
    r = capture_count(s, graph, &n);
    if (r != CUDA_SUCCESS && graph->is_into)
        session_graph_empty(s, graph); /* something in it has ended, or it is too large */
    else if (r != CUDA_SUCCESS)
        (void) session_graph_end(s, graph);
    pthread_mutex_unlock(&session_store(s)->handles);
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
    if (stream->grows)
        return capture_end_known(s, stream, p);
    r = capture_end(s, stream, &graph->graph);
    if (r != CUDA_SUCCESS)
        return r;
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
    const CUgraphNode *last;
    const CudaEdgeData *data;
    SessionStream *stream;
    size_t n_last;
    uint64_t id = 0;
    int status = 0;
    CUresult r;

    if (p->flags != 0 || p->value != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = session_use_stream(s, p->id, SESSION_USE_ASK, &stream);
    /* All of it is taken: a question that leaves out kinds of edges may be refused. */
    if (r == CUDA_SUCCESS)
        r = s->driver.stream_get_capture_info(stream->handle, &status, &id, NULL, &last, &data,
                                              &n_last);
    if (r != CUDA_SUCCESS)
        return r;
    call->value[0] = (uint64_t) status;
    call->value[1] = status != CU_STREAM_CAPTURE_STATUS_NONE ? id : 0;
    return CUDA_SUCCESS;
}

/* ---- The graph that grows ---------------------------------------------------------------------
 */

/* What the driver says of a stream that captures. What is in here is the driver's until its next
 * call. */
typedef struct CaptureState {
    uint64_t id;
    CUgraph graph;
    const CUgraphNode *last; /* on which the next node will depend */
    const CudaEdgeData *data;
    size_t n_last;
} CaptureState;

static CUresult capture_ask(Session *s, const SessionStream *stream, CaptureState *ret)
{
    int status = 0;
    CUresult r = s->driver.stream_get_capture_info(stream->handle, &status, &ret->id, &ret->graph,
                                                   &ret->last, &ret->data, &ret->n_last);

    if (r != CUDA_SUCCESS)
        return r;
    if (status == CU_STREAM_CAPTURE_STATUS_NONE)
        return CUDA_ERROR_ILLEGAL_STATE;
    return status == CU_STREAM_CAPTURE_STATUS_ACTIVE ? CUDA_SUCCESS
                                                     : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

/* The stream in which the capture was begun */
static SessionStream *capture_origin(Session *s, uint64_t id)
{
    SessionStream *stream;
    CaptureState state;

    LIST_FOREACH(stream, &s->captures.streams, capture_link)
    if (capture_ask(s, stream, &state) == CUDA_SUCCESS && state.id == id)
        return stream;
    return NULL;
}

/* The caller holds the handles' lock. */
static CUresult capture_know(Session *s, SessionCall *call, const CaptureState *state,
                             SessionGraph **ret)
{
    const VGPUSessionCapture *p = call->parameters;
    SessionStream *origin = capture_origin(s, state->id);
    SessionGraph *graph = origin ? origin->grows : NULL;
    CUresult r = CUDA_SUCCESS;

    if (!origin || (graph && graph->id != p->graph))
        return CUDA_ERROR_INVALID_VALUE;
    if (!graph) {
        graph = session_graph_new(s, SESSION_GRAPH, p->graph, call);
        if (!graph)
            return CUDA_ERROR_OUT_OF_MEMORY;
        graph->graph = state->graph;
        /* It ends with the capture, and so with that one's context, on this thread. */
        graph->context = origin->context->id;
        r = session_graph_add(s, graph);
        if (r != CUDA_SUCCESS) {
            session_graph_free(graph);
            return r;
        }
        graph->growing = origin;
        origin->grows = graph;
    }
    graph->may_wait |= s->captures.may_wait;
    *ret = graph;
    return session_nodes_know(s, graph);
}

/* What the next node depends on: as many numbers, or edges, as have room */
static void capture_list(const SessionGraph *graph, const CaptureState *state, uint32_t flags,
                         unsigned char *into, uint64_t room)
{
    const size_t each = flags & VGPU_SESSION_EDGE_DATA ? sizeof(VGPUSessionEdge) : sizeof(uint32_t);

    for (size_t i = 0; i < state->n_last && i < room / each; i++) {
        VGPUSessionEdge edge = {.from = session_nodes_find(graph, state->last[i])};

        if (state->data)
            memcpy(edge.data, &state->data[i], sizeof(edge.data));
        memcpy(into + i * each, &edge, each);
    }
}

/* How many of them are not plain edges */
static uint64_t capture_ports(const CaptureState *state)
{
    uint64_t n = 0;

    for (size_t i = 0; state->data && i < state->n_last; i++)
        n += !session_edge_is_plain(&state->data[i]);
    return n;
}

CUresult session_op_CAPTURE_GRAPH(Session *s, SessionCall *call)
{
    const VGPUSessionCapture *p = call->parameters;
    unsigned char *into = NULL;
    SessionStream *stream;
    SessionGraph *graph;
    CaptureState state;
    CUresult r;

    if (p->n != 0 || (p->flags & ~VGPU_SESSION_EDGE_DATA) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (p->into.size > 0 && !(into = session_window(s, p->into.offset, p->into.size)))
        return CUDA_ERROR_INVALID_VALUE;
    r = session_use_stream(s, p->stream, SESSION_USE_ASK, &stream);
    if (r == CUDA_SUCCESS)
        r = capture_ask(s, stream, &state);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&session_store(s)->handles);
    r = capture_know(s, call, &state, &graph);
    if (r == CUDA_SUCCESS)
        r = capture_ask(s, stream, &state);
    if (r == CUDA_SUCCESS) {
        capture_list(graph, &state, p->flags, into, p->into.size);
        call->value[0] = state.n_last;
        call->value[1] = capture_ports(&state);
    }
    pthread_mutex_unlock(&session_store(s)->handles);
    return r;
}

/* The nodes that are named behind the parameters, and what kind of edges are meant; both are to be
 * freed */
static CUresult capture_nodes(const SessionCall *call, const SessionGraph *graph,
                              CUgraphNode **ret_nodes, CudaEdgeData **ret_data)
{
    const VGPUSessionCapture *p = call->parameters;
    CLEANUP_FREE VGPUSessionEdge *edges = NULL;
    CUresult r = session_edges_read(call, p->n, false, p->flags, &edges);

    if (r != CUDA_SUCCESS)
        return r;
    *ret_nodes = calloc(p->n + 1, sizeof(CUgraphNode));
    *ret_data = calloc(p->n + 1, sizeof(**ret_data));
    if (!*ret_nodes || !*ret_data)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < p->n; i++) {
        const SessionNode *node = session_node(graph, edges[i].from);

        if (!node)
            return CUDA_ERROR_INVALID_VALUE;
        (*ret_nodes)[i] = node->handle;
        (*ret_data)[i] = session_edge_data(&edges[i]);
    }
    return CUDA_SUCCESS;
}

static CUresult capture_into(Session *s, const SessionCall *call, SessionStream *stream)
{
    const VGPUSessionCapture *p = call->parameters;
    const uint32_t mode = p->flags & ~VGPU_SESSION_EDGE_DATA;
    CLEANUP_FREE CUgraphNode *nodes = NULL;
    CLEANUP_FREE CudaEdgeData *data = NULL;
    SessionGraph *graph;
    CUresult r = session_graph_find(s, SESSION_GRAPH, p->graph, &graph);

    /* A context's streams end before its graphs do. */
    if (r == CUDA_SUCCESS && graph->context != stream->context->id)
        r = CUDA_ERROR_INVALID_CONTEXT;
    if (r == CUDA_SUCCESS)
        r = session_nodes_know(s, graph);
    if (r == CUDA_SUCCESS)
        r = capture_nodes(call, graph, &nodes, &data);
    if (r == CUDA_SUCCESS)
        r = s->driver.stream_begin_capture_to_graph(
            stream->handle, graph->graph, nodes, data, p->n,
            mode == SESSION_CAPTURE_RELAXED ? SESSION_CAPTURE_RELAXED : SESSION_CAPTURE_GLOBAL);
    if (r != CUDA_SUCCESS)
        return r;
    graph->is_known = false;
    graph->is_into = true;
    graph->growing = stream;
    stream->grows = graph;
    return CUDA_SUCCESS;
}

CUresult session_op_CAPTURE_INTO(Session *s, SessionCall *call)
{
    const VGPUSessionCapture *p = call->parameters;
    SessionStream *stream;
    CUresult r;

    if ((p->flags & ~VGPU_SESSION_EDGE_DATA) > SESSION_CAPTURE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    r = session_use_stream(s, p->stream, SESSION_USE_ASK, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&session_store(s)->handles);
    r = capture_into(s, call, stream);
    pthread_mutex_unlock(&session_store(s)->handles);
    return r;
}

CUresult session_op_CAPTURE_DEPENDS(Session *s, SessionCall *call)
{
    const VGPUSessionCapture *p = call->parameters;
    const uint32_t replaces = p->flags & ~VGPU_SESSION_EDGE_DATA;
    CLEANUP_FREE CUgraphNode *nodes = NULL;
    CLEANUP_FREE CudaEdgeData *data = NULL;
    SessionStream *stream;
    SessionGraph *graph;
    CaptureState state;
    CUresult r;

    if (replaces > 1)
        return CUDA_ERROR_INVALID_VALUE;
    r = session_use_stream(s, p->stream, SESSION_USE_ASK, &stream);
    if (r == CUDA_SUCCESS)
        r = capture_ask(s, stream, &state);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&session_store(s)->handles);
    r = capture_know(s, call, &state, &graph);
    if (r == CUDA_SUCCESS)
        r = capture_nodes(call, graph, &nodes, &data);
    if (r == CUDA_SUCCESS)
        r = s->driver.stream_update_capture_dependencies(stream->handle, nodes, data, p->n,
                                                         replaces);
    pthread_mutex_unlock(&session_store(s)->handles);
    return r;
}

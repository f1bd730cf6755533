/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graphs, and executable ones */
#include "cleanup.h"
#include "session-ahead.h"
#include "session-captures.h"
#include "session-condition.h"
#include "session-streams.h"

/* CUgraphInstantiate_flags */
enum {
    GRAPH_AUTO_FREE_ON_LAUNCH = 0x1,
    GRAPH_UPLOAD = 0x2,
    GRAPH_DEVICE_LAUNCH = 0x4,
    GRAPH_USE_NODE_PRIORITY = 0x8,
    GRAPH_FLAGS =
        GRAPH_AUTO_FREE_ON_LAUNCH | GRAPH_UPLOAD | GRAPH_DEVICE_LAUNCH | GRAPH_USE_NODE_PRIORITY,
};

/* ---- Making and ending ------------------------------------------------------------------------
 */

CUresult session_op_GRAPH_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    SessionStore *store = session_store(s);
    CLEANUP(session_graph_freep)
    SessionGraph *graph = session_graph_new(s, SESSION_GRAPH, p->graph, call);
    CUresult result;

    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (p->flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    result = driver->graph_create(&graph->graph, 0);
    if (result != CUDA_SUCCESS)
        return result;
    graph->is_known = true;
    pthread_mutex_lock(&store->handles);
    result = session_graph_add(s, graph);
    pthread_mutex_unlock(&store->handles);
    if (result == CUDA_SUCCESS)
        (void) TAKE_PTR(graph);
    else
        (void) driver->graph_destroy(graph->graph);
    return result;
}

CUresult session_graph_clone(Session *s, SessionGraph *from, CUgraph handle, SessionGraph *clone)
{
    const CudaSessionDriver *driver = session_driver(s);
    uint32_t n = 0;
    CUresult result = session_uses_add(&clone->uses, &from->uses);

    if (result == CUDA_SUCCESS)
        result = session_graph_scan(s, clone, handle, &n);
    if (result == CUDA_SUCCESS)
        result = session_graph_count(s, clone, n);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver->graph_clone(&clone->graph, handle);
    if (result == CUDA_SUCCESS && handle == from->graph)
        result = session_nodes_clone(s, clone, from);
    if (result == CUDA_SUCCESS)
        result = session_graph_add(s, clone);
    if (result == CUDA_SUCCESS)
        return result;
    if (clone->graph)
        (void) driver->graph_destroy(clone->graph);
    session_graph_uncount(s, clone, n);
    return result;
}

/* Something is to be made of it. Of a node's body alone there is nothing to be made. */
static CUresult graph_find_source(Session *s, uint32_t id, SessionGraph **ret)
{
    CUresult result = session_graph_find(s, SESSION_GRAPH, id, ret);

    return result == CUDA_SUCCESS && (*ret)->owner ? CUDA_ERROR_NOT_SUPPORTED : result;
}

CUresult session_op_GRAPH_CLONE(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStore *store = session_store(s);
    CLEANUP(session_graph_freep)
    SessionGraph *clone = session_graph_new(s, SESSION_GRAPH, p->exec, call);
    SessionGraph *from;
    CUresult result;

    if (!clone)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&store->handles);
    result = graph_find_source(s, p->graph, &from);
    if (result == CUDA_SUCCESS && !LIST_EMPTY(&from->bodies))
        result = CUDA_ERROR_NOT_SUPPORTED;
    if (result == CUDA_SUCCESS)
        result = session_graph_clone(s, from, from->graph, clone);
    pthread_mutex_unlock(&store->handles);
    if (result == CUDA_SUCCESS)
        (void) TAKE_PTR(clone);
    return result;
}

static CUresult graph_destroy(Session *s, SessionKind kind, uint32_t id)
{
    SessionStore *store = session_store(s);
    SessionGraph *graph;
    void *found;
    CUresult result;

    pthread_mutex_lock(&store->handles);
    result = session_find(s, kind, id, &found);
    graph = result == CUDA_SUCCESS ? found : NULL;
    if (graph && (graph->growing || graph->owner || session_bodies_grow(graph, NULL)))
        result = CUDA_ERROR_INVALID_VALUE;
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

/* ---- Executable ones --------------------------------------------------------------------------
 */

/* What is known of @graph holds of @exec, too. */
static CUresult exec_inherit(Session *s, SessionGraph *exec, SessionGraph *graph)
{
    uint32_t n = 0;
    CUresult result = session_bodies_gather(s, graph, &n);

    if (result == CUDA_SUCCESS)
        result = session_uses_add(&exec->uses, &graph->uses);
    exec->serial = graph->serial;
    exec->may_wait = graph->may_wait;
    exec->n_total = n;
    exec->is_chain = false;
    if (result == CUDA_SUCCESS && graph->may_wait && graph->depth == 0 &&
        LIST_EMPTY(&graph->bodies))
        result = session_nodes_are_chain(s, graph, &exec->is_chain);
    return result;
}

static CUresult exec_make(Session *s, SessionGraph *graph, CudaGraphInstantiate *params,
                          SessionGraph *exec)
{
    const CudaSessionDriver *driver = session_driver(s);
    CUuserObject object;
    CUresult result = session_charge_hold(s, graph->graph, exec->charge, exec->may_wait, &object);

    if (result != CUDA_SUCCESS)
        return result;
    result = driver->graph_instantiate(&exec->exec, graph->graph, params);
    session_charge_leave(s, graph->graph, object);
    if (result != CUDA_SUCCESS)
        return result;
    result = session_graph_add(s, exec);
    if (result != CUDA_SUCCESS)
        (void) driver->graph_exec_destroy(exec->exec);
    return result;
}

/* The caller holds the handles' lock. */
static CUresult exec_instantiate(Session *s, const VGPUSessionGraph *p,
                                 CudaGraphInstantiate *params, SessionGraph *exec,
                                 uint64_t *ret_error_node)
{
    SessionGraph *graph;
    CUresult result = graph_find_source(s, p->graph, &graph);

    if (result == CUDA_SUCCESS)
        result = exec_inherit(s, exec, graph);
    if (result == CUDA_SUCCESS)
        result = session_charge_new(s, exec->n_total, &exec->charge);
    if (result != CUDA_SUCCESS)
        return result;
    exec->has_bodies = !LIST_EMPTY(&graph->bodies);
    result = exec_make(s, graph, params, exec);
    if (result != CUDA_SUCCESS) {
        session_charge_end(exec->charge);
        *ret_error_node = session_nodes_number(s, graph, params->error_node);
    }
    return result;
}

CUresult session_op_GRAPH_INSTANTIATE(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStore *store = session_store(s);
    CLEANUP(session_graph_freep)
    SessionGraph *exec = session_graph_new(s, SESSION_EXEC, p->exec, call);
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
    result = exec_instantiate(s, p, &params, exec, &call->value[1]);
    pthread_mutex_unlock(&store->handles);
    call->value[0] = (uint64_t) params.result;
    if (result == CUDA_SUCCESS)
        (void) TAKE_PTR(exec);
    return result;
}

/* The driver gives the executable graph what user objects the other has, in the place of its own.
 */
static CUresult exec_update(Session *s, SessionGraph *exec, SessionGraph *graph,
                            CudaGraphUpdate *update)
{
    const uint64_t serial = exec->serial;
    const bool may_wait = exec->may_wait, is_chain = exec->is_chain;
    CUuserObject object;
    CUresult result = exec_inherit(s, exec, graph);

    if (result == CUDA_SUCCESS)
        result =
            session_charge_hold(s, graph->graph, exec->charge, exec->may_wait || may_wait, &object);
    if (result == CUDA_SUCCESS) {
        result = session_driver(s)->graph_exec_update(exec->exec, graph->graph, update);
        session_charge_leave(s, graph->graph, object);
    }
    /* Nodes are those of the graph that it was made of. */
    exec->serial = serial;
    exec->n_total = exec->charge->n_nodes;
    if (result != CUDA_SUCCESS) {
        exec->may_wait = may_wait;
        exec->is_chain = is_chain;
    }
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
    result = session_graph_find(s, SESSION_EXEC, p->exec, &exec);
    if (result == CUDA_SUCCESS)
        result = graph_find_source(s, p->graph, &graph);
    if (result == CUDA_SUCCESS) {
        result = exec_update(s, exec, graph, &update);
        call->value[1] = session_nodes_number(s, graph, update.error_node);
        call->value[2] = session_nodes_number(s, graph, update.error_from_node);
    }
    pthread_mutex_unlock(&store->handles);
    call->value[0] = (uint64_t) update.result;
    return result;
}

/* A launch that is captured: what the graph names, the capture does. */
static CUresult exec_capture(Session *s, const SessionGraph *exec)
{
    CUresult result = exec->has_bodies ? CUDA_ERROR_NOT_SUPPORTED
                                       : session_captures_count(s, exec->n_total, true);

    return result == CUDA_SUCCESS ? session_captures_exec(s, exec) : result;
}

static CUresult exec_launch(Session *s, const VGPUSessionGraph *p, SessionGraph *exec)
{
    SessionStream *stream;
    CUresult result = session_use_stream(
        s, p->stream, exec->may_wait ? SESSION_USE_WAIT : SESSION_USE_WORK, &stream);

    if (result == CUDA_SUCCESS && session_thread()->captures)
        result = exec_capture(s, exec);
    else if (result == CUDA_SUCCESS && exec->may_wait)
        session_ahead_give(s, stream);
    if (result != CUDA_SUCCESS)
        return result;
    stream->has_chain |= exec->is_chain;
    stream->has_other |= exec->may_wait && !exec->is_chain;
    return session_driver(s)->graph_launch(exec->exec, stream->handle);
}

CUresult session_op_GRAPH_LAUNCH(Session *s, SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionGraph *exec;
    CUresult result;

    pthread_mutex_lock(&store->handles);
    result = session_graph_find(s, SESSION_EXEC, p->exec, &exec);
    if (result == CUDA_SUCCESS)
        result = exec_launch(s, p, exec);
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
    CUresult result;

    pthread_mutex_lock(&store->handles);
    result = session_graph_find(s, SESSION_GRAPH, p->graph, &graph);
    if (result == CUDA_SUCCESS)
        result = session_nodes_know(s, graph);
    if (result == CUDA_SUCCESS)
        result = session_nodes_list(s, graph, VGPU_GRAPH_LIST_NODES, NULL, 0, &call->value[0]);
    pthread_mutex_unlock(&store->handles);
    return result;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nodes of graphs: their numbers and edges. What they are made of: session-node-kinds.c */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "session-condition.h"
#include "session-core.h"
#include "session-edge.h"
#include "session-node.h"

/* Each function below that has no other comment is called with the handles' lock held. */

static CUresult node_graph(Session *s, const VGPUSessionNode *p, SessionGraph **ret)
{
    CUresult result;

    if (p->reserved != 0)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_graph_find_growing(s, p->graph, ret);
    return result == CUDA_SUCCESS ? session_nodes_know(s, *ret) : result;
}

/* An executable graph, and a node of the graph that it was made of, or of a body in that */
static CUresult node_of_exec(Session *s, const VGPUSessionNode *p, SessionGraph *graph,
                             SessionGraph **ret, SessionNode **ret_node)
{
    CUresult result = session_graph_find(s, SESSION_EXEC, p->exec, ret);

    if (result != CUDA_SUCCESS)
        return result;
    *ret_node = session_node(graph, p->node);
    return *ret_node && (*ret)->serial == session_bodies_root(graph)->serial
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

/* Bytes of the window, or NULL where none are wanted; for a list or a payload */
static CUresult node_into(Session *s, const VGPUSessionNode *p, unsigned char **ret)
{
    *ret = p->into.size > 0 ? session_window(s, p->into.offset, p->into.size) : NULL;
    return p->into.size > 0 && !*ret ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

/* The @n numbers that follow the parameters; to be freed. Needs no lock. */
static CUresult node_numbers(const SessionCall *call, uint32_t n, uint32_t **ret,
                             uint32_t *ret_size)
{
    const uint64_t size = (uint64_t) n * sizeof(uint32_t);

    if (size > call->more_size)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = malloc(size + 1);
    if (!*ret)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(*ret, call->more, size);
    *ret_size = (uint32_t) ((size + 7) & ~UINT64_C(7));
    return CUDA_SUCCESS;
}

/* ---- Adding and changing ----------------------------------------------------------------------
 */

static CUresult node_add(Session *s, SessionCall *call, SessionNodeCall *c, const uint32_t *numbers)
{
    const VGPUSessionNode *p = c->p;
    CLEANUP_FREE CUgraphNode *dependencies = calloc(p->n_dependencies + 1, sizeof(CUgraphNode));
    CUresult result = node_graph(s, p, &c->graph);

    if (result != CUDA_SUCCESS)
        return result;
    if (!dependencies)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < p->n_dependencies; i++) {
        const SessionNode *node = session_node(c->graph, numbers[i]);

        if (!node)
            return CUDA_ERROR_INVALID_VALUE;
        dependencies[i] = node->handle;
    }
    c->dependencies = dependencies;
    c->n_dependencies = p->n_dependencies;
    result = session_nodes_room(c->graph);
    if (result == CUDA_SUCCESS)
        result = session_node_make(s, c);
    if (result == CUDA_SUCCESS)
        call->value[0] = session_nodes_add(c->graph, c->made.handle, c->made.first);
    return result;
}

static SessionNodeCall node_call(const SessionCall *call, SessionNodeUse use)
{
    return (SessionNodeCall){
        .use = use,
        .p = call->parameters,
        .payload = call->more,
        .payload_size = call->more_size,
        .context = session_thread()->context->handle,
        .call = call,
    };
}

CUresult session_op_NODE_ADD(Session *s, SessionCall *call)
{
    const VGPUSessionNode *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionNodeCall c = node_call(call, SESSION_NODE_ADD);
    CLEANUP_FREE uint32_t *numbers = NULL;
    uint32_t size = 0;
    CUresult result = node_numbers(call, p->n_dependencies, &numbers, &size);

    if (result != CUDA_SUCCESS)
        return result;
    if (size > call->more_size)
        size = call->more_size; /* the padding is not there: nor is a payload */
    c.payload += size;
    c.payload_size -= size;
    pthread_mutex_lock(&store->handles);
    result = node_add(s, call, &c, numbers);
    pthread_mutex_unlock(&store->handles);
    return result;
}

CUresult session_op_NODE_SET(Session *s, SessionCall *call)
{
    const VGPUSessionNode *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionNodeCall c = node_call(call, SESSION_NODE_SET);
    CUresult result;

    if (p->n_dependencies != 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&store->handles);
    result = node_graph(s, p, &c.graph);
    if (result == CUDA_SUCCESS) {
        c.node = session_node(c.graph, p->node);
        result = c.node ? session_node_make(s, &c) : CUDA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_unlock(&store->handles);
    return result;
}

CUresult session_op_NODE_EXEC_SET(Session *s, SessionCall *call)
{
    const VGPUSessionNode *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionNodeCall c = node_call(call, SESSION_NODE_EXEC_SET);
    CUresult result;

    if (p->n_dependencies != 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&store->handles);
    result = node_graph(s, p, &c.graph);
    if (result == CUDA_SUCCESS)
        result = node_of_exec(s, p, c.graph, &c.exec, &c.node);
    if (result == CUDA_SUCCESS)
        result = session_node_make(s, &c);
    pthread_mutex_unlock(&store->handles);
    return result;
}

CUresult session_op_NODE_ENABLE(Session *s, SessionCall *call)
{
    const VGPUSessionNode *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionGraph *graph, *exec;
    SessionNode *node;
    CUresult result;

    if (p->flags > 1)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&store->handles);
    result = node_graph(s, p, &graph);
    if (result == CUDA_SUCCESS)
        result = node_of_exec(s, p, graph, &exec, &node);
    if (result == CUDA_SUCCESS)
        result = session_driver(s)->graph_node_set_enabled(exec->exec, node->handle, p->flags);
    pthread_mutex_unlock(&store->handles);
    return result;
}

/* ---- Asking -----------------------------------------------------------------------------------
 */

CUresult session_op_NODE_GET(Session *s, SessionCall *call)
{
    const VGPUSessionNode *p = call->parameters;
    SessionStore *store = session_store(s);
    const SessionNode *node;
    SessionGraph *graph;
    unsigned char *into;
    CUresult result = node_into(s, p, &into);

    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&store->handles);
    result = node_graph(s, p, &graph);
    if (result == CUDA_SUCCESS) {
        node = session_node(graph, p->node);
        result = node ? session_node_get(s, graph, node, call, into, p->into.size)
                      : CUDA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_unlock(&store->handles);
    return result;
}

CUresult session_op_GRAPH_LIST(Session *s, SessionCall *call)
{
    const VGPUSessionNode *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionGraph *graph;
    unsigned char *into;
    CUresult result = node_into(s, p, &into);

    if (result != CUDA_SUCCESS)
        return result;
    if (p->what > VGPU_GRAPH_LIST_EDGE_DATA)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&store->handles);
    result = node_graph(s, p, &graph);
    if (result == CUDA_SUCCESS)
        result = session_nodes_list(s, graph, p->what, into, p->into.size, &call->value[0]);
    pthread_mutex_unlock(&store->handles);
    return result;
}

/* ---- Edges, and the end -----------------------------------------------------------------------
 */

/* Whoever comes after a function comes after both of its nodes, and who comes before, before. */
static CUresult node_depends(Session *s, const VGPUSessionNode *p, const VGPUSessionEdge *edges)
{
    const CudaSessionDriver *driver = session_driver(s);
    const size_t n = p->n_dependencies;
    CLEANUP_FREE CUgraphNode *handles = calloc(2 * n + 1, sizeof(CUgraphNode));
    CLEANUP_FREE CudaEdgeData *data = calloc(n + 1, sizeof(*data));
    SessionGraph *graph;
    CUresult result = node_graph(s, p, &graph);

    if (result != CUDA_SUCCESS || !handles || !data)
        return result != CUDA_SUCCESS ? result : CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const SessionNode *from = session_node(graph, edges[i].from);
        const SessionNode *to = session_node(graph, edges[i].to);

        if (!from || !to || from == to)
            return CUDA_ERROR_INVALID_VALUE;
        handles[i] = from->handle;
        handles[n + i] = to->first ? to->first : to->handle;
        data[i] = session_edge_data(&edges[i]);
    }
    return p->flags & 1
               ? driver->graph_add_dependencies(graph->graph, handles, handles + n, data, n)
               : driver->graph_remove_dependencies(graph->graph, handles, handles + n, data, n);
}

CUresult session_op_NODE_DEPENDS(Session *s, SessionCall *call)
{
    const VGPUSessionNode *p = call->parameters;
    SessionStore *store = session_store(s);
    CLEANUP_FREE VGPUSessionEdge *edges = NULL;
    CUresult result;

    if (p->flags & ~(VGPU_SESSION_EDGE_DATA | 1))
        return CUDA_ERROR_INVALID_VALUE;
    result = session_edges_read(call, p->n_dependencies, true, p->flags, &edges);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&store->handles);
    result = node_depends(s, p, edges);
    pthread_mutex_unlock(&store->handles);
    return result;
}

CUresult session_op_NODE_DESTROY(Session *s, SessionCall *call)
{
    const VGPUSessionNode *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionGraph *graph;
    SessionNode *node;
    CUresult result;

    pthread_mutex_lock(&store->handles);
    result = node_graph(s, p, &graph);
    if (result == CUDA_SUCCESS) {
        node = session_node(graph, p->node);
        result = node && !graph->growing ? session_node_destroy(s, graph, node)
                                         : CUDA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_unlock(&store->handles);
    return result;
}

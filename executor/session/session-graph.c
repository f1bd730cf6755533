/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-graph.h"

#include <stdlib.h>

#include "cleanup.h"
#include "session-captures.h"
#include "session-condition.h"
#include "session-hosts.h"

SessionGraph *session_graph_new(Session *s, SessionKind kind, uint32_t id, const SessionCall *call)
{
    SessionGraph *graph = calloc(1, sizeof(*graph));

    if (graph) {
        graph->kind = kind;
        graph->id = id;
        graph->context = call->record.context;
        graph->serial = ++session_store(s)->last_graph;
    }
    return graph;
}

void session_graph_free(SessionGraph *graph)
{
    if (!graph)
        return;
    session_uses_clear(&graph->uses);
    free(graph->nodes);
    free(graph->conditions);
    free(graph);
}

void session_graph_freep(SessionGraph **graph)
{
    session_graph_free(*graph);
}

CUresult session_graph_find(Session *s, SessionKind kind, uint32_t id, SessionGraph **ret)
{
    void *found;
    CUresult result = session_find(s, kind, id, &found);

    if (result != CUDA_SUCCESS)
        return result;
    *ret = found;
    if ((*ret)->growing)
        return CUDA_ERROR_NOT_SUPPORTED;
    return (*ret)->is_broken ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}

/* The driver ends a graph by itself when its capture goes wrong: so it is asked each time. */
CUresult session_graph_find_growing(Session *s, uint32_t id, SessionGraph **ret)
{
    const CUgraphNode *last;
    const CudaEdgeData *data;
    SessionGraph *graph;
    CUgraph handle = NULL;
    size_t n_last;
    void *found;
    int status = 0;
    CUresult r = session_find(s, SESSION_GRAPH, id, &found);

    if (r != CUDA_SUCCESS)
        return r;
    graph = found;
    if (!graph->growing)
        return session_graph_find(s, SESSION_GRAPH, id, ret);
    r = session_driver(s)->stream_get_capture_info(graph->growing->handle, &status, NULL, &handle,
                                                   &last, &data, &n_last);
    if (r != CUDA_SUCCESS)
        return r;
    if (status != CU_STREAM_CAPTURE_STATUS_ACTIVE || handle != graph->graph)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (graph->is_broken || session_captures_are_broken(s))
        return CUDA_ERROR_INVALID_HANDLE;
    graph->may_wait |= s->captures.may_wait;
    *ret = graph;
    return CUDA_SUCCESS;
}

void session_graph_leave(Session *s, SessionGraph *graph)
{
    session_bodies_leave(s, graph, NULL);
    session_graph_uncount_beside(s, graph, graph->n_beside);
    if (graph->owner)
        LIST_REMOVE(graph, body);
    session_store_remove(s, graph->kind, graph->id, graph);
    LIST_REMOVE(graph, link);
    session_graph_free(graph);
}

void session_graph_empty(Session *s, SessionGraph *graph)
{
    const CudaSessionDriver *driver = session_driver(s);

    graph->is_broken = true;
    if (graph->owner) /* the driver ends it with its node */
        return;
    session_bodies_leave(s, graph, NULL);
    (void) driver->graph_destroy(graph->graph);
    if (driver->graph_create(&graph->graph, 0) != CUDA_SUCCESS)
        graph->graph = NULL;
    session_graph_uncount(s, graph, graph->n_total);
    graph->n_nodes = 0;
    graph->is_known = false;
}

/* What has come into a graph of the guest's may stay there: it counts, and what it names is
 * remembered. A capture that fails, the driver ends together with that graph. */
static bool graph_keep(Session *s, SessionGraph *graph, const SessionStream *stream)
{
    CUgraph handle = NULL;
    uint32_t n = 0;
    CUresult r = session_driver(s)->stream_end_capture(stream->handle, &handle);

    if (r != CUDA_SUCCESS || handle != graph->graph)
        return false;
    r = session_captures_take(s, graph);
    if (r == CUDA_SUCCESS)
        r = session_graph_scan(s, graph, graph->graph, &n);
    if (r == CUDA_SUCCESS && n > graph->n_total)
        r = session_graph_count(s, graph, n - graph->n_total);
    if (r != CUDA_SUCCESS)
        session_graph_empty(s, graph);
    return true;
}

bool session_graph_lost(Session *s, SessionGraph *graph)
{
    const SessionStream *stream = graph->growing;

    graph->growing->grows = NULL;
    graph->growing = NULL;
    if (graph->is_into && graph_keep(s, graph, stream))
        return false;
    for (SessionGraph *owner = graph->owner; owner; owner = owner->owner)
        owner->is_broken = true;
    session_graph_uncount(s, graph, graph->n_total);
    session_graph_leave(s, graph);
    return true;
}

CUresult session_graph_add(Session *s, SessionGraph *graph)
{
    CUresult result = session_add(s, graph->kind, graph->id, graph);

    if (result == CUDA_SUCCESS)
        LIST_INSERT_HEAD(&session_store(s)->graphs, graph, link);
    return result;
}

/* ---- How much --------------------------------------------------------------------------------
 */

/* All graphs of the session; atomic, as the driver's threads end executable ones. */
static bool nodes_take(Session *s, uint32_t n)
{
    uint32_t *all = &session_store(s)->n_nodes;

    if (__atomic_add_fetch(all, n, __ATOMIC_RELAXED) <= VGPU_SESSION_ALL_NODES_MAX)
        return true;
    __atomic_sub_fetch(all, n, __ATOMIC_RELAXED);
    return false;
}

CUresult session_graph_count_beside(Session *s, SessionGraph *graph, uint32_t n)
{
    if (n > VGPU_SESSION_NODES_MAX - graph->n_beside || !nodes_take(s, n))
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->n_beside += n;
    return CUDA_SUCCESS;
}

void session_graph_uncount_beside(Session *s, SessionGraph *graph, uint32_t n)
{
    graph->n_beside -= n;
    __atomic_sub_fetch(&session_store(s)->n_nodes, n, __ATOMIC_RELAXED);
}

CUresult session_graph_count(Session *s, SessionGraph *graph, uint32_t n)
{
    if (n > VGPU_SESSION_NODES_MAX - graph->n_total || !nodes_take(s, n))
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->n_total += n;
    return CUDA_SUCCESS;
}

void session_graph_uncount(Session *s, SessionGraph *graph, uint32_t n)
{
    graph->n_total -= n;
    __atomic_sub_fetch(&session_store(s)->n_nodes, n, __ATOMIC_RELAXED);
}

static CUresult scan_node(Session *s, SessionGraph *graph, CUgraphNode node, unsigned depth,
                          uint32_t *ret_n);

static CUresult scan_nodes(Session *s, SessionGraph *graph, CUgraph handle, unsigned depth,
                           uint32_t *ret_n)
{
    const CudaSessionDriver *driver = session_driver(s);
    CLEANUP_FREE CUgraphNode *nodes = NULL;
    size_t n = 0;
    CUresult r = driver->graph_get_nodes(handle, NULL, &n);

    if (r != CUDA_SUCCESS || n == 0)
        return r;
    if (depth > SESSION_GRAPH_DEPTH_MAX || n > VGPU_SESSION_NODES_MAX - *ret_n)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret_n += (uint32_t) n;
    nodes = calloc(n, sizeof(CUgraphNode));
    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = driver->graph_get_nodes(handle, nodes, &n);
    for (size_t i = 0; r == CUDA_SUCCESS && i < n; i++)
        r = scan_node(s, graph, nodes[i], depth, ret_n);
    return r;
}

static CUresult scan_node(Session *s, SessionGraph *graph, CUgraphNode node, unsigned depth,
                          uint32_t *ret_n)
{
    const CudaSessionDriver *driver = session_driver(s);
    CUgraph child;
    int type = 0;
    CUresult r = driver->graph_node_get_type(node, &type);

    if (r != CUDA_SUCCESS)
        return r;
    graph->may_wait |= type == CU_GRAPH_NODE_TYPE_HOST || type == CU_GRAPH_NODE_TYPE_WAIT_EVENT ||
                       type == CU_GRAPH_NODE_TYPE_BATCH_MEM_OP;
    if (type != CU_GRAPH_NODE_TYPE_GRAPH)
        return CUDA_SUCCESS;
    if (graph->depth <= depth)
        graph->depth = depth + 1;
    r = driver->child_node_get(node, &child);
    return r == CUDA_SUCCESS ? scan_nodes(s, graph, child, depth + 1, ret_n) : r;
}

CUresult session_graph_scan(Session *s, SessionGraph *graph, CUgraph handle, uint32_t *ret_n)
{
    return scan_nodes(s, graph, handle, 0, ret_n);
}

/* ---- What an executable graph takes ----------------------------------------------------------
 */

/* With more nodes, what holding costs is nothing beside the launch, and what may be left of graphs
 * that have ended is much. */
#define CHARGE_LOOSE_NODES 64u

CUresult session_charge_new(Session *s, uint32_t n_nodes, SessionCharge **ret)
{
    SessionCharge *charge = calloc(1, sizeof(*charge));
    CUresult r;

    if (!charge)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *charge = (SessionCharge){
        .session = s,
        .references = 1,
        .bytes = VGPU_SESSION_EXEC_BYTES + n_nodes * VGPU_SESSION_EXEC_NODE_BYTES,
        .n_nodes = n_nodes,
    };
    r = session_memory_charge(&session_store(s)->memory, charge->bytes);
    if (r == CUDA_SUCCESS) {
        r = nodes_take(s, n_nodes) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
        session_memory_settle(&session_store(s)->memory, charge->bytes, r);
    }
    if (r != CUDA_SUCCESS)
        free(charge);
    else
        *ret = charge;
    return r;
}

void session_charge_end(void *data)
{
    SessionCharge *charge = data;
    SessionStore *store = session_store(charge->session);

    if (__atomic_sub_fetch(&charge->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    session_memory_give_back(&store->memory, charge->bytes);
    __atomic_sub_fetch(&store->n_nodes, charge->n_nodes, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < charge->n_hosts; i++)
        session_host_give(charge->session, charge->hosts[i]);
    free(charge->hosts);
    free(charge);
}

CUresult session_charge_hold(Session *s, CUgraph graph, SessionCharge *charge, bool may_wait,
                             CUuserObject *ret)
{
    const CudaSessionDriver *driver = session_driver(s);
    CUuserObject object;
    CUresult r;

    *ret = NULL;
    if (!may_wait && charge->n_nodes <= CHARGE_LOOSE_NODES &&
        session_memory_left(&session_store(s)->memory) == UINT64_MAX)
        return CUDA_SUCCESS;
    __atomic_add_fetch(&charge->references, 1, __ATOMIC_RELAXED);
    r = driver->user_object_create(&object, charge, session_charge_end, 1,
                                   CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
    if (r != CUDA_SUCCESS) {
        session_charge_end(charge);
        return r;
    }
    r = driver->graph_retain_user_object(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE);
    if (r != CUDA_SUCCESS) {
        (void) driver->user_object_release(object, 1);
        return r;
    }
    *ret = object;
    return CUDA_SUCCESS;
}

void session_charge_leave(Session *s, CUgraph graph, CUuserObject object)
{
    if (object)
        (void) session_driver(s)->graph_release_user_object(graph, object, 1);
}

/* ---- Events that graphs have -----------------------------------------------------------------
 */

/* An event without a number */
typedef struct SessionOrphan {
    LIST_ENTRY(SessionOrphan) link;
    CUevent event;
} SessionOrphan;

static bool event_is_used(Session *s, CUevent event)
{
    const SessionGraph *graph;

    LIST_FOREACH(graph, &session_store(s)->graphs, link)
    if (session_uses_event(&graph->uses, event))
        return true;
    return session_captures_have(s, event);
}

static CUresult event_end(Session *s, CUevent event)
{
    SessionOrphan *orphan;

    if (!event_is_used(s, event))
        return session_driver(s)->event_destroy(event);
    orphan = malloc(sizeof(*orphan));
    if (!orphan)
        return CUDA_SUCCESS; /* it stays until its context ends */
    orphan->event = event;
    LIST_INSERT_HEAD(&session_store(s)->orphans, orphan, link);
    return CUDA_SUCCESS;
}

CUresult session_event_end(Session *s, CUevent event)
{
    SessionStore *store = session_store(s);
    CUresult r;

    pthread_mutex_lock(&store->handles);
    r = event_end(s, event);
    pthread_mutex_unlock(&store->handles);
    return r;
}

CUresult session_event_leave(Session *s, CUevent event, uint32_t context)
{
    SessionStore *store = session_store(s);
    SessionGraph *graph;
    CUresult r;

    pthread_mutex_lock(&store->handles);
    LIST_FOREACH(graph, &store->graphs, link)
    if (graph->context != context && session_uses_forget_event(&graph->uses, event))
        graph->is_broken = true;
    session_captures_forget(s, event);
    r = event_end(s, event);
    pthread_mutex_unlock(&store->handles);
    return r;
}

void session_events_sweep(Session *s)
{
    SessionOrphan *orphan, *next;

    for (orphan = LIST_FIRST(&session_store(s)->orphans); orphan; orphan = next) {
        next = LIST_NEXT(orphan, link);
        if (event_is_used(s, orphan->event))
            continue;
        (void) session_driver(s)->event_destroy(orphan->event);
        LIST_REMOVE(orphan, link);
        free(orphan);
    }
}

/* ---- The end ---------------------------------------------------------------------------------
 */

/* What was launched of an executable graph goes on in the driver. */
CUresult session_graph_end(Session *s, SessionGraph *graph)
{
    const CudaSessionDriver *driver = session_driver(s);
    const bool has_events = graph->uses.n_events > 0;
    CUresult result;

    if (graph->growing && session_graph_lost(s, graph))
        return CUDA_SUCCESS;
    if (graph->kind == SESSION_GRAPH) {
        result = driver->graph_destroy(graph->graph);
        session_graph_uncount(s, graph, graph->n_total);
    } else {
        result = driver->graph_exec_destroy(graph->exec);
        session_charge_end(graph->charge);
    }
    session_graph_leave(s, graph);
    if (has_events)
        session_events_sweep(s);
    return result;
}

void session_graphs_break(Session *s, const void *object)
{
    SessionGraph *graph;

    LIST_FOREACH(graph, &session_store(s)->graphs, link)
    if (session_uses_has_object(&graph->uses, object))
        graph->is_broken = true;
    session_captures_break(s, object);
}

void session_graphs_free(SessionStore *store)
{
    SessionOrphan *orphan;
    SessionGraph *graph;

    while ((graph = LIST_FIRST(&store->graphs))) {
        LIST_REMOVE(graph, link);
        session_graph_free(graph);
    }
    while ((orphan = LIST_FIRST(&store->orphans))) {
        LIST_REMOVE(orphan, link);
        free(orphan);
    }
}

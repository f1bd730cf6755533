/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a graph has: lists of its nodes, and edges between them, which the executor tells. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "graph.h"

/* Bytes of edges in one operation */
#define EDGE_BYTES_MAX 16384u

/* ---- Lists -------------------------------------------------------------------------------------
 *
 * The driver's way: without an array the number of all; else as many as there is room for, and NULL
 * in what is left.
 */

typedef struct EdgeList {
    CUgraphNode *from, *to; /* of nodes: @from alone */
    GraphEdge *edges;
    size_t room, n;
} EdgeList;

static void list_put(EdgeList *l, const LibNode *from, const LibNode *to, const GraphEdge *edge)
{
    if (l->n < l->room) {
        if (l->from)
            l->from[l->n] = from->handle;
        if (l->to)
            l->to[l->n] = to->handle;
        if (l->edges)
            l->edges[l->n] = edge ? *edge : (GraphEdge){0};
    }
    l->n++;
}

static void list_end(EdgeList *l, size_t *ret)
{
    for (size_t i = l->n; i < l->room; i++) {
        if (l->from)
            l->from[i] = NULL;
        if (l->to)
            l->to[i] = NULL;
        if (l->edges)
            l->edges[i] = (GraphEdge){0};
    }
    *ret = l->room > 0 && l->n > l->room ? l->room : l->n;
}

static CUresult list_nodes(const LibCall *call, LibGraph *graph, uint32_t what, EdgeList *l)
{
    CLEANUP_FREE uint32_t *numbers = NULL;
    uint64_t n = 0;
    CUresult r =
        vgpu_session_graph_list(call->session, &call->from, graph->number, what, &numbers, &n);

    for (uint64_t i = 0; r == CUDA_SUCCESS && i < n; i++) {
        LibNode *node = node_of(graph, numbers[i]);

        if (!node)
            r = CUDA_ERROR_OUT_OF_MEMORY;
        else if (node->number == numbers[i] || what == VGPU_GRAPH_LIST_ROOTS)
            list_put(l, node, NULL, NULL);
    }
    return r;
}

static CUresult nodes(CUgraph handle, uint32_t what, CUgraphNode *to, size_t *n)
{
    EdgeList list = {.from = to};
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (!n)
        return CUDA_ERROR_INVALID_VALUE;
    list.room = to ? *n : 0;
    r = list_nodes(&call, graph, what, &list);
    if (r == CUDA_SUCCESS)
        list_end(&list, n);
    return r;
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *to, size_t *n)
{
    return nodes(graph, VGPU_GRAPH_LIST_NODES, to, n);
}

CUresult cuGraphGetRootNodes(CUgraph graph, CUgraphNode *to, size_t *n)
{
    return nodes(graph, VGPU_GRAPH_LIST_ROOTS, to, n);
}

/* ---- Edges -------------------------------------------------------------------------------------
 */

static_assert(sizeof(GraphEdge) == sizeof(((VGPUSessionEdge *) NULL)->data), "ABI");

bool graph_edge_is_plain(const GraphEdge *edge)
{
    static const GraphEdge plain;

    return memcmp(edge, &plain, sizeof(plain)) == 0;
}

bool graph_edges_are_plain(const GraphEdge *edges, size_t n)
{
    for (size_t i = 0; edges && i < n; i++)
        if (!graph_edge_is_plain(&edges[i]))
            return false;
    return true;
}

/* Those that begin at @from, and end at @to, where that is not NULL. What kind of edges they are,
 * a program must ask for where they are not all plain. */
static CUresult list_edges(const LibCall *call, LibGraph *graph, const LibNode *from,
                           const LibNode *to, EdgeList *l)
{
    CLEANUP_FREE uint32_t *numbers = NULL;
    uint64_t n = 0;
    CUresult r = vgpu_session_graph_list(call->session, &call->from, graph->number,
                                         VGPU_GRAPH_LIST_EDGE_DATA, &numbers, &n);

    for (uint64_t i = 0; r == CUDA_SUCCESS && i < n; i++) {
        const LibNode *a, *b;
        VGPUSessionEdge edge;
        GraphEdge data;

        memcpy(&edge, (const char *) numbers + i * sizeof(edge), sizeof(edge));
        memcpy(&data, edge.data, sizeof(data));
        a = node_of(graph, edge.from);
        b = node_of(graph, edge.to);
        if (!a || !b)
            return CUDA_ERROR_OUT_OF_MEMORY;
        if (a == b || (from && a != from) || (to && b != to))
            continue;
        if (!l->edges && l->room > 0 && !graph_edge_is_plain(&data))
            return CUDA_ERROR_LOSSY_QUERY;
        list_put(l, a, b, &data);
    }
    return r;
}

CUresult cuGraphGetEdges_v2(CUgraph handle, CUgraphNode *from, CUgraphNode *to, GraphEdge *edges,
                            size_t *n)
{
    EdgeList list = {.from = from, .to = to, .edges = edges};
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (!n || !from != !to || (edges && !from))
        return CUDA_ERROR_INVALID_VALUE;
    list.room = from ? *n : 0;
    r = list_edges(&call, graph, NULL, NULL, &list);
    if (r == CUDA_SUCCESS)
        list_end(&list, n);
    return r;
}

CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *n)
{
    return cuGraphGetEdges_v2(graph, from, to, NULL, n);
}

static CUresult neighbours(CUgraphNode handle, bool before, CUgraphNode *to, GraphEdge *edges,
                           size_t *n)
{
    EdgeList list = {.edges = edges};
    LibNode *node;
    LibCall call;
    CUresult r = node_enter(handle, -1, &call, &node);

    if (r != CUDA_SUCCESS)
        return r;
    if (!n || (edges && !to))
        return CUDA_ERROR_INVALID_VALUE;
    if (before)
        list.from = to;
    else
        list.to = to;
    list.room = to ? *n : 0;
    r = list_edges(&call, node->graph, before ? NULL : node, before ? node : NULL, &list);
    if (r == CUDA_SUCCESS)
        list_end(&list, n);
    return r;
}

CUresult cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode *to, GraphEdge *edges,
                                       size_t *n)
{
    return neighbours(node, true, to, edges, n);
}

CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode *to, size_t *n)
{
    return neighbours(node, true, to, NULL, n);
}

CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode *to, GraphEdge *edges,
                                         size_t *n)
{
    return neighbours(node, false, to, edges, n);
}

CUresult cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode *to, size_t *n)
{
    return neighbours(node, false, to, NULL, n);
}

/* ---- Changes -----------------------------------------------------------------------------------
 */

/* Plain ones are pairs of numbers, which each executor knows. */
static size_t depends_each(const GraphEdge *edges)
{
    return edges ? sizeof(VGPUSessionEdge) : 2 * sizeof(uint32_t);
}

static CUresult depends_read(const LibGraph *graph, const CUgraphNode *from, const CUgraphNode *to,
                             const GraphEdge *edges, size_t n, unsigned char *ret)
{
    for (size_t i = 0; i < n; i++) {
        const LibNode *a = handle_object(HANDLE_NODE, from[i]);
        const LibNode *b = handle_object(HANDLE_NODE, to[i]);
        VGPUSessionEdge edge;

        if (!a || !b || a == b || a->graph != graph || b->graph != graph)
            return CUDA_ERROR_INVALID_VALUE;
        edge = (VGPUSessionEdge){.from = a->exit, .to = b->entry};
        if (edges)
            memcpy(edge.data, &edges[i], sizeof(edge.data));
        memcpy(ret + i * depends_each(edges), &edge, depends_each(edges));
    }
    return CUDA_SUCCESS;
}

static CUresult depends(CUgraph handle, const CUgraphNode *from, const CUgraphNode *to,
                        const GraphEdge *edges, size_t n, bool add)
{
    const bool are_plain = n > VGPU_SESSION_ALL_NODES_MAX || graph_edges_are_plain(edges, n);
    const GraphEdge *kinds = are_plain ? NULL : edges;
    const size_t each = depends_each(kinds), n_max = EDGE_BYTES_MAX / each;
    CLEANUP_FREE unsigned char *all = NULL;
    VGPUSessionNode node = {.flags = (kinds ? VGPU_SESSION_EDGE_DATA : 0) | add};
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r != CUDA_SUCCESS || n == 0)
        return r;
    if (!from || !to || n > VGPU_SESSION_ALL_NODES_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    r = graph_may_change(graph);
    if (r == CUDA_SUCCESS && !add)
        r = graph_has_no_memory(graph);
    all = malloc(n * each);
    if (r == CUDA_SUCCESS && !all)
        r = CUDA_ERROR_OUT_OF_MEMORY;
    if (r == CUDA_SUCCESS)
        r = depends_read(graph, from, to, kinds, n, all);
    node.graph = graph->number;
    for (size_t at = 0; r == CUDA_SUCCESS && at < n; at += node.n_dependencies) {
        node.n_dependencies = (uint32_t) (n - at < n_max ? n - at : n_max);
        r = vgpu_session_call(call.session, VGPU_SESSION_OP_NODE_DEPENDS, &call.from, &node,
                              sizeof(node), all + at * each, node.n_dependencies * each, NULL);
    }
    return r;
}

CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                size_t n)
{
    return depends(graph, from, to, NULL, n, true);
}

CUresult cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   const GraphEdge *edges, size_t n)
{
    return depends(graph, from, to, edges, n, true);
}

CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   size_t n)
{
    return depends(graph, from, to, NULL, n, false);
}

CUresult cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                      const GraphEdge *edges, size_t n)
{
    return depends(graph, from, to, edges, n, false);
}

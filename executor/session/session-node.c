/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-node.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "session-hosts.h"

#define NODES_FIRST_ROOM 16u

SessionNode *session_node(const SessionGraph *graph, uint32_t number)
{
    if (number == 0 || number > graph->n_nodes || !graph->nodes[number - 1].handle)
        return NULL;
    return &graph->nodes[number - 1];
}

static CUresult nodes_room(SessionGraph *graph, size_t n)
{
    const size_t needed = graph->n_nodes + n;
    size_t room = graph->room > 0 ? graph->room : NODES_FIRST_ROOM;
    SessionNode *more;

    /* Numbers are not given twice: who adds and destroys nodes for ever comes to an end. */
    if (needed > VGPU_SESSION_ALL_NODES_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (needed <= graph->room)
        return CUDA_SUCCESS;
    while (room < needed)
        room *= 2;
    more = realloc(graph->nodes, room * sizeof(*more));
    if (!more)
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->nodes = more;
    graph->room = (uint32_t) room;
    return CUDA_SUCCESS;
}

CUresult session_nodes_room(SessionGraph *graph)
{
    return nodes_room(graph, 1);
}

uint32_t session_nodes_add(SessionGraph *graph, CUgraphNode handle, CUgraphNode first)
{
    graph->nodes[graph->n_nodes] = (SessionNode){handle, first};
    return ++graph->n_nodes;
}

/* ---- Nodes of a capture ---------------------------------------------------------------------- */

static int handle_compare(const void *a, const void *b)
{
    const CUgraphNode *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* A function of the guest's is two nodes of the driver's. Returns the second in *ret, or NULL where
 * @node is none. */
static CUresult nodes_second(Session *s, CUgraphNode node, CUgraphNode *ret)
{
    const CudaSessionDriver *driver = session_driver(s);
    CudaHostNode host = {0};
    CudaEdgeData data;
    size_t n = 1;
    int type = 0;
    CUresult r = driver->graph_node_get_type(node, &type);

    *ret = NULL;
    if (r != CUDA_SUCCESS || type != CU_GRAPH_NODE_TYPE_HOST)
        return r;
    r = driver->host_node_get(node, &host);
    if (r != CUDA_SUCCESS || !session_host_is(s, &host))
        return r;
    return driver->graph_node_get_dependents(node, ret, &data, &n);
}

static CUresult nodes_know_pairs(Session *s, SessionGraph *graph, const CUgraphNode *all, size_t n)
{
    CLEANUP_FREE CUgraphNode *seconds = calloc(n + 1, sizeof(CUgraphNode));
    CLEANUP_FREE CUgraphNode *sorted = calloc(n + 1, sizeof(CUgraphNode));
    size_t n_sorted = 0;

    if (!seconds || !sorted)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < n; i++) {
        CUresult r = nodes_second(s, all[i], &seconds[i]);

        if (r != CUDA_SUCCESS)
            return r;
        if (seconds[i])
            sorted[n_sorted++] = seconds[i];
    }
    qsort(sorted, n_sorted, sizeof(*sorted), handle_compare);
    for (size_t i = 0; i < n; i++) {
        if (seconds[i])
            session_nodes_add(graph, seconds[i], all[i]);
        else if (!bsearch(&all[i], sorted, n_sorted, sizeof(*sorted), handle_compare))
            session_nodes_add(graph, all[i], NULL);
    }
    return CUDA_SUCCESS;
}

static CUresult nodes_drop_known(const SessionGraph *graph, CUgraphNode *all, size_t *n);

/* A graph that grows has new ones each time. */
CUresult session_nodes_know(Session *s, SessionGraph *graph)
{
    const CudaSessionDriver *driver = session_driver(s);
    CLEANUP_FREE CUgraphNode *all = NULL;
    const uint32_t n_before = graph->n_nodes;
    size_t n = 0;
    CUresult r;

    if (graph->is_known)
        return CUDA_SUCCESS;
    r = driver->graph_get_nodes(graph->graph, NULL, &n);
    if (r == CUDA_SUCCESS)
        r = nodes_room(graph, n);
    if (r != CUDA_SUCCESS)
        return r;
    all = calloc(n + 1, sizeof(CUgraphNode));
    if (!all)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (n > 0)
        r = driver->graph_get_nodes(graph->graph, all, &n);
    if (r == CUDA_SUCCESS && n_before > 0)
        r = nodes_drop_known(graph, all, &n);
    if (r == CUDA_SUCCESS && graph->may_wait)
        r = nodes_know_pairs(s, graph, all, n);
    for (size_t i = 0; r == CUDA_SUCCESS && !graph->may_wait && i < n; i++)
        session_nodes_add(graph, all[i], NULL);
    if (r != CUDA_SUCCESS)
        graph->n_nodes = n_before;
    graph->is_known = r == CUDA_SUCCESS && !graph->growing;
    return r;
}

CUresult session_nodes_clone(Session *s, SessionGraph *to, SessionGraph *from)
{
    const CudaSessionDriver *driver = session_driver(s);
    CUresult r = session_nodes_know(s, from);

    if (r == CUDA_SUCCESS)
        r = nodes_room(to, from->n_nodes);
    for (uint32_t i = 0; r == CUDA_SUCCESS && i < from->n_nodes; i++) {
        const SessionNode *node = &from->nodes[i];
        CUgraphNode handle = NULL, first = NULL;

        if (node->handle)
            r = driver->graph_node_find_in_clone(&handle, node->handle, to->graph);
        if (r == CUDA_SUCCESS && node->first)
            r = driver->graph_node_find_in_clone(&first, node->first, to->graph);
        if (r == CUDA_SUCCESS)
            session_nodes_add(to, handle, first);
    }
    to->is_known = r == CUDA_SUCCESS;
    return r;
}

/* ---- Lists ------------------------------------------------------------------------------------
 */

typedef struct NodePlace {
    CUgraphNode handle; /* first, so that handle_compare() serves */
    uint32_t number;
    bool is_first;
} NodePlace;

typedef struct NodePlaces {
    NodePlace *all;
    size_t n;
} NodePlaces;

static void places_clear(NodePlaces *p)
{
    free(p->all);
}

static CUresult places_fill(const SessionGraph *graph, NodePlaces *p)
{
    p->all = calloc(2 * (size_t) graph->n_nodes + 1, sizeof(*p->all));
    if (!p->all)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const SessionNode *node = &graph->nodes[i];

        if (node->handle)
            p->all[p->n++] = (NodePlace){node->handle, i + 1, false};
        if (node->handle && node->first)
            p->all[p->n++] = (NodePlace){node->first, i + 1, true};
    }
    qsort(p->all, p->n, sizeof(*p->all), handle_compare);
    return CUDA_SUCCESS;
}

static const NodePlace *places_find(const NodePlaces *p, CUgraphNode handle)
{
    return bsearch(&handle, p->all, p->n, sizeof(*p->all), handle_compare);
}

static CUresult nodes_drop_known(const SessionGraph *graph, CUgraphNode *all, size_t *n)
{
    CLEANUP(places_clear) NodePlaces places = {0};
    CUresult r = places_fill(graph, &places);
    size_t n_new = 0;

    if (r != CUDA_SUCCESS)
        return r;
    for (size_t i = 0; i < *n; i++)
        if (!places_find(&places, all[i]))
            all[n_new++] = all[i];
    *n = n_new;
    return CUDA_SUCCESS;
}

uint32_t session_nodes_find(const SessionGraph *graph, CUgraphNode handle)
{
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].handle == handle || graph->nodes[i].first == handle)
            return i + 1;
    return 0;
}

uint32_t session_nodes_number(Session *s, SessionGraph *graph, CUgraphNode handle)
{
    if (!handle || session_nodes_know(s, graph) != CUDA_SUCCESS)
        return 0;
    return session_nodes_find(graph, handle);
}

/* What a list is written to */
typedef struct NodeList {
    unsigned char *into;
    uint64_t room, at; /* bytes */
    uint64_t n;
} NodeList;

static void list_put(NodeList *l, const void *what, uint64_t size)
{
    l->n++;
    if (size > l->room - l->at)
        return;
    memcpy(l->into + l->at, what, size);
    l->at += size;
}

static CUresult list_roots(Session *s, const SessionGraph *graph, const NodePlaces *places,
                           NodeList *l)
{
    const CudaSessionDriver *driver = session_driver(s);
    CLEANUP_FREE CUgraphNode *roots = NULL;
    size_t n = 0;
    CUresult r = driver->graph_get_root_nodes(graph->graph, NULL, &n);

    if (r != CUDA_SUCCESS || n == 0)
        return r;
    roots = calloc(n, sizeof(CUgraphNode));
    if (!roots)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = driver->graph_get_root_nodes(graph->graph, roots, &n);
    for (size_t i = 0; r == CUDA_SUCCESS && i < n; i++) {
        const NodePlace *place = places_find(places, roots[i]);

        if (place)
            list_put(l, &place->number, sizeof(place->number));
    }
    return r;
}

/* All edges of the driver's: @n of them */
static CUresult nodes_edges(Session *s, const SessionGraph *graph, CUgraphNode **ret_from,
                            CUgraphNode **ret_to, CudaEdgeData **ret_data, size_t *ret_n)
{
    const CudaSessionDriver *driver = session_driver(s);
    CUresult r = driver->graph_get_edges(graph->graph, NULL, NULL, NULL, ret_n);

    if (r != CUDA_SUCCESS)
        return r;
    *ret_from = calloc(*ret_n + 1, sizeof(CUgraphNode));
    *ret_to = calloc(*ret_n + 1, sizeof(CUgraphNode));
    *ret_data = calloc(*ret_n + 1, sizeof(**ret_data));
    if (!*ret_from || !*ret_to || !*ret_data)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return *ret_n > 0 ? driver->graph_get_edges(graph->graph, *ret_from, *ret_to, *ret_data, ret_n)
                      : CUDA_SUCCESS;
}

static CUresult list_edges(Session *s, const SessionGraph *graph, const NodePlaces *places,
                           bool with_data, NodeList *l)
{
    CLEANUP_FREE CUgraphNode *from = NULL;
    CLEANUP_FREE CUgraphNode *to = NULL;
    CLEANUP_FREE CudaEdgeData *data = NULL;
    size_t n = 0;
    CUresult r = nodes_edges(s, graph, &from, &to, &data, &n);

    for (size_t i = 0; r == CUDA_SUCCESS && i < n; i++) {
        const NodePlace *a = places_find(places, from[i]), *b = places_find(places, to[i]);
        VGPUSessionEdge edge;

        /* Not the one between the two of a function */
        if (!a || !b || a->is_first)
            continue;
        edge = (VGPUSessionEdge){.from = a->number, .to = b->number};
        memcpy(edge.data, &data[i], sizeof(edge.data));
        list_put(l, &edge, with_data ? sizeof(edge) : 2 * sizeof(uint32_t));
    }
    return r;
}

CUresult session_nodes_list(Session *s, SessionGraph *graph, uint32_t what, unsigned char *into,
                            uint64_t room, uint64_t *ret_n)
{
    CLEANUP(places_clear) NodePlaces places = {0};
    NodeList list = {.into = into, .room = into ? room : 0};
    CUresult r = places_fill(graph, &places);

    if (r != CUDA_SUCCESS)
        return r;
    if (what == VGPU_GRAPH_LIST_EDGES || what == VGPU_GRAPH_LIST_EDGE_DATA)
        r = list_edges(s, graph, &places, what == VGPU_GRAPH_LIST_EDGE_DATA, &list);
    else if (what == VGPU_GRAPH_LIST_ROOTS)
        r = list_roots(s, graph, &places, &list);
    else
        for (uint32_t number = 1; number <= graph->n_nodes; number++)
            if (session_node(graph, number))
                list_put(&list, &number, sizeof(number));
    *ret_n = list.n;
    return r;
}

/* ---- One after the other ----------------------------------------------------------------------
 */

static bool all_differ(CUgraphNode *nodes, size_t n)
{
    qsort(nodes, n, sizeof(*nodes), handle_compare);
    for (size_t i = 1; i < n; i++)
        if (nodes[i] == nodes[i - 1])
            return false;
    return true;
}

CUresult session_nodes_are_chain(Session *s, const SessionGraph *graph, bool *ret)
{
    CLEANUP_FREE CUgraphNode *from = NULL;
    CLEANUP_FREE CUgraphNode *to = NULL;
    CLEANUP_FREE CudaEdgeData *data = NULL;
    size_t n_nodes = 0, n = 0;
    CUresult r = session_driver(s)->graph_get_nodes(graph->graph, NULL, &n_nodes);

    if (r == CUDA_SUCCESS)
        r = nodes_edges(s, graph, &from, &to, &data, &n);
    *ret = r == CUDA_SUCCESS && n + 1 == n_nodes && all_differ(from, n) && all_differ(to, n);
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Edges between nodes, and what kind of edges they are */
#include "fake-capture.h"

#include <stdlib.h>
#include <string.h>

bool fake_edge_is_plain(const CudaEdgeData *edge)
{
    static const CudaEdgeData plain;

    return memcmp(edge, &plain, sizeof(plain)) == 0;
}

/* Only kernels have ports, and only between kernels are edges programmatic: of a port that is not
 * the default one. What leaves by the port PROGRAMMATIC is always. */
bool fake_edge_is_allowed(const CudaEdgeData *edge, const struct CUgraphNode_st *from,
                          FakeWorkKind to)
{
    static const unsigned char zero[sizeof(edge->reserved)];
    const bool is_kernel = from->work.kind == FAKE_WORK_KERNEL;

    if (edge->to_port != 0 || memcmp(edge->reserved, zero, sizeof(zero)) != 0)
        return false;
    if (edge->type == CU_GRAPH_DEPENDENCY_TYPE_DEFAULT)
        return edge->from_port == CU_GRAPH_KERNEL_NODE_PORT_DEFAULT ||
               (edge->from_port == CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER && is_kernel);
    return edge->type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC && is_kernel &&
           to == FAKE_WORK_KERNEL && edge->from_port != CU_GRAPH_KERNEL_NODE_PORT_DEFAULT &&
           edge->from_port <= CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER;
}

void fake_edge_add(CUgraphNode to, CUgraphNode from, CudaEdgeData edge)
{
    const size_t n = to->n_dependencies + 1;

    to->dependencies = realloc(to->dependencies, n * sizeof(CUgraphNode));
    to->edges = realloc(to->edges, n * sizeof(*to->edges));
    if (!to->dependencies || !to->edges)
        abort();
    to->dependencies[n - 1] = from;
    to->edges[n - 1] = edge;
    to->n_dependencies = n;
}

size_t fake_edge_find(const struct CUgraphNode_st *to, const struct CUgraphNode_st *from)
{
    size_t i = 0;

    while (i < to->n_dependencies && to->dependencies[i] != from)
        i++;
    return i;
}

/* ---- The driver's functions ------------------------------------------------------------ */

static CudaEdgeData edge_of(const CudaEdgeData *data, size_t i)
{
    return data ? data[i] : (CudaEdgeData){0};
}

/* Each is between two nodes of the graph, and named once. */
static bool are_pairs(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, size_t n,
                      const char *what)
{
    fake_object_check(graph, FAKE_KIND_GRAPH, what);
    for (size_t i = 0; i < n; i++) {
        if (!fake_nodes_are_of(graph, &from[i], 1, what) ||
            !fake_nodes_are_of(graph, &to[i], 1, what) || from[i] == to[i])
            return false;
        for (size_t j = 0; j < i; j++)
            if (from[j] == from[i] && to[j] == to[i])
                return false;
    }
    return true;
}

CUresult cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   const CudaEdgeData *data, size_t n)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    if (!are_pairs(graph, from, to, n, __func__))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        const CudaEdgeData edge = edge_of(data, i);

        if (fake_edge_find(to[i], from[i]) < to[i]->n_dependencies ||
            !fake_edge_is_allowed(&edge, from[i], to[i]->work.kind))
            return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < n; i++)
        fake_edge_add(to[i], from[i], edge_of(data, i));
    return CUDA_SUCCESS;
}

CUresult cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                      const CudaEdgeData *data, size_t n)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    if (!are_pairs(graph, from, to, n, __func__))
        return CUDA_ERROR_INVALID_VALUE;
    /* Which one is meant, the nodes say, and not the data: so it is on an H200. */
    (void) data;
    for (size_t i = 0; i < n; i++)
        if (fake_edge_find(to[i], from[i]) == to[i]->n_dependencies)
            return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        const size_t at = fake_edge_find(to[i], from[i]), last = --to[i]->n_dependencies;

        to[i]->dependencies[at] = to[i]->dependencies[last];
        to[i]->edges[at] = to[i]->edges[last];
    }
    return CUDA_SUCCESS;
}

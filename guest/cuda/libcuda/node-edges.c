/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A node that is added behind others by edges that are not all plain: for programmatic launches. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "graph.h"

/* What the driver says of an edge to a node of type @to. Only kernels have ports, and only between
 * kernels are edges programmatic. */
static bool edge_is_allowed(const GraphEdge *edge, int from, int to)
{
    static const unsigned char zero[sizeof(edge->reserved)];

    if (edge->to_port != 0 || memcmp(edge->reserved, zero, sizeof(zero)) != 0)
        return false;
    if (edge->type == EDGE_DEFAULT)
        return edge->from_port == PORT_DEFAULT ||
               (edge->from_port == PORT_LAUNCH_ORDER && from == NODE_KERNEL);
    return edge->type == EDGE_PROGRAMMATIC && from == NODE_KERNEL && to == NODE_KERNEL &&
           (edge->from_port == PORT_PROGRAMMATIC || edge->from_port == PORT_LAUNCH_ORDER);
}

static CUresult edges_check(const CUgraphNode *from, const GraphEdge *edges, size_t n, int to)
{
    CUresult r = CUDA_SUCCESS;
    int type;

    for (size_t i = 0; i < n && r == CUDA_SUCCESS; i++) {
        r = cuGraphNodeGetType(from[i], &type);
        if (r == CUDA_SUCCESS && !edge_is_allowed(&edges[i], type, to))
            r = CUDA_ERROR_INVALID_VALUE;
    }
    return r;
}

/* What would be refused is refused before there is a node, which a graph that grows would keep. The
 * node comes behind those with plain edges, and then behind the others, too. */
CUresult cuGraphAddNode_v2(CUgraphNode *ret, CUgraph graph, const CUgraphNode *dependencies,
                           const GraphEdge *edges, size_t n, AnyNode *p)
{
    CLEANUP_FREE CUgraphNode *plain = NULL;
    CLEANUP_FREE CUgraphNode *from = NULL;
    CLEANUP_FREE CUgraphNode *to = NULL;
    CLEANUP_FREE GraphEdge *kinds = NULL;
    size_t n_plain = 0, n_other = 0;
    CUgraphNode node = NULL;
    CUresult r;

    if (n > VGPU_SESSION_RECORD_MAX / sizeof(uint32_t) || graph_edges_are_plain(edges, n))
        return cuGraphAddNode(ret, graph, dependencies, n, p);
    if (!ret || !dependencies || !p)
        return CUDA_ERROR_INVALID_VALUE;
    r = edges_check(dependencies, edges, n, p->type);
    if (r != CUDA_SUCCESS)
        return r;
    plain = malloc(n * sizeof(CUgraphNode));
    from = malloc(n * sizeof(CUgraphNode));
    to = malloc(n * sizeof(CUgraphNode));
    kinds = malloc(n * sizeof(*kinds));
    if (!plain || !from || !to || !kinds)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < n; i++) {
        if (graph_edge_is_plain(&edges[i])) {
            plain[n_plain++] = dependencies[i];
        } else {
            kinds[n_other] = edges[i];
            from[n_other++] = dependencies[i];
        }
    }
    r = cuGraphAddNode(&node, graph, plain, n_plain, p);
    for (size_t i = 0; i < n_other; i++)
        to[i] = node;
    if (r != CUDA_SUCCESS)
        return r;
    r = cuGraphAddDependencies_v2(graph, from, to, kinds, n_other);
    if (r == CUDA_SUCCESS)
        *ret = node;
    else
        (void) cuGraphDestroyNode(node);
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-edge.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

_Static_assert(sizeof(CudaEdgeData) == sizeof(((VGPUSessionEdge *) NULL)->data), "ABI");

CudaEdgeData session_edge_data(const VGPUSessionEdge *edge)
{
    CudaEdgeData data;

    memcpy(&data, edge->data, sizeof(data));
    return data;
}

bool session_edge_is_plain(const CudaEdgeData *data)
{
    static const CudaEdgeData plain;

    return memcmp(data, &plain, sizeof(plain)) == 0;
}

/* Which nodes may have such an edge between them, the driver says. */
static bool edge_is_known(const VGPUSessionEdge *edge)
{
    static const unsigned char zero[sizeof(((CudaEdgeData *) NULL)->reserved)];
    const CudaEdgeData data = session_edge_data(edge);

    return data.from_port <= CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER && data.to_port == 0 &&
           data.type <= CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC &&
           memcmp(data.reserved, zero, sizeof(zero)) == 0;
}

CUresult session_edges_read(const SessionCall *call, uint32_t n, bool are_pairs, uint32_t flags,
                            VGPUSessionEdge **ret)
{
    const size_t each = flags & VGPU_SESSION_EDGE_DATA ? sizeof(VGPUSessionEdge)
                        : are_pairs                    ? 2 * sizeof(uint32_t)
                                                       : sizeof(uint32_t);
    CLEANUP_FREE VGPUSessionEdge *edges = NULL;

    if (n > call->more_size / each)
        return CUDA_ERROR_INVALID_VALUE;
    edges = calloc((size_t) n + 1, sizeof(*edges));
    if (!edges)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(&edges[i], call->more + i * each, each); /* of a number: @from */
        if (!edge_is_known(&edges[i]) || (!are_pairs && edges[i].to != 0))
            return CUDA_ERROR_INVALID_VALUE;
    }
    *ret = TAKE_PTR(edges);
    return CUDA_SUCCESS;
}

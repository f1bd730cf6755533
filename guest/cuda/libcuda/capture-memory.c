/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory in the order of a stream that captures: nodes of the graph, behind what was captured. */
#include "capture-memory.h"

#include <stdlib.h>

#include "cleanup.h"
#include "graph-memory.h"

/* Behind all that the next in the stream depends on. After CUDA_SUCCESS, node_place_clear() */
static CUresult captured_place(const LibCall *call, const LibStream *stream, NodePlace *ret)
{
    CLEANUP_FREE VGPUSessionEdge *edges = NULL;
    LibCapture *capture = capture_of(stream);
    uint64_t n;
    CUresult r;

    if (!capture || capture->is_spoilt)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    r = capture_look(call, stream, capture, &edges, &n);
    if (r != CUDA_SUCCESS)
        return r;
    ret->call = *call;
    ret->call.context = capture->graph->context;
    ret->call.from.context = graph_context_number(capture->graph);
    ret->graph = capture->graph;
    ret->n_after = (uint32_t) n;
    ret->after = calloc(n + 1, sizeof(*ret->after));
    for (uint64_t i = 0; ret->after && i < n; i++)
        ret->after[i] = edges[i].from;
    return ret->after ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* The next in the stream comes behind the new node. */
static CUresult captured_added(const LibCall *call, const LibStream *stream, const LibNode *node)
{
    uint32_t number = node->exit;
    const NodePlace place = {.graph = node->graph, .after = &number, .n_after = 1};

    return capture_behind(call, VGPU_SESSION_OP_CAPTURE_DEPENDS,
                          &(const VGPUSessionCapture){
                              .stream = stream->number,
                              .flags = CAPTURE_SET_DEPENDENCIES,
                          },
                          &place, NULL);
}

CUresult capture_alloc(const LibCall *call, const LibStream *stream, size_t size, CUdeviceptr *ret)
{
    AllocNode alloc = graph_memory_of(size);
    NodePlace place;
    LibNode *node;
    CUresult r = captured_place(call, stream, &place);

    if (r != CUDA_SUCCESS)
        return r;
    r = alloc_node_add(&place, &alloc, &node);
    node_place_clear(&place);
    if (r == CUDA_SUCCESS)
        r = captured_added(call, stream, node);
    if (r == CUDA_SUCCESS)
        *ret = alloc.address;
    return r;
}

CUresult capture_free(const LibCall *call, const LibStream *stream, CUdeviceptr address)
{
    NodePlace place;
    LibNode *node;
    CUresult r = captured_place(call, stream, &place);

    if (r != CUDA_SUCCESS)
        return r;
    r = free_node_add(&place, address, &node);
    node_place_clear(&place);
    return r == CUDA_SUCCESS ? captured_added(call, stream, node) : r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What programs are told of captures, and the graph that grows meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "cleanup.h"

/* Work in the legacy default stream would be work of each capture in a stream that waits for it. */
static CUresult capture_is_implied(const LibStream *legacy)
{
    LibContext *c = legacy->context;
    const LibStream *stream;
    CUresult r = CUDA_SUCCESS;

    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, of_context)
    if (capture_has(stream) && !(stream->flags & CU_STREAM_NON_BLOCKING))
        r = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    pthread_mutex_unlock(&c->lock);
    return r;
}

static CUresult status_of(const LibCall *call, const LibStream *stream, int *ret)
{
    *ret = CAPTURE_NONE;
    if (!captures_are())
        return CUDA_SUCCESS;
    if (stream->number == 0)
        return capture_is_implied(stream);
    *ret = capture_status(stream);
    return *ret == CAPTURE_ACTIVE ? capture_ask(call, stream->number, ret) : CUDA_SUCCESS;
}

static CUresult status_enter(CUstream handle, LibCall *call, LibStream **ret, int *status)
{
    CUresult r = libcuda_enter_stream(handle, call, ret);

    if (r == CUDA_SUCCESS && !status)
        r = CUDA_ERROR_INVALID_VALUE;
    return r == CUDA_SUCCESS ? status_of(call, *ret, status) : r;
}

CUresult cuStreamIsCapturing(CUstream handle, int *status)
{
    LibStream *stream;
    LibCall call;

    return status_enter(handle, &call, &stream, status);
}

CUresult cuStreamGetCaptureInfo(CUstream handle, int *status, cuuint64_t *id)
{
    LibStream *stream;
    LibCall call;
    CUresult r = status_enter(handle, &call, &stream, status);

    if (r == CUDA_SUCCESS && id && *status == CAPTURE_ACTIVE)
        *id = stream->capture_id;
    return r;
}

/* ---- The graph that grows ----------------------------------------------------------------------
 */

CUresult capture_look(const LibCall *call, const LibStream *stream, LibCapture *capture,
                      VGPUSessionEdge **ret, uint64_t *ret_n)
{
    LibGraph *graph = capture->graph;
    CUresult r = graph ? CUDA_SUCCESS : graph_new(call, HANDLE_GRAPH, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    r = vgpu_session_capture_graph(call->session, &call->from, stream->number, graph->number, ret,
                                   ret_n);
    if (r == CUDA_SUCCESS) {
        capture->graph = graph;
        graph->is_growing = true;
    } else if (graph != capture->graph) {
        graph_forget(call, graph);
    }
    return r;
}

/* The program may look at the nodes until its next call about the stream, which keeps them. The
 * kinds of edges stand behind them. */
static CUresult capture_show(LibStream *stream, LibGraph *graph, const VGPUSessionEdge *edges,
                             uint64_t n)
{
    CUgraphNode *nodes = calloc(n + 1, sizeof(CUgraphNode) + sizeof(GraphEdge));
    GraphEdge *kinds = (GraphEdge *) (nodes + n + 1);

    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint64_t i = 0; i < n; i++) {
        const LibNode *node = node_of(graph, edges[i].from);

        if (!node) {
            free(nodes);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        nodes[i] = node->handle;
        memcpy(&kinds[i], edges[i].data, sizeof(kinds[i]));
    }
    free(stream->capture_nodes);
    stream->capture_nodes = nodes;
    return CUDA_SUCCESS;
}

static CUresult capture_info(const LibCall *call, LibStream *stream, CUgraph *graph,
                             const CUgraphNode **nodes, const GraphEdge **edges, size_t *n)
{
    CLEANUP_FREE VGPUSessionEdge *last = NULL;
    LibCapture *capture = capture_of(stream);
    const GraphEdge *kinds;
    uint64_t n_nodes = 0;
    CUresult r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;

    if (capture)
        r = capture_look(call, stream, capture, &last, &n_nodes);
    if (r == CUDA_SUCCESS)
        r = capture_show(stream, capture->graph, last, n_nodes);
    if (r != CUDA_SUCCESS)
        return r;
    kinds = (const GraphEdge *) (stream->capture_nodes + n_nodes + 1);
    if (nodes && !edges && !graph_edges_are_plain(kinds, n_nodes))
        return CUDA_ERROR_LOSSY_QUERY;
    if (graph)
        *graph = capture->graph->handle;
    if (nodes)
        *nodes = stream->capture_nodes;
    if (edges)
        *edges = kinds;
    if (n)
        *n = n_nodes;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCaptureInfo_v3(CUstream handle, int *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **nodes, const GraphEdge **edges, size_t *n)
{
    LibStream *stream;
    LibCall call;
    CUresult r = status_enter(handle, &call, &stream, status);

    if (r != CUDA_SUCCESS || *status != CAPTURE_ACTIVE)
        return r;
    if (id)
        *id = stream->capture_id;
    return graph || nodes || edges || n ? capture_info(&call, stream, graph, nodes, edges, n) : r;
}

CUresult cuStreamGetCaptureInfo_v2(CUstream handle, int *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **nodes, size_t *n)
{
    return cuStreamGetCaptureInfo_v3(handle, status, id, graph, nodes, NULL, n);
}

CUresult capture_behind(const LibCall *call, uint16_t opcode, const VGPUSessionCapture *what,
                        const NodePlace *place, const GraphEdge *edges)
{
    CLEANUP_FREE VGPUSessionEdge *all = calloc((size_t) place->n_after + 1, sizeof(*all));
    VGPUSessionCapture capture = *what;

    if (!all)
        return CUDA_ERROR_OUT_OF_MEMORY;
    capture.graph = place->graph->number;
    capture.n = place->n_after;
    for (uint32_t i = 0; i < place->n_after; i++) {
        all[i].from = place->after[i];
        if (edges)
            memcpy(all[i].data, &edges[i], sizeof(all[i].data));
    }
    return vgpu_session_capture_nodes(call->session, &call->from, opcode, &capture, all);
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream handle, CUgraphNode *nodes,
                                              const GraphEdge *edges, size_t n, unsigned flags)
{
    CLEANUP_FREE VGPUSessionEdge *unused_edges = NULL;
    NodePlace place = {0};
    CUgraphNode unused;
    LibCapture *capture;
    LibStream *stream;
    uint64_t n_before;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (flags > CAPTURE_SET_DEPENDENCIES)
        return CUDA_ERROR_INVALID_VALUE;
    capture = capture_of(stream);
    if (!capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->is_spoilt)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!capture->graph)
        r = capture_look(&call, stream, capture, &unused_edges, &n_before);
    if (r == CUDA_SUCCESS)
        r = node_place(&unused, capture->graph->handle, nodes, n, &place);
    if (r != CUDA_SUCCESS)
        return r;
    r = capture_behind(&call, VGPU_SESSION_OP_CAPTURE_DEPENDS,
                       &(const VGPUSessionCapture){
                           .stream = stream->number,
                           .flags = flags,
                       },
                       &place, edges);
    node_place_clear(&place);
    return r;
}

CUresult cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode *nodes, size_t n,
                                           unsigned flags)
{
    return cuStreamUpdateCaptureDependencies_v2(handle, nodes, NULL, n, flags);
}

/* ---- The thread's default stream ---------------------------------------------------------------
 */

CUresult cuStreamIsCapturing_ptsz(CUstream handle, int *status)
{
    return cuStreamIsCapturing(libcuda_per_thread(handle), status);
}

CUresult cuStreamGetCaptureInfo_ptsz(CUstream handle, int *status, cuuint64_t *id)
{
    return cuStreamGetCaptureInfo(libcuda_per_thread(handle), status, id);
}

CUresult cuStreamGetCaptureInfo_v2_ptsz(CUstream handle, int *status, cuuint64_t *id,
                                        CUgraph *graph, const CUgraphNode **nodes, size_t *n)
{
    return cuStreamGetCaptureInfo_v2(libcuda_per_thread(handle), status, id, graph, nodes, n);
}

CUresult cuStreamGetCaptureInfo_v3_ptsz(CUstream handle, int *status, cuuint64_t *id,
                                        CUgraph *graph, const CUgraphNode **nodes,
                                        const GraphEdge **edges, size_t *n)
{
    return cuStreamGetCaptureInfo_v3(libcuda_per_thread(handle), status, id, graph, nodes, edges,
                                     n);
}

CUresult cuStreamUpdateCaptureDependencies_ptsz(CUstream handle, CUgraphNode *nodes, size_t n,
                                                unsigned flags)
{
    return cuStreamUpdateCaptureDependencies(libcuda_per_thread(handle), nodes, n, flags);
}

CUresult cuStreamUpdateCaptureDependencies_v2_ptsz(CUstream handle, CUgraphNode *nodes,
                                                   const GraphEdge *edges, size_t n, unsigned flags)
{
    return cuStreamUpdateCaptureDependencies_v2(libcuda_per_thread(handle), nodes, edges, n, flags);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "capture.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

typedef struct LibCapture {
    LIST_ENTRY(LibCapture) link;
    uint64_t id;
    uint8_t mode;
    uint16_t thread; /* that has begun it */
    bool is_spoilt;  /* by what the executor has not seen */
    bool is_into;    /* a graph that was the program's before */
    LibGraph *graph; /* NULL: the program has not asked for it */
} LibCapture;

static pthread_mutex_t capture_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, LibCapture) captures = LIST_HEAD_INITIALIZER(captures);
static unsigned n_captures; /* atomic */

/* With the lock held */
static LibCapture *capture_find(uint64_t id)
{
    LibCapture *c;

    LIST_FOREACH(c, &captures, link)
    if (c->id == id)
        return c;
    return NULL;
}

/* Only who ends a capture frees it: the caller's stream belongs to it. */
static LibCapture *capture_of(const LibStream *stream)
{
    LibCapture *c;

    pthread_mutex_lock(&capture_lock);
    c = capture_has(stream) ? capture_find(stream->capture_id) : NULL;
    pthread_mutex_unlock(&capture_lock);
    return c;
}

void capture_join(LibStream *stream, uint64_t id)
{
    pthread_mutex_lock(&capture_lock);
    if (capture_find(id)) {
        stream->capture_id = id;
        __atomic_store_n(&stream->is_capturing, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&capture_lock);
}

CUresult capture_spoil(const LibStream *stream)
{
    LibCapture *c = capture_of(stream);

    if (c)
        __atomic_store_n(&c->is_spoilt, true, __ATOMIC_RELAXED);
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

static bool capture_minds(const LibCapture *c)
{
    const uint8_t mode = libcuda_thread.capture_mode;

    if (c->mode == CAPTURE_RELAXED || mode == CAPTURE_RELAXED)
        return false;
    return c->thread == libcuda_thread_number() ||
           (c->mode == CAPTURE_GLOBAL && mode == CAPTURE_GLOBAL);
}

CUresult capture_forbids(void)
{
    CUresult r = CUDA_SUCCESS;
    LibCapture *c;

    if (__atomic_load_n(&n_captures, __ATOMIC_ACQUIRE) == 0)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&capture_lock);
    LIST_FOREACH(c, &captures, link)
    if (capture_minds(c)) {
        __atomic_store_n(&c->is_spoilt, true, __ATOMIC_RELAXED);
        r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    pthread_mutex_unlock(&capture_lock);
    return r;
}

/* ---- Their life --------------------------------------------------------------------------------
 */

static LibCapture *capture_new(int mode, LibGraph *graph)
{
    LibCapture *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->id = libcuda_next_id();
    c->mode = (uint8_t) mode;
    c->thread = libcuda_thread_number();
    c->graph = graph;
    c->is_into = graph != NULL;
    return c;
}

static void capture_started(LibCapture *c, LibStream *stream)
{
    if (c->graph)
        c->graph->is_growing = true;
    pthread_mutex_lock(&capture_lock);
    LIST_INSERT_HEAD(&captures, c, link);
    __atomic_store_n(&n_captures, n_captures + 1, __ATOMIC_RELEASE);
    stream->capture_id = c->id;
    __atomic_store_n(&stream->is_capturing, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&capture_lock);
}

static void capture_leave_streams(LibContext *c, uint64_t id)
{
    LibStream *stream;

    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, of_context)
    if (stream->is_capturing && stream->capture_id == id)
        __atomic_store_n(&stream->is_capturing, false, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&c->lock);
}

/* All streams of the capture are as before it. */
static void capture_over(LibCapture *c)
{
    LibContext *context;

    pthread_mutex_lock(&libcuda_process.lock);
    LIST_FOREACH(context, &libcuda_process.contexts, all)
    capture_leave_streams(context, c->id);
    pthread_mutex_unlock(&libcuda_process.lock);
    pthread_mutex_lock(&capture_lock);
    LIST_REMOVE(c, link);
    __atomic_store_n(&n_captures, n_captures - 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&capture_lock);
    if (c->graph)
        c->graph->is_growing = false;
    free(c);
}

static CUresult begin_enter(CUstream handle, int mode, LibCall *call, LibStream **ret)
{
    CUresult r = libcuda_enter_stream(handle, call, ret);

    if (r != CUDA_SUCCESS)
        return r;
    if (mode < CAPTURE_GLOBAL || mode > CAPTURE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    if ((*ret)->number == 0)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return capture_has(*ret) ? CUDA_ERROR_ILLEGAL_STATE : CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream handle, int mode)
{
    VGPUSessionGraph parameters = {.flags = (uint32_t) mode};
    LibCapture *capture;
    LibStream *stream;
    LibCall call;
    CUresult r = begin_enter(handle, mode, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    capture = capture_new(mode, NULL);
    if (!capture)
        return CUDA_ERROR_OUT_OF_MEMORY;
    parameters.stream = stream->number;
    r = libcuda_post(&call, VGPU_SESSION_OP_CAPTURE_BEGIN, &parameters, sizeof(parameters));
    if (r == CUDA_SUCCESS)
        capture_started(capture, stream);
    else
        free(capture);
    return r;
}

CUresult cuStreamBeginCapture(CUstream handle)
{
    return cuStreamBeginCapture_v2(handle, CAPTURE_GLOBAL);
}

CUresult cuStreamBeginCaptureToGraph(CUstream handle, CUgraph graph_handle,
                                     const CUgraphNode *nodes, const GraphEdge *edges, size_t n,
                                     int mode)
{
    NodePlace place = {0};
    LibCapture *capture;
    LibStream *stream;
    CUgraphNode unused;
    LibCall call;
    CUresult r = begin_enter(handle, mode, &call, &stream);

    if (r == CUDA_SUCCESS)
        r = graph_check_edges(edges, n);
    if (r == CUDA_SUCCESS)
        r = node_place(&unused, graph_handle, nodes, n, &place);
    if (r != CUDA_SUCCESS)
        return r;
    capture = place.graph->is_growing ? NULL : capture_new(mode, place.graph);
    r = place.graph->is_growing ? CUDA_ERROR_INVALID_VALUE
        : capture               ? CUDA_SUCCESS
                                : CUDA_ERROR_OUT_OF_MEMORY;
    if (r == CUDA_SUCCESS)
        r = vgpu_session_capture_nodes(call.session, &call.from, VGPU_SESSION_OP_CAPTURE_INTO,
                                       &(const VGPUSessionCapture){
                                           .graph = place.graph->number,
                                           .n = place.n_after,
                                           .stream = stream->number,
                                           .flags = (uint32_t) mode,
                                       },
                                       place.after);
    node_place_clear(&place);
    if (r == CUDA_SUCCESS)
        capture_started(capture, stream);
    else
        free(capture);
    return r;
}

/* What the executor says of the capture */
static CUresult capture_ask(const LibCall *call, const LibStream *stream, int *ret)
{
    const VGPUSessionId parameters = {.id = stream->number};
    VGPUSessionReply reply;
    CUresult r =
        libcuda_ask(call, VGPU_SESSION_OP_CAPTURE_INFO, &parameters, sizeof(parameters), &reply);

    if (r == CUDA_SUCCESS)
        *ret = (int) reply.value[0];
    return r;
}

/* The end was refused. Either the capture goes on, or there is none any more, and no graph of its
 * own. */
static void end_failed(const LibCall *call, const LibStream *stream, LibCapture *capture,
                       LibGraph *graph)
{
    const bool is_own = !capture->is_into;
    int status = CAPTURE_NONE;

    if (capture_ask(call, stream, &status) == CUDA_SUCCESS && status != CAPTURE_NONE) {
        if (graph != capture->graph)
            graph_forget(call, graph);
        return;
    }
    capture_over(capture);
    if (is_own)
        graph_forget(call, graph);
}

static CUresult capture_end(const LibCall *call, const LibStream *stream, LibCapture *capture,
                            CUgraph *ret)
{
    VGPUSessionGraph parameters = {.stream = stream->number};
    LibGraph *graph = capture->graph;
    bool is_spoilt, is_own;
    CUresult r = graph ? CUDA_SUCCESS : graph_new(call, HANDLE_GRAPH, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    parameters.graph = graph->number;
    r = libcuda_ask(call, VGPU_SESSION_OP_CAPTURE_END, &parameters, sizeof(parameters), NULL);
    if (r != CUDA_SUCCESS) {
        end_failed(call, stream, capture, graph);
        return r;
    }
    is_spoilt = capture->is_spoilt;
    is_own = !capture->is_into;
    capture_over(capture);
    if (!is_spoilt) {
        *ret = graph->handle;
        return CUDA_SUCCESS;
    }
    if (is_own) {
        (void) libcuda_post(call, VGPU_SESSION_OP_GRAPH_DESTROY,
                            &(const VGPUSessionGraph){.graph = graph->number},
                            sizeof(VGPUSessionGraph));
        graph_forget(call, graph);
    }
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph *ret)
{
    LibCapture *capture;
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    capture = capture_of(stream);
    if (!capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    *ret = NULL;
    return capture_end(&call, stream, capture, ret);
}

/* ---- Questions ---------------------------------------------------------------------------------
 */

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
    const LibCapture *capture;

    *ret = CAPTURE_NONE;
    if (__atomic_load_n(&n_captures, __ATOMIC_ACQUIRE) == 0)
        return CUDA_SUCCESS;
    if (stream->number == 0)
        return capture_is_implied(stream);
    capture = capture_of(stream);
    if (!capture)
        return CUDA_SUCCESS;
    if (!capture->is_spoilt)
        return capture_ask(call, stream, ret);
    *ret = CAPTURE_INVALIDATED;
    return CUDA_SUCCESS;
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

/* The graph, and the numbers of the nodes that the next in the stream depends on; to be freed with
 * free() */
static CUresult capture_look(const LibCall *call, const LibStream *stream, LibCapture *capture,
                             uint32_t **ret, uint64_t *ret_n)
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
static CUresult capture_show(LibStream *stream, LibGraph *graph, const uint32_t *numbers,
                             uint64_t n)
{
    CUgraphNode *nodes = calloc(n + 1, sizeof(CUgraphNode) + sizeof(GraphEdge));

    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint64_t i = 0; i < n; i++) {
        const LibNode *node = node_of(graph, numbers[i]);

        if (!node) {
            free(nodes);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        nodes[i] = node->handle;
    }
    free(stream->capture_nodes);
    stream->capture_nodes = nodes;
    return CUDA_SUCCESS;
}

static CUresult capture_info(const LibCall *call, LibStream *stream, CUgraph *graph,
                             const CUgraphNode **nodes, const GraphEdge **edges, size_t *n)
{
    CLEANUP_FREE uint32_t *numbers = NULL;
    LibCapture *capture = capture_of(stream);
    uint64_t n_nodes = 0;
    CUresult r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;

    if (capture)
        r = capture_look(call, stream, capture, &numbers, &n_nodes);
    if (r == CUDA_SUCCESS)
        r = capture_show(stream, capture->graph, numbers, n_nodes);
    if (r != CUDA_SUCCESS)
        return r;
    if (graph)
        *graph = capture->graph->handle;
    if (nodes)
        *nodes = stream->capture_nodes;
    if (edges)
        *edges = (const GraphEdge *) (stream->capture_nodes + n_nodes + 1);
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

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream handle, CUgraphNode *nodes,
                                              const GraphEdge *edges, size_t n, unsigned flags)
{
    CLEANUP_FREE uint32_t *numbers = NULL;
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
    r = graph_check_edges(edges, n);
    if (r == CUDA_SUCCESS && !capture->graph)
        r = capture_look(&call, stream, capture, &numbers, &n_before);
    if (r == CUDA_SUCCESS)
        r = node_place(&unused, capture->graph->handle, nodes, n, &place);
    if (r != CUDA_SUCCESS)
        return r;
    r = vgpu_session_capture_nodes(call.session, &call.from, VGPU_SESSION_OP_CAPTURE_DEPENDS,
                                   &(const VGPUSessionCapture){
                                       .graph = place.graph->number,
                                       .n = place.n_after,
                                       .stream = stream->number,
                                       .flags = flags,
                                   },
                                   place.after);
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

CUresult cuStreamBeginCapture_v2_ptsz(CUstream handle, int mode)
{
    return cuStreamBeginCapture_v2(libcuda_per_thread(handle), mode);
}

CUresult cuStreamBeginCapture_ptsz(CUstream handle)
{
    return cuStreamBeginCapture_v2(libcuda_per_thread(handle), CAPTURE_GLOBAL);
}

CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream handle, CUgraph graph, const CUgraphNode *nodes,
                                          const GraphEdge *edges, size_t n, int mode)
{
    return cuStreamBeginCaptureToGraph(libcuda_per_thread(handle), graph, nodes, edges, n, mode);
}

CUresult cuStreamEndCapture_ptsz(CUstream handle, CUgraph *ret)
{
    return cuStreamEndCapture(libcuda_per_thread(handle), ret);
}

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

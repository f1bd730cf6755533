/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "capture.h"

#include <stdlib.h>

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

LibCapture *capture_of(const LibStream *stream)
{
    LibCapture *c;

    pthread_mutex_lock(&capture_lock);
    c = capture_has(stream) ? capture_find(stream->capture_id) : NULL;
    pthread_mutex_unlock(&capture_lock);
    return c;
}

/* Where the event was not recorded, there was nothing to wait for. */
void capture_join(const LibCall *call, LibStream *stream, uint64_t id)
{
    int status = CAPTURE_NONE;

    if (capture_ask(call, stream->number, &status) != CUDA_SUCCESS || status == CAPTURE_NONE)
        return;
    pthread_mutex_lock(&capture_lock);
    if (capture_find(id)) {
        stream->capture_id = id;
        __atomic_store_n(&stream->is_capturing, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&capture_lock);
}

bool captures_are(void)
{
    return __atomic_load_n(&n_captures, __ATOMIC_ACQUIRE) > 0;
}

bool captures_hold(void)
{
    pthread_mutex_lock(&capture_lock);
    return n_captures > 0;
}

void captures_let_go(void)
{
    pthread_mutex_unlock(&capture_lock);
}

int capture_status(const LibStream *stream)
{
    int status = CAPTURE_NONE;
    const LibCapture *c;

    pthread_mutex_lock(&capture_lock);
    c = capture_has(stream) ? capture_find(stream->capture_id) : NULL;
    if (c)
        status = c->is_spoilt ? CAPTURE_INVALIDATED : CAPTURE_ACTIVE;
    pthread_mutex_unlock(&capture_lock);
    return status;
}

CUresult capture_spoil(const LibStream *stream)
{
    LibCapture *c;

    pthread_mutex_lock(&capture_lock);
    c = capture_find(stream->capture_id);
    if (c)
        c->is_spoilt = true;
    pthread_mutex_unlock(&capture_lock);
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

    if (!captures_are())
        return CUDA_SUCCESS;
    pthread_mutex_lock(&capture_lock);
    LIST_FOREACH(c, &captures, link)
    if (capture_minds(c)) {
        c->is_spoilt = true;
        r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    pthread_mutex_unlock(&capture_lock);
    return r;
}

/* ---- Their life --------------------------------------------------------------------------------
 */

static LibCapture *capture_new(int mode, const LibStream *origin, LibGraph *graph)
{
    LibCapture *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->id = libcuda_next_id();
    c->origin = origin;
    c->origin_number = origin->number;
    c->mode = (uint8_t) mode;
    c->thread = libcuda_thread_number();
    c->graph = graph;
    c->is_into = graph != NULL;
    return c;
}

/* Before the executor is told: whoever puts something into the stream from now on knows. What the
 * stream was given before is marked, as nothing can be put behind that later. */
static void capture_starts(const LibCall *call, LibCapture *c, LibStream *stream)
{
    uint64_t number;

    (void) libcuda_stream_mark(call, stream, &number);
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

static void capture_free(LibCapture *c)
{
    pthread_mutex_lock(&capture_lock);
    LIST_REMOVE(c, link);
    __atomic_store_n(&n_captures, n_captures - 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&capture_lock);
    if (c->graph)
        c->graph->is_growing = false;
    free(c->recorded);
    free(c);
}

CUresult capture_records(const LibStream *stream, CUevent event)
{
    LibCapture *c = capture_of(stream);
    CUevent *more;

    if (!c)
        return CUDA_SUCCESS;
    more = realloc(c->recorded, (c->n_recorded + 1) * sizeof(*more)); /* NOLINT: of pointers */
    if (!more)
        return CUDA_ERROR_OUT_OF_MEMORY;
    c->recorded = more;
    c->recorded[c->n_recorded++] = event;
    return CUDA_SUCCESS;
}

/* All streams of the capture are as before it. */
static void capture_over(LibCapture *c)
{
    LibContext *context;

    pthread_mutex_lock(&libcuda_process.lock);
    LIST_FOREACH(context, &libcuda_process.contexts, all)
    capture_leave_streams(context, c->id);
    pthread_mutex_unlock(&libcuda_process.lock);
    capture_free(c);
}

/* The graph of a capture that has failed is none any more. That of a conditional node goes with the
 * node. */
static void graph_lost(const LibCall *call, LibGraph *graph)
{
    if (!graph->body_of)
        graph_forget(call, graph);
}

LibCapture *capture_begun_in(const LibStream *stream)
{
    LibCapture *c = capture_of(stream);

    return c && c->origin == stream ? c : NULL;
}

/* The executor ends the capture with the stream. A context may be about to end with both: its list
 * of streams is the only one that is looked at. */
void capture_drop(LibContext *context, LibCapture *c)
{
    const LibCall call = {
        .session = libcuda_process.session,
        .context = context,
        .from.context = context->number,
    };
    LibGraph *graph = c->is_into && !c->is_spoilt ? NULL : c->graph;

    capture_leave_streams(context, c->id);
    capture_free(c);
    if (graph && call.session)
        graph_lost(&call, graph);
}

/* The program ends it later, in vain. */
void capture_lose(const LibCall *call, LibGraph *graph)
{
    VGPUSessionGraph parameters = {.graph = graph->number};
    LibCapture *c;

    if (!graph->is_growing)
        return;
    graph->is_growing = false;
    pthread_mutex_lock(&capture_lock);
    LIST_FOREACH(c, &captures, link)
    if (c->graph == graph) {
        parameters.stream = c->origin_number;
        c->graph = NULL;
        c->is_into = false;
        c->is_spoilt = true;
    }
    pthread_mutex_unlock(&capture_lock);
    if (call->from.context != 0 && parameters.stream != 0)
        (void) libcuda_ask(call, VGPU_SESSION_OP_CAPTURE_END, &parameters, sizeof(parameters),
                           NULL);
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
    capture = capture_new(mode, stream, NULL);
    if (!capture)
        return CUDA_ERROR_OUT_OF_MEMORY;
    parameters.stream = stream->number;
    capture_starts(&call, capture, stream);
    r = libcuda_post(&call, VGPU_SESSION_OP_CAPTURE_BEGIN, &parameters, sizeof(parameters));
    if (r != CUDA_SUCCESS)
        capture_over(capture);
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
        r = node_place(&unused, graph_handle, nodes, n, &place);
    if (r != CUDA_SUCCESS)
        return r;
    capture = place.graph->is_growing ? NULL : capture_new(mode, stream, place.graph);
    r = place.graph->is_growing ? CUDA_ERROR_INVALID_VALUE
        : capture               ? CUDA_SUCCESS
                                : CUDA_ERROR_OUT_OF_MEMORY;
    if (r == CUDA_SUCCESS) {
        capture_starts(&call, capture, stream);
        r = capture_behind(&call, VGPU_SESSION_OP_CAPTURE_INTO,
                           &(const VGPUSessionCapture){
                               .stream = stream->number,
                               .flags = (uint32_t) mode,
                           },
                           &place, edges);
        if (r != CUDA_SUCCESS)
            capture_over(capture);
    }
    node_place_clear(&place);
    return r;
}

CUresult capture_ask(const LibCall *call, uint32_t stream, int *ret)
{
    const VGPUSessionId parameters = {.id = stream};
    VGPUSessionReply reply;
    CUresult r =
        libcuda_ask(call, VGPU_SESSION_OP_CAPTURE_INFO, &parameters, sizeof(parameters), &reply);

    if (r == CUDA_SUCCESS)
        *ret = (int) reply.value[0];
    return r;
}

/* The end was refused. Either the capture goes on in the stream that it was begun in, or there is
 * none any more, and no graph, even if the program had made that one before. */
static void end_failed(const LibCall *call, LibCapture *capture, LibGraph *graph)
{
    int status = CAPTURE_NONE;

    /* What was captured without a reply has failed by the same: no later call is to be told. */
    if (capture_is_error(vgpu_session_get_latched(call->session)))
        (void) libcuda_take_error(call->session);

    if (capture_ask(call, capture->origin_number, &status) == CUDA_SUCCESS &&
        status != CAPTURE_NONE) {
        if (graph != capture->graph)
            graph_forget(call, graph);
        return;
    }
    capture_over(capture);
    graph_lost(call, graph);
}

static CUresult capture_end(const LibCall *call, const LibStream *stream, LibCapture *capture,
                            CUgraph *ret)
{
    VGPUSessionGraph parameters = {.stream = stream->number};
    LibGraph *graph = capture->graph;
    bool is_spoilt;
    CUresult r = graph ? CUDA_SUCCESS : graph_new(call, HANDLE_GRAPH, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    parameters.graph = graph->number;
    r = libcuda_ask(call, VGPU_SESSION_OP_CAPTURE_END, &parameters, sizeof(parameters), NULL);
    if (r != CUDA_SUCCESS) {
        end_failed(call, capture, graph);
        return r;
    }
    is_spoilt = capture->is_spoilt;
    for (size_t i = 0; i < capture->n_recorded; i++)
        (void) graph_records(graph, capture->recorded[i]);
    capture_over(capture);
    if (!is_spoilt) {
        if (ret)
            *ret = graph->handle;
        return CUDA_SUCCESS;
    }
    conditional_nodes_lose(call, graph);
    if (!graph->body_of)
        (void) libcuda_post(call, VGPU_SESSION_OP_GRAPH_DESTROY,
                            &(const VGPUSessionGraph){.graph = graph->number},
                            sizeof(VGPUSessionGraph));
    graph_lost(call, graph);
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
    capture = capture_of(stream);
    if (!ret && !(capture && capture->is_into)) /* who has the graph need not be told */
        return CUDA_ERROR_INVALID_VALUE;
    if (!capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (ret)
        *ret = NULL;
    return capture_end(&call, stream, capture, ret);
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

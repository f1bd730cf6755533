/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-capture.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64u

static _Thread_local int thread_mode = FAKE_CAPTURE_GLOBAL;

static void *copy_array(const void *from, size_t n, size_t size)
{
    void *to = malloc(n * size + 1);

    if (!to)
        abort();
    if (n > 0)
        memcpy(to, from, n * size);
    return to;
}

/* ---- What is before what --------------------------------------------------------- */

static FakeReach *reach_copy(const FakeReach *from)
{
    FakeReach *r = copy_array(from, 1, sizeof(*from));

    r->bits = copy_array(from->bits, from->n_words, sizeof(uint64_t));
    r->last = copy_array(from->last, from->n_last, sizeof(size_t));
    r->edges = copy_array(from->edges, from->n_last, sizeof(CudaEdgeData));
    return r;
}

static void reach_free(FakeReach *r)
{
    if (!r)
        return;
    free(r->bits);
    free(r->last);
    free(r->edges);
    free(r);
}

static void reach_grow(FakeReach *r, size_t n_words)
{
    if (n_words <= r->n_words)
        return;
    r->bits = realloc(r->bits, n_words * sizeof(uint64_t));
    if (!r->bits)
        abort();
    memset(r->bits + r->n_words, 0, (n_words - r->n_words) * sizeof(uint64_t));
    r->n_words = n_words;
}

static bool reach_has(const FakeReach *r, size_t node)
{
    return node / WORD_BITS < r->n_words && (r->bits[node / WORD_BITS] >> node % WORD_BITS & 1);
}

static void reach_add(FakeReach *r, size_t node)
{
    reach_grow(r, node / WORD_BITS + 1);
    r->bits[node / WORD_BITS] |= UINT64_C(1) << node % WORD_BITS;
}

/* Which of the last ones it is; as many as there are: none */
static size_t reach_find(const FakeReach *r, size_t node)
{
    size_t i = 0;

    while (i < r->n_last && r->last[i] != node)
        i++;
    return i;
}

/* One last one more. Who waits for all of a node waits for what leaves it by a port, too. */
static void reach_add_last(FakeReach *r, size_t node, CudaEdgeData edge)
{
    const size_t at = reach_find(r, node);

    if (at < r->n_last) {
        if (fake_edge_is_plain(&edge))
            r->edges[at] = edge;
        return;
    }
    r->last = realloc(r->last, (r->n_last + 1) * sizeof(size_t));
    r->edges = realloc(r->edges, (r->n_last + 1) * sizeof(CudaEdgeData));
    if (!r->last || !r->edges)
        abort();
    r->last[r->n_last] = node;
    r->edges[r->n_last++] = edge;
}

/* The last ones of both, without those that are before others */
static void reach_join(FakeReach *r, const FakeReach *other)
{
    FakeReach joined = {0};

    for (size_t i = 0; i < r->n_last; i++)
        if (!reach_has(other, r->last[i]) || reach_find(other, r->last[i]) < other->n_last)
            reach_add_last(&joined, r->last[i], r->edges[i]);
    for (size_t i = 0; i < other->n_last; i++)
        if (!reach_has(r, other->last[i]) || reach_find(r, other->last[i]) < r->n_last)
            reach_add_last(&joined, other->last[i], other->edges[i]);
    free(r->last);
    free(r->edges);
    r->last = joined.last;
    r->edges = joined.edges;
    r->n_last = joined.n_last;
    reach_grow(r, other->n_words);
    for (size_t i = 0; i < other->n_words; i++)
        r->bits[i] |= other->bits[i];
}

/* ---- Captures ----------------------------------------------------------------------- */

void fake_capture_forget(FakeCapture **capture, FakeReach **reach)
{
    FakeCapture *c = *capture;

    *capture = NULL;
    reach_free(*reach);
    *reach = NULL;
    if (!c || --c->references > 0)
        return;
    if (c->graph && fake_object_lives(c->graph, FAKE_KIND_GRAPH)) {
        if (c->is_into || c->graph->is_child)
            c->graph->is_captured = false;
        else
            fake_graph_end(c->graph);
    }
    free(c->told);
    free(c->told_data);
    free(c);
}

void fake_capture_invalidate(CUstream stream)
{
    stream->capture->invalid = true;
}

void fake_capture_lose(const struct CUgraph_st *graph)
{
    for (CUstream s = fake_stream_first(); s; s = s->next)
        if (s->capture && s->capture->graph == graph)
            fake_capture_invalidate(s);
}

/* By an event the next may depend on a port of a kernel; a kernel may say that it does on the port
 * of the one before it. What is no kernel waits for all. */
static CudaEdgeData edge_to(const struct CUgraphNode_st *from, CudaEdgeData edge,
                            const FakeWork *work)
{
    const CudaEdgeData programmatic = {
        .from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC,
        .type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC,
    };

    if (fake_edge_is_plain(&edge) && work->kind == FAKE_WORK_KERNEL && work->launch.is_programmatic)
        edge = programmatic;
    return fake_edge_is_allowed(&edge, from, work->kind) ? edge : (CudaEdgeData){0};
}

CUresult fake_capture_add(CUstream s, FakeWork *work)
{
    FakeCapture *c = s->capture;
    FakeReach *r = s->reach;
    CUgraphNode node;

    if (c->invalid) {
        fake_work_clear(work);
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    node = fake_nodes_add(&c->graph->nodes, work);
    for (size_t i = 0; i < r->n_last; i++) {
        CUgraphNode from = c->graph->nodes.all[r->last[i]];

        fake_edge_add(node, from, edge_to(from, r->edges[i], work));
    }
    fake_work_clear(work);
    reach_add(r, node->index);
    r->n_last = 0;
    reach_add_last(r, node->index, (CudaEdgeData){0});
    return CUDA_SUCCESS;
}

void fake_capture_attributes(CUstream s, const CUlaunchConfig *config)
{
    const FakeNodes *nodes = &s->capture->graph->nodes;

    for (unsigned i = 0; i < config->n_attributes; i++)
        fake_node_attribute(nodes->all[nodes->n - 1], config->attributes[i].id,
                            config->attributes[i].value);
}

/* Does this stream capture, and would the default stream wait for it? */
static bool is_implied(const struct CUstream_st *s, const struct CUstream_st *legacy)
{
    return fake_stream_is_legacy(legacy) && s->object.context == legacy->object.context &&
           s->capture && !(s->flags & CU_STREAM_NON_BLOCKING);
}

bool fake_capture_is_implied(const struct CUstream_st *stream)
{
    bool implied = false;

    for (CUstream s = fake_stream_first(); s; s = s->next) {
        if (!is_implied(s, stream))
            continue;
        fake_capture_invalidate(s);
        implied = true;
    }
    return implied;
}

/* Is this capture one that a call of this thread may disturb? */
static bool minds(const FakeCapture *c)
{
    bool own = pthread_equal(c->thread, pthread_self());

    if (c->mode == FAKE_CAPTURE_RELAXED || thread_mode == FAKE_CAPTURE_RELAXED)
        return false;
    return own || (c->mode == FAKE_CAPTURE_GLOBAL && thread_mode == FAKE_CAPTURE_GLOBAL);
}

CUresult fake_capture_forbids(void)
{
    CUresult r = CUDA_SUCCESS;

    for (CUstream s = fake_stream_first(); s; s = s->next) {
        if (!s->capture || !minds(s->capture))
            continue;
        fake_capture_invalidate(s);
        r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return r;
}

void fake_capture_record(CUstream s, CUevent e, CudaEdgeData edge)
{
    fake_capture_forget(&e->capture, &e->reach);
    e->capture = s->capture;
    e->capture->references++;
    e->reach = reach_copy(s->reach);
    for (size_t i = 0; !fake_edge_is_plain(&edge) && i < e->reach->n_last; i++)
        e->reach->edges[i] = edge;
}

bool fake_event_is_captured(const struct CUevent_st *e)
{
    return e->capture && !e->capture->ended;
}

CUresult fake_capture_wait(CUstream s, CUevent e)
{
    if (!fake_event_is_captured(e)) {
        fake_capture_invalidate(s);
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    if (e->capture->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!s->capture) {
        if (fake_stream_is_legacy(s)) {
            e->capture->invalid = true;
            return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        }
        s->capture = e->capture;
        s->capture->references++;
        s->reach = reach_copy(e->reach);
        return CUDA_SUCCESS;
    }
    if (s->capture != e->capture) {
        s->capture->invalid = e->capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    }
    reach_join(s->reach, e->reach);
    return CUDA_SUCCESS;
}

/* ---- The driver's functions ------------------------------------------------------------ */

CUresult cuThreadExchangeStreamCaptureMode(int *mode)
{
    int old = thread_mode;

    ENTER_SESSION(FAKE_INIT);
    if (*mode < FAKE_CAPTURE_GLOBAL || *mode > FAKE_CAPTURE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    thread_mode = *mode;
    *mode = old;
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream stream, int *status)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);

    /* To ask does no harm to the capture. */
    for (CUstream other = fake_stream_first(); other; other = other->next)
        if (is_implied(other, s))
            return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    *status = !s->capture           ? FAKE_CAPTURE_NONE
              : s->capture->invalid ? FAKE_CAPTURE_INVALIDATED
                                    : FAKE_CAPTURE_ACTIVE;
    return CUDA_SUCCESS;
}

/* @graph: the program's own, or NULL */
static CUresult begin(CUstream s, CUgraph graph, int mode)
{
    static uint64_t last_id;
    FakeCapture *c;

    if (mode < FAKE_CAPTURE_GLOBAL || mode > FAKE_CAPTURE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    if (fake_stream_is_legacy(s))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (s->capture)
        return CUDA_ERROR_ILLEGAL_STATE;

    c = calloc(1, sizeof(*c));
    s->reach = calloc(1, sizeof(*s->reach));
    if (!c || !s->reach)
        abort();
    *c = (FakeCapture){
        .graph = graph ? graph : fake_graph_new(s->object.context),
        .is_into = graph != NULL,
        .id = ++last_id,
        .context = s->object.context,
        .origin = s,
        .mode = mode,
        .thread = pthread_self(),
        .references = 1,
    };
    c->graph->is_captured = true;
    s->capture = c;
    return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    return begin(fake_stream_get(stream, __func__), NULL, mode);
}

/* A node, and all that is before it, is before the place in the stream. */
static void reach_add_before(FakeReach *r, const struct CUgraphNode_st *node)
{
    if (reach_has(r, node->index))
        return;
    reach_add(r, node->index);
    for (size_t i = 0; i < node->n_dependencies; i++)
        reach_add_before(r, node->dependencies[i]);
}

/* @n nodes of the graph that grows, by edges that a kernel behind them may have */
static bool may_depend(CUstream s, const CUgraphNode *nodes, const CudaEdgeData *data, size_t n,
                       const char *what)
{
    for (size_t i = 0; i < n; i++) {
        fake_object_check(nodes[i], FAKE_KIND_NODE, what);
        if (nodes[i]->nodes != &s->capture->graph->nodes ||
            (data && !fake_edge_is_allowed(&data[i], nodes[i], FAKE_WORK_KERNEL)))
            return false;
    }
    return true;
}

/* Behind these, too */
static void depend(CUstream s, const CUgraphNode *nodes, const CudaEdgeData *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        reach_add_last(s->reach, nodes[i]->index, data ? data[i] : (CudaEdgeData){0});
        reach_add_before(s->reach, nodes[i]);
    }
}

CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph,
                                     const CUgraphNode *dependencies, const CudaEdgeData *data,
                                     size_t n_dependencies, int mode)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);
    CUresult r;

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    if (graph->is_captured)
        return CUDA_ERROR_INVALID_VALUE;
    r = begin(s, graph, mode);
    if (r != CUDA_SUCCESS)
        return r;
    for (size_t i = 0; i < graph->nodes.n; i++)
        graph->nodes.all[i]->is_direct = true;
    if (may_depend(s, dependencies, data, n_dependencies, __func__)) {
        depend(s, dependencies, data, n_dependencies);
        return CUDA_SUCCESS;
    }
    graph->is_captured = false;
    fake_capture_forget(&s->capture, &s->reach);
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode *dependencies,
                                              const CudaEdgeData *data, size_t n_dependencies,
                                              unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);

    if (!s->capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (flags > 1 || !may_depend(s, dependencies, data, n_dependencies, __func__))
        return CUDA_ERROR_INVALID_VALUE;
    if (flags == 1)
        s->reach->n_last = 0;
    depend(s, dependencies, data, n_dependencies);
    return CUDA_SUCCESS;
}

static const CUgraphNode *tell(const struct CUstream_st *s)
{
    FakeCapture *c = s->capture;

    free(c->told);
    free(c->told_data);
    c->told = calloc(s->reach->n_last + 1, sizeof(CUgraphNode));
    c->told_data = calloc(s->reach->n_last + 1, sizeof(CudaEdgeData));
    if (!c->told || !c->told_data)
        abort();
    for (size_t i = 0; i < s->reach->n_last; i++) {
        c->told[i] = c->graph->nodes.all[s->reach->last[i]];
        c->told_data[i] = s->reach->edges[i];
    }
    return c->told;
}

CUresult cuStreamGetCaptureInfo_v3(CUstream stream, int *status, uint64_t *id, CUgraph *graph,
                                   const CUgraphNode **dependencies, const CudaEdgeData **data,
                                   size_t *n_dependencies)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);

    for (CUstream other = fake_stream_first(); other; other = other->next)
        if (is_implied(other, s))
            return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    *status = !s->capture           ? FAKE_CAPTURE_NONE
              : s->capture->invalid ? FAKE_CAPTURE_INVALIDATED
                                    : FAKE_CAPTURE_ACTIVE;
    if (*status != FAKE_CAPTURE_ACTIVE)
        return CUDA_SUCCESS;
    for (size_t i = 0; dependencies && !data && i < s->reach->n_last; i++)
        if (!fake_edge_is_plain(&s->reach->edges[i]))
            return CUDA_ERROR_LOSSY_QUERY;
    if (id)
        *id = s->capture->id;
    if (graph)
        *graph = s->capture->graph;
    if (dependencies)
        *dependencies = tell(s);
    if (data)
        *data = s->capture->told_data;
    if (n_dependencies)
        *n_dependencies = s->reach->n_last;
    return CUDA_SUCCESS;
}

/* Each stream but the first leads back to it. */
static bool is_joined(const FakeCapture *c)
{
    for (size_t i = 0; i < c->graph->nodes.n; i++)
        if (!c->graph->nodes.all[i]->is_direct && !reach_has(c->origin->reach, i))
            return false;
    return true;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);
    FakeCapture *c = s->capture;
    CUresult r = CUDA_SUCCESS;

    if (!c)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (c->origin != s)
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    if (c->mode != FAKE_CAPTURE_RELAXED && !pthread_equal(c->thread, pthread_self()))
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;

    *graph = NULL;
    if (c->invalid) {
        r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    } else if (!is_joined(c)) {
        r = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    } else {
        *graph = c->graph;
        c->graph->is_captured = false;
        c->graph = NULL;
    }

    if (r != CUDA_SUCCESS)
        c->is_into = false; /* so does the driver: the graph ends with the capture */
    c->ended = true;
    c->references++;
    for (CUstream other = fake_stream_first(); other; other = other->next)
        if (other->capture == c)
            fake_capture_forget(&other->capture, &other->reach);
    fake_capture_forget(&c, &(FakeReach *){NULL});
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-capture.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64u

static _Thread_local int thread_mode = FAKE_CAPTURE_GLOBAL;

/* ---- Nodes -------------------------------------------------------------------- */

static void *copy_array(const void *from, size_t n, size_t size)
{
    void *to = malloc(n * size + 1);

    if (!to)
        abort();
    if (n > 0)
        memcpy(to, from, n * size);
    return to;
}

void fake_nodes_add(FakeNodes *nodes, const FakeWork *work, const size_t *last, size_t n_last)
{
    CUgraphNode node = calloc(1, sizeof(*node));

    if (nodes->n == nodes->room) {
        nodes->room = nodes->room ? 2 * nodes->room : 16;
        nodes->all = realloc(nodes->all, nodes->room * sizeof(CUgraphNode));
    }
    if (!node || !nodes->all)
        abort();
    fake_work_copy(&node->work, work);
    node->dependencies = copy_array(last, n_last, sizeof(*last));
    node->n_dependencies = n_last;
    nodes->all[nodes->n++] = node;
}

void fake_nodes_copy(FakeNodes *to, const FakeNodes *from)
{
    for (size_t i = 0; i < from->n; i++)
        fake_nodes_add(to, &from->all[i]->work, from->all[i]->dependencies,
                       from->all[i]->n_dependencies);
}

void fake_nodes_clear(FakeNodes *nodes)
{
    for (size_t i = 0; i < nodes->n; i++) {
        fake_work_clear(&nodes->all[i]->work);
        free(nodes->all[i]->dependencies);
        free(nodes->all[i]);
    }
    free(nodes->all);
    *nodes = (FakeNodes){0};
}

/* ---- What is before what --------------------------------------------------------- */

static FakeReach *reach_copy(const FakeReach *from)
{
    FakeReach *r = copy_array(from, 1, sizeof(*from));

    r->bits = copy_array(from->bits, from->n_words, sizeof(uint64_t));
    r->last = copy_array(from->last, from->n_last, sizeof(size_t));
    return r;
}

static void reach_free(FakeReach *r)
{
    if (!r)
        return;
    free(r->bits);
    free(r->last);
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

/* The last ones of both, without those that are before others */
static void reach_join(FakeReach *r, const FakeReach *other)
{
    size_t *last = malloc((r->n_last + other->n_last + 1) * sizeof(size_t)), n = 0;

    if (!last)
        abort();
    for (size_t i = 0; i < r->n_last; i++)
        if (!reach_has(other, r->last[i]))
            last[n++] = r->last[i];
    for (size_t i = 0; i < other->n_last; i++) {
        bool is_last_here = false;

        for (size_t j = 0; j < r->n_last; j++)
            is_last_here = is_last_here || r->last[j] == other->last[i];
        if (is_last_here || !reach_has(r, other->last[i]))
            last[n++] = other->last[i];
    }
    free(r->last);
    r->last = last;
    r->n_last = n;
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
    fake_nodes_clear(&c->nodes);
    free(c);
}

void fake_capture_invalidate(CUstream stream)
{
    stream->capture->invalid = true;
}

CUresult fake_capture_add(CUstream s, FakeWork *work)
{
    FakeCapture *c = s->capture;
    FakeReach *r = s->reach;
    size_t node = c->nodes.n;

    if (c->invalid) {
        fake_work_clear(work);
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    fake_nodes_add(&c->nodes, work, r->last, r->n_last);
    fake_work_clear(work);
    reach_add(r, node);
    r->last = realloc(r->last, sizeof(size_t));
    if (!r->last)
        abort();
    r->last[0] = node;
    r->n_last = 1;
    return CUDA_SUCCESS;
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

void fake_capture_record(CUstream s, CUevent e)
{
    fake_capture_forget(&e->capture, &e->reach);
    e->capture = s->capture;
    e->capture->references++;
    e->reach = reach_copy(s->reach);
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

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode)
{
    FakeCapture *c;

    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);

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
        .context = s->object.context,
        .origin = s,
        .mode = mode,
        .thread = pthread_self(),
        .references = 1,
    };
    s->capture = c;
    return CUDA_SUCCESS;
}

/* Each stream but the first leads back to it. */
static bool is_joined(const FakeCapture *c)
{
    for (size_t i = 0; i < c->nodes.n; i++)
        if (!reach_has(c->origin->reach, i))
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
        *graph = fake_object_new(FAKE_KIND_GRAPH, c->context, sizeof(**graph));
        (*graph)->nodes = c->nodes;
        c->nodes = (FakeNodes){0};
    }

    c->ended = true;
    c->references++;
    for (CUstream other = fake_stream_first(); other; other = other->next)
        if (other->capture == c)
            fake_capture_forget(&other->capture, &other->reach);
    fake_capture_forget(&c, &(FakeReach *){NULL});
    return r;
}

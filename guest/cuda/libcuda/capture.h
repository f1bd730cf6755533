/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures that are under way. Whether a stream captures is known here, as all that may make it so
 * goes through this library: nothing of its own is put into such a stream.
 */
#ifndef VGPU_LIBCUDA_CAPTURE_H
#define VGPU_LIBCUDA_CAPTURE_H

#include "graph.h"

typedef struct LibCapture {
    LIST_ENTRY(LibCapture) link;
    uint64_t id;
    const LibStream *origin; /* in which it was begun */
    uint32_t origin_number;
    uint8_t mode;
    uint16_t thread;   /* that has begun it */
    bool is_spoilt;    /* by what the executor has not seen */
    bool is_into;      /* a graph that was the program's before */
    CUevent *recorded; /* that launches of the graph record */
    size_t n_recorded;
    LibGraph *graph; /* NULL: the program has not asked for it */
} LibCapture;

static inline bool capture_has(const LibStream *stream)
{
    return __atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED);
}

/* capture_is_error() - is it because of a capture that the executor refuses something? */
static inline bool capture_is_error(CUresult r)
{
    return r >= CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED &&
           r <= CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
}

/* captures_are() - is any under way? A read of memory */
bool captures_are(void);

/* captures_hold() - the same, and none begins until captures_let_go(): what is posted meanwhile the
 * executor sees before it sees the next beginning */
bool captures_hold(void);
void captures_let_go(void);

/* capture_of() - the one that a stream belongs to, or NULL. Who ends a capture frees it: a program
 * does not do that while another call is about it */
LibCapture *capture_of(const LibStream *stream);

/* capture_status() - CUstreamCaptureStatus, as far as it is known here */
int capture_status(const LibStream *stream);

/* capture_ask() - the status of a stream that the executor tells */
CUresult capture_ask(const LibCall *call, uint32_t stream, int *ret);

/* capture_join() - the stream has waited for an event of a capture: it belongs to that, if the
 * executor says so */
void capture_join(const LibCall *call, LibStream *stream, uint64_t id);

/* capture_look() - its graph, and the edges from the nodes that the next in the stream depends on:
 * to be freed with free() (capture-info.c) */
CUresult capture_look(const LibCall *call, const LibStream *stream, LibCapture *capture,
                      VGPUSessionEdge **ret, uint64_t *ret_n);

/* capture_behind() - CAPTURE_INTO, CAPTURE_DEPENDS: the next comes behind the nodes of @place; what
 * kind of @edges that makes, or NULL (capture-info.c) */
CUresult capture_behind(const LibCall *call, uint16_t opcode, const VGPUSessionCapture *what,
                        const NodePlace *place, const GraphEdge *edges);

/* capture_records() - an event is recorded by what is captured (CU_EVENT_RECORD_EXTERNAL) */
CUresult capture_records(const LibStream *stream, CUevent event);

/* capture_lose() - a graph of a conditional node is about to end: what is captured into it ends */
void capture_lose(const LibCall *call, LibGraph *graph);

/* capture_begun_in() - the one that ends with the stream, or NULL */
LibCapture *capture_begun_in(const LibStream *stream);

/* capture_drop() - the executor has been told of the end of the stream that it was begun in */
void capture_drop(LibContext *context, LibCapture *c);

/* capture_spoil() - something was done that ends the capture of a stream: it is of no use any more.
 * Returns CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED */
CUresult capture_spoil(const LibStream *stream);

/* capture_forbids() - what reaches no executor is judged by its rule for threads and captures
 * (vgpu-session.h). Returns CUDA_SUCCESS, or _STREAM_CAPTURE_UNSUPPORTED: and the captures are
 * spoilt */
CUresult capture_forbids(void);

#endif

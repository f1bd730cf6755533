/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures and graphs. A graph has the nodes in the order in which they were captured, which is one
 * of the orders in which they may run: a launch queues them in this order in the stream.
 *
 * All functions are called with the lock held.
 */
#ifndef FAKE_CAPTURE_H
#define FAKE_CAPTURE_H

#include "fake-queue.h"

enum { FAKE_CAPTURE_GLOBAL = 0, FAKE_CAPTURE_THREAD_LOCAL = 1, FAKE_CAPTURE_RELAXED = 2 };
enum { FAKE_CAPTURE_NONE = 0, FAKE_CAPTURE_ACTIVE = 1, FAKE_CAPTURE_INVALIDATED = 2 };

struct CUgraphNode_st {
    FakeWork work;
    size_t *dependencies; /* indices in the graph */
    size_t n_dependencies;
};

typedef struct FakeNodes {
    CUgraphNode *all;
    size_t n, room;
} FakeNodes;

struct CUgraph_st {
    FakeObject object;
    FakeNodes nodes;
};

struct CUgraphExec_st {
    FakeObject object;
    FakeNodes nodes;
};

/* What of a capture is before a place in a stream: all nodes, and the last ones among them */
typedef struct FakeReach {
    uint64_t *bits;
    size_t n_words;
    size_t *last;
    size_t n_last;
} FakeReach;

typedef struct FakeCapture {
    FakeNodes nodes;
    CUcontext context;
    CUstream origin;
    int mode;
    pthread_t thread;
    bool invalid, ended;
    unsigned references; /* of streams and events */
} FakeCapture;

/* fake_nodes_add() - a copy of @work that depends on @last */
void fake_nodes_add(FakeNodes *nodes, const FakeWork *work, const size_t *last, size_t n_last);
void fake_nodes_copy(FakeNodes *to, const FakeNodes *from);
void fake_nodes_clear(FakeNodes *nodes);

/* fake_capture_add() - record it; the work is the capture's afterwards */
CUresult fake_capture_add(CUstream stream, FakeWork *work);
/* fake_capture_is_implied() - would work in this stream depend on a capture, because it is the
 * legacy default stream? Invalidates the capture. */
bool fake_capture_is_implied(const struct CUstream_st *stream);
void fake_capture_invalidate(CUstream stream);
/* fake_capture_record(), fake_capture_wait() - an event in a stream that captures, or an event of a
 * capture */
void fake_capture_record(CUstream stream, CUevent event);
CUresult fake_capture_wait(CUstream stream, CUevent event);
/* fake_capture_forget() - of a stream or an event, which have them as members */
void fake_capture_forget(FakeCapture **capture, FakeReach **reach);
bool fake_event_is_captured(const struct CUevent_st *event);

#endif

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

enum { CUDA_ERROR_LOSSY_QUERY = 402 };

/* CUlaunchAttributeID that a node may have: below this */
#define FAKE_NODE_ATTRIBUTES 16u

enum { FAKE_CAPTURE_GLOBAL = 0, FAKE_CAPTURE_THREAD_LOCAL = 1, FAKE_CAPTURE_RELAXED = 2 };
enum { FAKE_CAPTURE_NONE = 0, FAKE_CAPTURE_ACTIVE = 1, FAKE_CAPTURE_INVALIDATED = 2 };

struct CUgraphNode_st {
    FakeObject object;
    struct FakeNodes *nodes; /* that it is one of */
    size_t index;            /* there */
    FakeWork work;
    CUgraphNode *dependencies;
    CudaEdgeData *edges; /* to it from these */
    size_t n_dependencies;
    CUgraphNode origin; /* of a clone, or in an executable graph: which one it was made of */
    bool disabled;      /* in an executable graph */
    bool is_direct;     /* not captured: it need not be reached at the capture's end */
    CUlaunchAttribute attributes[FAKE_NODE_ATTRIBUTES];
    unsigned n_attributes;
    void **params; /* of a kernel, for who asks */
    CudaMemOp ops[FAKE_BATCH_MAX];
};

typedef struct FakeNodes {
    CUgraphNode *all;
    size_t n, room;
    CUuserObject *held; /* once for each reference */
    size_t n_held;
} FakeNodes;

struct CUgraph_st {
    FakeObject object;
    FakeNodes nodes;
    bool is_child;  /* a node's */
    CUgraph parent; /* of a conditional node: the graph that has it; NULL in an executable one */
    bool is_captured;
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
    CudaEdgeData *edges; /* from these to the next */
    size_t n_last;
} FakeReach;

typedef struct FakeCapture {
    CUgraph graph; /* NULL: the capture has ended */
    uint64_t id;
    CUcontext context;
    CUstream origin;
    int mode;
    pthread_t thread;
    bool invalid, ended;
    bool is_into;        /* the graph is the program's own */
    unsigned references; /* of streams and events */
    CUgraphNode *told;   /* to who asked last for the nodes that the next depends on */
    CudaEdgeData *told_data;
} FakeCapture;

/* fake_nodes_add() - a copy of @work that depends on nothing yet */
CUgraphNode fake_nodes_add(FakeNodes *nodes, const FakeWork *work);
/* fake_node_add() - the work of a new node, behind others; it is the node's afterwards
 * (fake-graph-nodes.c) */
CUresult fake_node_add(CUDA_ADD_NODE_, FakeWork *work, const char *what);
/* fake_nodes_are_of() - all of @nodes are of that graph, and none is there twice */
bool fake_nodes_are_of(CUgraph graph, const CUgraphNode *nodes, size_t n, const char *what);
/* fake_nodes_copy() - with what they hold */
void fake_nodes_copy(FakeNodes *to, const FakeNodes *from);
void fake_nodes_clear(FakeNodes *nodes);
void fake_nodes_remove(CUgraphNode node);
/* fake_nodes_sort() - in an order in which they may run, to be freed; NULL: there is none */
CUgraphNode *fake_nodes_sort(const FakeNodes *nodes);
/* fake_nodes_compare() - is there the same structure? CUgraphExecUpdateResult */
int fake_nodes_compare(const FakeNodes *exec, const FakeNodes *graph, CUgraphNode *ret_node);
/* fake_node_attribute() - set one of a kernel's */
void fake_node_attribute(CUgraphNode node, int id, const void *value);
CUgraph fake_graph_new(CUcontext context);
void fake_graph_end(CUgraph graph);

/* Conditions and bodies (fake-condition.c). fake_bodies_copy(): a node's own, in the place of those
 * of its origin; fake_bodies_end() */
void fake_bodies_copy(CUgraphNode node);
void fake_bodies_end(CUgraphNode node);
/* fake_conditions_are() - has a graph such nodes? */
bool fake_conditions_are(const FakeNodes *nodes);
/* fake_conditions_leave() - the graph of their handles ends */
void fake_conditions_leave(CUgraph graph);
/* fake_conditions_begin(), fake_conditions_end() - an executable graph is made, and ends. @ret:
 * CUgraphInstantiateResult */
CUresult fake_conditions_begin(CUgraph graph, CUgraphExec exec, int *ret);
void fake_conditions_end(CUgraphExec exec);
/* fake_graph_run() - a launch */
void fake_graph_run(CUstream stream, const FakeNodes *nodes, const char *what);

/* fake_edge_is_plain(), fake_edge_is_allowed() - from a node to work of that kind (fake-edge.c) */
bool fake_edge_is_plain(const CudaEdgeData *edge);
bool fake_edge_is_allowed(const CudaEdgeData *edge, const struct CUgraphNode_st *from,
                          FakeWorkKind to);
/* fake_edge_add() - @to depends on @from, too */
void fake_edge_add(CUgraphNode to, CUgraphNode from, CudaEdgeData edge);
/* fake_edge_find() - which of the dependencies of @to it is; as many as there are: none */
size_t fake_edge_find(const struct CUgraphNode_st *to, const struct CUgraphNode_st *from);

/* fake_capture_add() - record it; the work is the capture's afterwards */
CUresult fake_capture_add(CUstream stream, FakeWork *work);
/* fake_capture_attributes() - of the launch that was captured last */
void fake_capture_attributes(CUstream stream, const CUlaunchConfig *config);
/* fake_capture_is_implied() - would work in this stream depend on a capture, because it is the
 * legacy default stream? Invalidates the capture. */
bool fake_capture_is_implied(const struct CUstream_st *stream);
void fake_capture_invalidate(CUstream stream);
/* fake_capture_lose() - the graph that grows ends */
void fake_capture_lose(const struct CUgraph_st *graph);
/* fake_capture_record(), fake_capture_wait() - an event in a stream that captures, or an event of a
 * capture. @edge: from what was captured last to what waits for the event */
void fake_capture_record(CUstream stream, CUevent event, CudaEdgeData edge);
CUresult fake_capture_wait(CUstream stream, CUevent event);
/* fake_capture_forget() - of a stream or an event, which have them as members */
void fake_capture_forget(FakeCapture **capture, FakeReach **reach);
bool fake_event_is_captured(const struct CUevent_st *event);

#endif

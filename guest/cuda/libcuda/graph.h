/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Graphs, what is made of them to be launched, and their nodes.
 *
 * What is in a graph, the executor knows: which nodes there are, their parameters and edges. Here
 * are the handles, so that a node has the same one whenever it is met, and what programs point to.
 * As with the driver, calls about one graph come one after the other: that is the program's part.
 */
#ifndef VGPU_LIBCUDA_GRAPH_H
#define VGPU_LIBCUDA_GRAPH_H

#include "cuda-api-graphs.h"
#include "libcuda.h"

typedef struct LibGraph LibGraph;
typedef struct LibHeld LibHeld;
typedef struct LibMemoryUse LibMemoryUse;

typedef struct LibNode {
    CUgraphNode handle;
    LibGraph *graph;
    uint32_t number;      /* in its graph, by the executor */
    uint32_t entry, exit; /* of what comes first and last of it: mostly itself */
    int type;             /* NodeType; -1: not asked yet */
    CUevent event;        /* that the program gave, or NULL */
    CUkernel kernel;      /* likewise */
    LibGraph *child;      /* a copy of its graph, when the program has asked for it */
    CUgraph *bodies;      /* of a conditional node: its graphs */
    unsigned n_bodies;
    void *shown; /* what parameters that the program has asked for point to; or, with a size, */
    size_t shown_size; /* the parameters that it has given, as a clone has them, too */
} LibNode;

struct LibGraph {
    void *handle;
    HandleKind kind; /* HANDLE_GRAPH, HANDLE_EXEC */
    LibContext *context;
    uint32_t number;
    uint64_t opened;   /* of the context: the executor's graph ends with that */
    uint64_t id;       /* that no other graph has */
    uint64_t origin;   /* of a clone, or EXEC: the id of the graph that it was made of */
    uint32_t n_origin; /* of a clone: how many numbers of nodes that had then */
    bool is_copy;      /* of a node's graph: what changes here does not change there */
    LibNode *body_of;  /* the conditional node whose graph it is, or NULL */
    bool is_decided;   /* has conditional nodes, or EXEC: was made of a graph that has */
    bool is_growing;   /* by a capture, which ends it if that fails */
    LibNode *
        *nodes; /* by number - 1; NULL: not met yet. A number beside a node's own is its, too */
    size_t room;
    LibHeld *held; /* user objects */
    size_t n_held;
    CUevent *recorded; /* events that its launches record */
    size_t n_recorded;
    LibMemoryUse *memory; /* that it allocates and frees (graph-memory.h) */
    size_t n_memory;

    /* EXEC */
    unsigned flags;     /* of its making */
    uint32_t *disabled; /* numbers of nodes */
    size_t n_disabled;
    bool is_launched;
    LibContext *launched_in; /* last, and there the number of the stream */
    uint32_t last;
};

/* ---- Graphs (graph.c) --------------------------------------------------------------------------
 */

/* graph_new() - an object with a number, which the executor does not know yet */
CUresult graph_new(const LibCall *call, HandleKind kind, LibGraph **ret);

/* graph_forget() - free it, its nodes and its number; the executor has none any more */
void graph_forget(const LibCall *call, LibGraph *graph);

/* graph_enter(), graph_enter_exec() - from a handle, in the graph's context. Also
 * CUDA_ERROR_INVALID_VALUE */
CUresult graph_enter(CUgraph handle, LibCall *call, LibGraph **ret);
CUresult graph_enter_exec(CUgraphExec handle, LibCall *call, LibGraph **ret);

/* graph_context_number() - of the context, for calls about the graph; 0: that has ended */
static inline uint32_t graph_context_number(const LibGraph *graph)
{
    const LibContext *c = graph->context;

    return __atomic_load_n(&c->opened, __ATOMIC_RELAXED) == graph->opened
               ? __atomic_load_n(&c->number, __ATOMIC_ACQUIRE)
               : 0;
}

/* graph_records(), graph_records_copy() - launches of it record an event; or what those of another
 * do. Returns CUDA_SUCCESS or _OUT_OF_MEMORY */
CUresult graph_records(LibGraph *graph, CUevent event);
CUresult graph_records_copy(const LibGraph *from, LibGraph *to);

/* graph_may_change() - CUDA_ERROR_NOT_SUPPORTED for a copy that the program takes for a node's own
 */
CUresult graph_may_change(const LibGraph *graph);

/* graph_has_no_memory() - CUDA_ERROR_NOT_SUPPORTED for what cannot be done with a graph that
 * allocates memory or frees it: to clone it, to take nodes or edges out, to put it into another */
CUresult graph_has_no_memory(const LibGraph *graph);

/* graph_in_context() - the call is made in another context, unless that is NULL. Returns
 * CUDA_SUCCESS or _INVALID_CONTEXT */
CUresult graph_in_context(LibCall *call, CUcontext context);

/* ---- Nodes (graph-node.c) ----------------------------------------------------------------------
 */

/* node_enter() - from a handle, as graph_enter(); @type: which it has to be, or -1 */
CUresult node_enter(CUgraphNode handle, int type, LibCall *call, LibNode **ret);

/* node_of() - the node of that number, which the executor has given; NULL: no memory */
LibNode *node_of(LibGraph *graph, uint32_t number);

/* node_type() - asked once */
CUresult node_type(const LibCall *call, LibNode *node, int *ret);

/* node_forget_all() - of a graph that ends */
void node_forget_all(const LibCall *call, LibGraph *graph);

/* node_clone() - what is known of nodes is so in the clone, too. Returns CUDA_SUCCESS or
 * _OUT_OF_MEMORY */
CUresult node_clone(const LibGraph *graph, LibGraph *clone);

/* Where a new node goes */
typedef struct NodePlace {
    LibCall call;
    LibGraph *graph;
    uint32_t *after; /* numbers of @n_after nodes */
    uint32_t n_after;
} NodePlace;

/* node_place() - read what each function that adds a node is given. After CUDA_SUCCESS,
 * node_place_clear() */
CUresult node_place(GRAPH_ADD_, NodePlace *place);
void node_place_clear(NodePlace *place);

/* node_add() - @what: type, child, event and flags are used */
CUresult node_add(NodePlace *place, const VGPUSessionNode *what, const void *payload, size_t size,
                  LibNode **ret);

/* node_added() - a number that the executor gave by itself */
CUresult node_added(NodePlace *place, int type, uint32_t number, LibNode **ret);

/* node_join() - another number is the node's, too: of what comes last of it, or first. Returns
 * CUDA_SUCCESS or _OUT_OF_MEMORY */
CUresult node_join(LibNode *node, uint32_t number, bool is_last);

/* Where parameters of a node go: in its graph, or in an executable one */
typedef struct NodeTarget {
    LibCall call;
    LibNode *node;
    LibGraph *exec; /* NULL: the graph */
} NodeTarget;

/* node_target(), node_target_exec() - as node_enter() */
CUresult node_target(CUgraphNode handle, int type, NodeTarget *ret);
CUresult node_target_exec(CUgraphExec exec, CUgraphNode handle, int type, NodeTarget *ret);

/* node_set() - ask the executor; @what: child, event and flags are used */
CUresult node_set(const NodeTarget *target, const VGPUSessionNode *what, const void *payload,
                  size_t size);

/* node_remember() - what the program gave, for when it asks */
CUresult node_remember(LibNode *node, const void *given, size_t size);

/* node_get() - the payload, at least @least bytes, which the caller frees with free(). @ret_value:
 * value[2] of the reply, or NULL */
CUresult node_get(const LibCall *call, const LibNode *node, size_t least, void **ret,
                  size_t *ret_size, uint64_t *ret_value);

/* graph_edge_is_plain() (graph-edges.c) */
bool graph_edge_is_plain(const GraphEdge *edge);

/* graph_edges_are_plain() - all of them. NULL: they are */
bool graph_edges_are_plain(const GraphEdge *edges, size_t n);

/* ---- Each kind of node (node-*.c) --------------------------------------------------------------
 *
 * Add, or set, from the parameters that the program gave.
 */

CUresult kernel_node_add(NodePlace *place, const KernelNode *p, LibNode **ret);
CUresult kernel_node_set(NodeTarget *target, const KernelNode *p);
CUresult copy_node_add(NodePlace *place, const Copy3D *copy, CUcontext context, LibNode **ret);
CUresult copy_node_set(NodeTarget *target, const Copy3D *copy, CUcontext context);
CUresult set_node_add(NodePlace *place, const SetNode *set, CUcontext context, LibNode **ret);
CUresult set_node_set(NodeTarget *target, const SetNode *set, CUcontext context);
CUresult host_node_add(NodePlace *place, const HostNode *host, LibNode **ret);
CUresult host_node_set(NodeTarget *target, const HostNode *host);
CUresult child_node_add(NodePlace *place, CUgraph child, LibNode **ret);
CUresult child_node_set(NodeTarget *target, CUgraph child);
CUresult event_node_add(NodePlace *place, int type, CUevent event, LibNode **ret);
CUresult event_node_set(NodeTarget *target, CUevent event);
CUresult word_node_add(NodePlace *place, const WordNode *p, LibNode **ret);
CUresult word_node_set(NodeTarget *target, const WordNode *p);
CUresult conditional_node_add(NodePlace *place, ConditionalNode *p, LibNode **ret);

/* conditional_node_forget() - its graphs, which the executor ends with the node */
void conditional_node_forget(const LibCall *call, LibNode *node);

/* conditional_nodes_lose() - nothing is captured into graphs of such nodes of it any more */
void conditional_nodes_lose(const LibCall *call, const LibGraph *graph);

/* conditional_nodes_grow() - is a graph of such a node of it captured now, or one in that? */
bool conditional_nodes_grow(const LibGraph *graph);

/* ---- User objects (user-object.c) --------------------------------------------------------------
 */

/* user_objects_copy() - what is made of a graph holds what that does. Returns CUDA_SUCCESS or
 * _OUT_OF_MEMORY */
CUresult user_objects_copy(const LibGraph *from, LibGraph *to);

/* user_objects_leave() - the graph holds nothing any more, when what it was launched for is over */
void user_objects_leave(const LibCall *call, LibGraph *graph);

#endif

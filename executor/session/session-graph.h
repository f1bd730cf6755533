/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Graphs of a session, both kinds: those of nodes, and executable ones.
 *
 * Under the handles' lock, and on the ring's thread unless said otherwise.
 */
#ifndef VGPU_SESSION_SESSION_GRAPH_H
#define VGPU_SESSION_SESSION_GRAPH_H

#include <sys/queue.h>

#include "session-store.h"
#include "session-uses.h"

/* How deep graphs may lie in graphs */
#define SESSION_GRAPH_DEPTH_MAX 16u

/* A node, by its number */
typedef struct SessionNode {
    CUgraphNode handle; /* NULL: it has ended */
    CUgraphNode first;  /* of HOST: the driver's node before it, which calls the function */
} SessionNode;

/* What an executable graph takes, until the driver has let go of it: after its end, and that of
 * its last launch. */
typedef struct SessionCharge {
    Session *session;
    uint32_t references; /* atomic: of user objects */
    uint64_t bytes;      /* of the quota */
    uint32_t n_nodes;
    uint32_t *hosts; /* which only this executable graph calls (session-hosts.h) */
    uint32_t n_hosts;
} SessionCharge;

/* The handle of a condition */
typedef struct SessionCondition {
    uint64_t handle;
    bool is_used; /* by a node; for ever */
} SessionCondition;

typedef LIST_HEAD(SessionBodies, SessionGraph) SessionBodies;

typedef struct SessionGraph {
    LIST_ENTRY(SessionGraph) link;
    SessionKind kind;
    uint32_t id;
    uint32_t context;
    union {
        CUgraph graph;    /* SESSION_GRAPH */
        CUgraphExec exec; /* SESSION_EXEC */
    };
    SessionUses uses;
    uint64_t serial;               /* of a graph; of the one that an executable graph was made of */
    uint32_t n_total;              /* nodes, with those of graphs in it */
    bool is_broken;                /* a module that it names has ended */
    struct SessionStream *growing; /* while it is captured: where that was begun */
    bool is_into;                  /* captured: it was the guest's before */
    bool may_wait;                 /* for the guest, a word or an event */
    uint32_t depth;                /* of graphs in it, and in these; 0: none */
    bool is_chain;                 /* SESSION_EXEC: may wait, and each node follows another */

    /* SESSION_GRAPH (session-node.c) */
    bool is_known;      /* every node of the driver's has its number */
    SessionNode *nodes; /* by number - 1 */
    uint32_t n_nodes, room;

    /* SESSION_GRAPH (session-condition.c) */
    SessionBodies bodies;          /* graphs of its conditional nodes */
    LIST_ENTRY(SessionGraph) body; /* of those of @owner */
    struct SessionGraph *owner;    /* has the node whose graph this is, or NULL */
    CUgraphNode owner_node;
    uint32_t level;    /* how many graphs it lies in, by such nodes */
    uint32_t n_beside; /* what counts as nodes, beside those: handles of conditions, and bodies */
    SessionCondition *conditions;
    uint32_t n_conditions;

    /* SESSION_EXEC */
    SessionCharge *charge;
    bool has_bodies;
} SessionGraph;

/* session_graph_new() - with no handle yet; free it with session_graph_free() unless it was added.
 * Returns NULL when there is no memory */
SessionGraph *session_graph_new(Session *s, SessionKind kind, uint32_t id, const SessionCall *call);
void session_graph_free(SessionGraph *graph);
void session_graph_freep(SessionGraph **graph);

/* session_graph_find() - returns CUDA_SUCCESS, or _INVALID_HANDLE: also of a graph that names a
 * function that has ended */
CUresult session_graph_find(Session *s, SessionKind kind, uint32_t id, SessionGraph **ret);

/* session_graph_find_growing() - the same, for operations on nodes: also of a graph that is
 * captured. Also returns CUDA_ERROR_STREAM_CAPTURE_INVALIDATED */
CUresult session_graph_find_growing(Session *s, uint32_t id, SessionGraph **ret);

/* session_graph_lost() - the capture is over; what it had was destroyed, unless it was the guest's
 * before, and the capture was well. Returns whether there is no such graph any more. The caller
 * holds the handles' lock */
bool session_graph_lost(Session *s, SessionGraph *graph);

/* session_graph_empty() - what it has cannot be kept: from now on it can only be destroyed. The
 * caller holds the handles' lock */
void session_graph_empty(Session *s, SessionGraph *graph);

/* session_graph_add() - give it its number, after which it belongs to the store */
CUresult session_graph_add(Session *s, SessionGraph *graph);

/* session_graph_clone() - @clone, a new one, is a copy of @handle, which is @from's or a graph in
 * it, and is added (op-graph.c) */
CUresult session_graph_clone(Session *s, SessionGraph *from, CUgraph handle, SessionGraph *clone);

/* session_graph_count() - @n more nodes in a graph of the guest's, or CUDA_ERROR_OUT_OF_MEMORY */
CUresult session_graph_count(Session *s, SessionGraph *graph, uint32_t n);

/* session_graph_uncount() */
void session_graph_uncount(Session *s, SessionGraph *graph, uint32_t n);

/* session_graph_count_beside(), session_graph_uncount_beside() - @n more of what is no node, and
 * counts as one */
CUresult session_graph_count_beside(Session *s, SessionGraph *graph, uint32_t n);
void session_graph_uncount_beside(Session *s, SessionGraph *graph, uint32_t n);

/* session_graph_leave() - out of everything, and freed, with the graphs of its nodes; the driver is
 * not called. Nodes of bodies are not counted any more, its own are the caller's */
void session_graph_leave(Session *s, SessionGraph *graph);

/* session_graph_scan() - count the driver's nodes of @graph, with those in it, and see what they
 * are. Adds to *ret_n */
CUresult session_graph_scan(Session *s, SessionGraph *graph, CUgraph handle, uint32_t *ret_n);

/*
 * session_charge_new() - charge an executable graph with @n_nodes
 * @ret: with one reference, which is the caller's: session_charge_end()
 */
CUresult session_charge_new(Session *s, uint32_t n_nodes, SessionCharge **ret);

/*
 * session_charge_hold() - what is made of @graph now keeps @charge: a reference of the graph's,
 * that session_charge_leave() takes back when it is made
 * @may_wait: has it functions of the guest's?
 *
 * That costs each launch 1.7 us, of 2.9 us with three empty kernels on an H200. So of a
 * small graph without such functions, where there is no quota, nothing is held (*ret is NULL): the
 * charge ends with the executable graph, whose launches may still be on their way.
 */
CUresult session_charge_hold(Session *s, CUgraph graph, SessionCharge *charge, bool may_wait,
                             CUuserObject *ret);
void session_charge_leave(Session *s, CUgraph graph, CUuserObject object);

/* session_charge_end() - give a reference back. From any thread; calls no driver. Takes a
 * SessionCharge */
void session_charge_end(void *charge);

/* session_event_end() - destroy an event whose number is free, or leave that to the last graph or
 * capture that has it. Takes the handles' lock. Returns what the driver says */
CUresult session_event_end(Session *s, CUevent event);

/* session_event_leave() - the same of an event whose context is about to end: graphs of others that
 * have it are broken */
CUresult session_event_leave(Session *s, CUevent event, uint32_t context);

/* session_events_sweep() - destroy events that only waited for a graph or capture that is gone */
void session_events_sweep(Session *s);

#endif

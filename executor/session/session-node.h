/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The numbers of a graph's nodes, and what each kind of node is made of.
 *
 * Under the handles' lock, on the ring's thread.
 */
#ifndef VGPU_SESSION_SESSION_NODE_H
#define VGPU_SESSION_SESSION_NODE_H

#include "session-graph.h"

/* ---- Numbers (session-node.c) ----------------------------------------------------------------
 */

/* session_nodes_know() - give each node of the driver's its number: before any other use of the
 * numbers of a graph that may come from a capture */
CUresult session_nodes_know(Session *s, SessionGraph *graph);

/* session_nodes_room() - for one more */
CUresult session_nodes_room(SessionGraph *graph);

/* session_nodes_add() - there is room. Returns its number */
uint32_t session_nodes_add(SessionGraph *graph, CUgraphNode handle, CUgraphNode first);

/* session_node() - of a number, or NULL */
SessionNode *session_node(const SessionGraph *graph, uint32_t number);

/* session_nodes_find() - the number of a driver's node, among those that have one, or 0 */
uint32_t session_nodes_find(const SessionGraph *graph, CUgraphNode handle);

/* session_nodes_number() - of one that may be none, or in a graph of a node; 0 then, and when
 * numbers cannot be had */
uint32_t session_nodes_number(Session *s, SessionGraph *graph, CUgraphNode handle);

/* session_nodes_clone() - the numbers of @from, whose clone the driver has made in @to */
CUresult session_nodes_clone(Session *s, SessionGraph *to, SessionGraph *from);

/*
 * session_nodes_list() - VGPU_GRAPH_LIST_*
 * @into: @room bytes, of the window
 * @ret_n: how many there are
 */
CUresult session_nodes_list(Session *s, SessionGraph *graph, uint32_t what, unsigned char *into,
                            uint64_t room, uint64_t *ret_n);

/* session_nodes_are_chain() - has the driver's graph one beginning, and each node one before? */
CUresult session_nodes_are_chain(Session *s, const SessionGraph *graph, bool *ret);

/* ---- Kinds (session-node-kinds.c) ------------------------------------------------------------
 */

/* Where a node's payload goes */
typedef enum SessionNodeUse {
    SESSION_NODE_ADD,
    SESSION_NODE_SET,
    SESSION_NODE_EXEC_SET,
} SessionNodeUse;

typedef struct SessionNodeCall {
    SessionNodeUse use;
    const VGPUSessionNode *p;
    const unsigned char *payload; /* 8-aligned */
    uint32_t payload_size;        /* bytes */
    SessionGraph *graph;
    SessionGraph *exec; /* EXEC_SET */
    SessionNode *node;  /* SET, EXEC_SET */
    CUcontext context;
    const SessionCall *call;
    /* ADD */
    const CUgraphNode *dependencies;
    size_t n_dependencies;
    SessionNode made;
} SessionNodeCall;

/* session_node_make() - check the payload of any type, and have the driver do it */
CUresult session_node_make(Session *s, SessionNodeCall *c);

/* session_node_make_kernel(), session_node_get_kernel() - of kernels (session-node-kernel.c) */
CUresult session_node_make_kernel(Session *s, SessionNodeCall *c);
CUresult session_node_get_kernel(Session *s, const SessionNode *node, SessionCall *call,
                                 unsigned char *into, uint64_t room);

/* session_node_destroy() - with what it holds; its number is nobody's from now on */
CUresult session_node_destroy(Session *s, SessionGraph *graph, SessionNode *node);

/* session_node_get() - NODE_GET's values, and the payload into @into, @room bytes */
CUresult session_node_get(Session *s, SessionGraph *graph, const SessionNode *node,
                          SessionCall *call, unsigned char *into, uint64_t room);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conditional nodes: what they decide by, and the graphs that they have, one of which runs, or
 * none, or one again and again. Here such a graph is called a body.
 *
 * A body is a graph of its own that the driver ends with its node. It counts, and what it names is
 * known, by itself; who makes something of the graph that it is in gathers all of that.
 *
 * Under the handles' lock, on the ring's thread.
 */
#ifndef VGPU_SESSION_SESSION_CONDITION_H
#define VGPU_SESSION_SESSION_CONDITION_H

#include "session-node.h"

/* session_node_make_conditional() - as session_node_make(), of that type */
CUresult session_node_make_conditional(Session *s, SessionNodeCall *c);

/* session_body_takes() - may a body have a node of that type? */
bool session_body_takes(uint32_t type);

/* session_bodies_gather() - what bodies of @graph name and whether they wait is known of the graph,
 * too
 * @ret_n: nodes of all
 *
 * Returns CUDA_SUCCESS, _INVALID_HANDLE when something in one has ended, _NOT_SUPPORTED while one
 * is captured, or _OUT_OF_MEMORY when they are too many.
 */
CUresult session_bodies_gather(Session *s, SessionGraph *graph, uint32_t *ret_n);

/* session_bodies_grow() - is one of the node's bodies captured now, or one in it? @node: NULL: of
 * all nodes; so in the next */
bool session_bodies_grow(const SessionGraph *graph, CUgraphNode node);

/* session_bodies_leave() - the driver has ended them, or is about to */
void session_bodies_leave(Session *s, SessionGraph *graph, CUgraphNode node);

/* session_bodies_root() - the graph that all is in */
const SessionGraph *session_bodies_root(const SessionGraph *graph);

#endif

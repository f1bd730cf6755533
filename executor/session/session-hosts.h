/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions of the guest in streams and graphs (HOST_CALL).
 *
 * Each has a place in a table, and beside the guest's two words one of the executor's own, behind
 * those of session-marks.h: 0 while the stream waits for the guest. The driver calls
 * session_host_call(), which writes the three words and signals the interrupt. Behind that the
 * device waits for the guest's word, and then writes the executor's.
 *
 * So the executor never believes the guest when it counts what time a stream only waits; a kernel
 * that finds these words can deceive it, as session-marks.h says.
 *
 * A place of a stream's is free when the device has come behind it, one in graphs when the driver
 * has ended the last one with it (cuUserObject).
 */
#ifndef VGPU_SESSION_SESSION_HOSTS_H
#define VGPU_SESSION_SESSION_HOSTS_H

#include "session-core.h"

/* What the two nodes of a function, or the two works in a stream, are made of */
typedef struct SessionHostWork {
    uint32_t place;
    bool is_new; /* it was not taken before */
    CudaHostNode host;
    CudaMemOp ops[2]; /* wait for the guest, and say that it was done */
} SessionHostWork;

/* session_hosts_open() - before any thread starts, behind session_marks_open(). They stay until the
 * process ends. Returns 0 or -ENOMEM */
int session_hosts_open(Session *s);

/*
 * session_host_take() - check what the guest says, and take a place
 * @in_graph: else it is used once
 *
 * On the ring's thread. Returns CUDA_SUCCESS; _INVALID_VALUE for words that are not in the window,
 * or not at a multiple of 16; _OUT_OF_MEMORY when all places are taken.
 */
CUresult session_host_take(Session *s, const VGPUSessionFence *p, bool in_graph,
                           SessionHostWork *ret);

/* session_host_take_again() - as session_host_take() for a graph; where one of @places, @n of them,
 * is for the same words, that one */
CUresult session_host_take_again(Session *s, const VGPUSessionFence *p, const uint32_t *places,
                                 uint32_t n, SessionHostWork *ret);

/* session_host_give() - a place of a graph, which nothing uses any more; or one of a stream that
 * the driver has not got. From any thread; calls no driver */
void session_host_give(Session *s, uint32_t place);

/* session_host_keep() - the place is @graph's from now on, and that of all made of it. It is free
 * when this fails */
CUresult session_host_keep(Session *s, CUgraph graph, uint32_t place);

/* session_host_leave() - @graph needs it no more */
void session_host_leave(Session *s, CUgraph graph, uint32_t place);

/* session_host_is() - is this node's function session_host_call(), with a place of the table? */
bool session_host_is(Session *s, const CudaHostNode *node);

/* session_host_place() - of such a node; ret: what it was made of */
uint32_t session_host_place(Session *s, const CudaHostNode *node, VGPUSessionFence *ret);

/*
 * session_hosts_waiting() - how many wait for the guest now
 * @ret_graphs: of these, how many in graphs
 * @ret_calls: how many have been called since the session began
 *
 * Frees places of streams. On the ring's thread.
 */
uint32_t session_hosts_waiting(Session *s, uint32_t *ret_graphs, uint64_t *ret_calls);

#endif

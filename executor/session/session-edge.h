/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Edges between nodes, as records have them. */
#ifndef VGPU_SESSION_SESSION_EDGE_H
#define VGPU_SESSION_SESSION_EDGE_H

#include "session-core.h"

/*
 * session_edges_read() - what follows the parameters: VGPUSessionEdge, or where @flags do not say
 * that, pairs of numbers, or numbers. No lock is needed
 * @ret: @n of them, to be freed; what a record does not say of them is 0
 *
 * Returns CUDA_SUCCESS, _INVALID_VALUE also when it is a kind of edge that is not known, or
 * _OUT_OF_MEMORY.
 */
CUresult session_edges_read(const SessionCall *call, uint32_t n, bool are_pairs, uint32_t flags,
                            VGPUSessionEdge **ret);

/* session_edge_data() - as the driver has it */
CudaEdgeData session_edge_data(const VGPUSessionEdge *edge);

/* session_edge_is_plain() */
bool session_edge_is_plain(const CudaEdgeData *data);

#endif

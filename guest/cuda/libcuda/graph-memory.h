/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that graphs allocate and free. */
#ifndef VGPU_LIBCUDA_GRAPH_MEMORY_H
#define VGPU_LIBCUDA_GRAPH_MEMORY_H

#include "graph.h"

/* graph_memory_of() - what is to be said of @size bytes of the device's memory */
AllocNode graph_memory_of(size_t size);

CUresult alloc_node_add(NodePlace *place, AllocNode *p, LibNode **ret);
CUresult free_node_add(NodePlace *place, CUdeviceptr address, LibNode **ret);

/* graph_memory_inherit() - an executable graph is made of @graph. Returns CUDA_SUCCESS,
 * _NOT_SUPPORTED when there is one that allocates the same, or _OUT_OF_MEMORY */
CUresult graph_memory_inherit(const LibGraph *graph, LibGraph *exec);

/* graph_memory_is_same() - do the two allocate and free the same? */
bool graph_memory_is_same(const LibGraph *a, const LibGraph *b);

/* graph_memory_leave() - of a graph that ends */
void graph_memory_leave(LibGraph *graph);

/* graph_memory_launch() - CUDA_ERROR_INVALID_VALUE when it would allocate what is not free, or free
 * what is not allocated */
CUresult graph_memory_launch(LibGraph *exec);

/* graph_memory_free() - what a launch has left allocated. Returns CUDA_SUCCESS or _INVALID_VALUE */
CUresult graph_memory_free(CUdeviceptr address);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that is allocated and freed in the order of a stream that captures. */
#ifndef VGPU_LIBCUDA_CAPTURE_MEMORY_H
#define VGPU_LIBCUDA_CAPTURE_MEMORY_H

#include "capture.h"

/* capture_alloc() - a node that allocates @size bytes. Returns what cuMemAllocAsync() does */
CUresult capture_alloc(const LibCall *call, const LibStream *stream, size_t size, CUdeviceptr *ret);

/* capture_free() - a node that frees memory of a graph, of this one or another. Returns
 * CUDA_ERROR_INVALID_VALUE for other memory, and where the graph frees it already */
CUresult capture_free(const LibCall *call, const LibStream *stream, CUdeviceptr address);

#endif

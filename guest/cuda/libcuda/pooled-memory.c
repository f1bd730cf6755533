/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory in the order of a stream, from pools. */
#include "capture-memory.h"
#include "graph-memory.h"
#include "memory-map.h"
#include "memory-pool.h"

/* Of no bytes there is nothing, and that is freed as well as any. */
CUresult cuMemAllocFromPoolAsync(CUdeviceptr *ret, size_t size, CUmemoryPool pool, CUstream handle)
{
    MemoryPiece piece = {.size = size, .kind = MEMORY_ASYNC, .object = pool};
    LibStream *stream;
    uint32_t number;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !pool_number(pool, &number))
        return CUDA_ERROR_INVALID_VALUE;
    if (size == 0) {
        *ret = 0;
        return CUDA_SUCCESS;
    }
    if (capture_has(stream))
        return capture_alloc(&call, stream, size, ret);
    libcuda_stream_worked(stream);
    r = vgpu_session_memory_alloc_async(call.session, &call.from, stream->number, number, size,
                                        &piece.address);
    if (r != CUDA_SUCCESS)
        return r;
    piece.context = call.context;
    piece.device = piece.address;
    r = memory_map_add(&piece);
    if (r != CUDA_SUCCESS) {
        (void) vgpu_session_memory_free_async(call.session, &call.from, stream->number,
                                              piece.address);
        return r;
    }
    *ret = piece.address;
    return CUDA_SUCCESS;
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *ret, size_t size, CUmemoryPool pool,
                                      CUstream stream)
{
    return cuMemAllocFromPoolAsync(ret, size, pool, libcuda_per_thread(stream));
}

CUresult cuMemAllocAsync(CUdeviceptr *ret, size_t size, CUstream stream)
{
    CUmemoryPool pool;
    CUresult r = pool_current(&pool);

    return r == CUDA_SUCCESS ? cuMemAllocFromPoolAsync(ret, size, pool, stream) : r;
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *ret, size_t size, CUstream stream)
{
    return cuMemAllocAsync(ret, size, libcuda_per_thread(stream));
}

/* Memory of cuMemAlloc() may be freed in the order of a stream as well. */
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream handle)
{
    MemoryPiece piece;
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS || address == 0)
        return r;
    if (capture_has(stream))
        return capture_free(&call, stream, address);
    /* That of a graph is there for as long as a graph has it. */
    if (memory_map_find(address, &piece) && piece.kind == MEMORY_GRAPH)
        return graph_memory_free(address);
    if (!memory_map_take(address, MEMORY_ASYNC, &piece) &&
        !memory_map_take(address, MEMORY_DEVICE, &piece))
        return CUDA_ERROR_INVALID_VALUE;
    libcuda_stream_worked(stream);
    return vgpu_session_memory_free_async(call.session, &call.from, stream->number, address);
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr address, CUstream stream)
{
    return cuMemFreeAsync(address, libcuda_per_thread(stream));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory of the device. */
#include "graph-memory.h"
#include "managed-memory.h"

CUresult cuMemAlloc_v2(CUdeviceptr *ret, size_t size)
{
    MemoryPiece piece = {.size = size, .kind = MEMORY_DEVICE};
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_memory_alloc(call.session, &call.from, size, &piece.address);
    if (r != CUDA_SUCCESS)
        return r;
    piece.context = call.context;
    piece.device = piece.address;
    r = memory_map_add(&piece);
    if (r != CUDA_SUCCESS) {
        (void) vgpu_session_memory_free(call.session, &call.from, piece.address);
        return r;
    }
    *ret = piece.address;
    return CUDA_SUCCESS;
}

/* Rows begin where the device reads best, and where a texture may: at 512 bytes, as the driver has
 * it. */
#define MEMORY_PITCH 512u

CUresult cuMemAllocPitch_v2(CUdeviceptr *ret, size_t *pitch, size_t width, size_t height,
                            unsigned element)
{
    size_t row, size;
    CUresult r;

    if (!ret || !pitch || width == 0 || height == 0 ||
        (element != 4 && element != 8 && element != 16) ||
        __builtin_add_overflow(width, MEMORY_PITCH - 1, &row))
        return CUDA_ERROR_INVALID_VALUE;
    row -= row % MEMORY_PITCH;
    if (__builtin_mul_overflow(row, height, &size))
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = cuMemAlloc_v2(ret, size);
    if (r == CUDA_SUCCESS)
        *pitch = row;
    return r;
}

CUresult cuMemFree_v2(CUdeviceptr address)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS || address == 0)
        return r;
    if (memory_map_find(address, &piece) && piece.kind == MEMORY_GRAPH)
        return graph_memory_free(address);
    if (!memory_map_take(address, MEMORY_DEVICE, &piece) &&
        !memory_map_take(address, MEMORY_ASYNC, &piece) &&
        !memory_map_take(address, MEMORY_MANAGED, &piece))
        return CUDA_ERROR_INVALID_VALUE;
    call.context = piece.context;
    call.from.context = piece.context->number;
    if (piece.kind == MEMORY_MANAGED) {
        if (call.from.context != 0)
            r = libcuda_context_wait(&call);
        if (r == CUDA_SUCCESS)
            r = vgpu_session_window_free(call.session, (void *) address);
        if (r == CUDA_SUCCESS)
            managed_free(piece.object);
    } else {
        r = vgpu_session_memory_free(call.session, &call.from, address);
    }
    if (r != CUDA_SUCCESS)
        memory_map_put_back(&piece);
    return r;
}

CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
    const VGPUSessionMemory parameters = {0};
    VGPUSessionReply reply;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!free || !total)
        return CUDA_ERROR_INVALID_VALUE;
    r = libcuda_ask(&call, VGPU_SESSION_OP_MEMORY_INFO, &parameters, sizeof(parameters), &reply);
    if (r == CUDA_SUCCESS) {
        *free = reply.value[0];
        *total = reply.value[1];
    }
    return r;
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr address)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!memory_map_find(address, &piece) || piece.kind == MEMORY_RESERVED)
        return CUDA_ERROR_NOT_FOUND;
    if (base)
        *base = piece.address;
    if (size)
        *size = piece.size;
    return CUDA_SUCCESS;
}

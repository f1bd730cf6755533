/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Device memory that processes of this machine share by a handle of 64 bytes: the session's token.
 * Whoever opens it has all of the allocation, wherever in it the handle was made for. */
#include <string.h>

#include "cuda-api-memory.h"
#include "memory-map.h"

_Static_assert(sizeof(IpcMemHandle) == sizeof(vgpu_session_handle), "a handle's bytes");

CUresult cuIpcGetMemHandle(IpcMemHandle *ret, CUdeviceptr address)
{
    vgpu_session_handle handle;
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !memory_map_find(address, &piece) || piece.kind != MEMORY_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    call.from.context = piece.context->number;
    r = vgpu_session_share_memory(call.session, &call.from, piece.address, 0, &handle);
    if (r == CUDA_SUCCESS)
        memcpy(ret->bytes, handle.bytes, sizeof(ret->bytes));
    return r;
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *ret, IpcMemHandle bytes, unsigned flags)
{
    MemoryPiece piece = {.kind = MEMORY_TAKEN};
    vgpu_session_handle handle;
    vgpu_session_taken taken;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || flags != IPC_LAZY_ENABLE_PEER_ACCESS)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(handle.bytes, bytes.bytes, sizeof(handle.bytes));
    r = vgpu_session_take_memory(call.session, &call.from, &handle, &taken);
    if (r != CUDA_SUCCESS)
        return r;
    piece.address = piece.device = taken.address;
    piece.size = taken.size;
    piece.context = call.context;
    r = memory_map_add(&piece);
    if (r != CUDA_SUCCESS) {
        (void) vgpu_session_taken_free(call.session, &call.from, taken.address);
        return r;
    }
    *ret = taken.address;
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenMemHandle(CUdeviceptr *ret, IpcMemHandle handle, unsigned flags)
{
    return cuIpcOpenMemHandle_v2(ret, handle, flags);
}

/* Once for each time that it was opened */
CUresult cuIpcCloseMemHandle(CUdeviceptr address)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!memory_map_take(address, MEMORY_TAKEN, &piece))
        return CUDA_ERROR_INVALID_VALUE;
    call.context = piece.context;
    call.from.context = piece.context->number;
    return vgpu_session_taken_free(call.session, &call.from, address);
}

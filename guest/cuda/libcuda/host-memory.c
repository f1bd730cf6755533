/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that the program and the device share: it lies in the window, where both have it at one
 * address. */
#include <string.h>

#include "cuda-api-memory.h"
#include "managed-memory.h"

#define HOST_FLAGS (HOST_PORTABLE | HOST_DEVICE_MAP | HOST_WRITE_COMBINED)

/* New memory is zero: what another process of this VM had there is not for this one. */
static CUresult host_new(size_t size, MemoryKind kind, unsigned flags, void *object, void **ret)
{
    MemoryPiece piece = {.size = size, .kind = kind, .flags = flags, .object = object};
    void *memory;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    r = vgpu_session_window_alloc(call.session, size, 4096, &memory);
    if (r != CUDA_SUCCESS) {
        libcuda_log("no room in the window for %zu bytes", size);
        return r;
    }
    memset(memory, 0, size);
    piece.address = piece.device = (uintptr_t) memory;
    piece.context = call.context;
    r = memory_map_add(&piece);
    if (r != CUDA_SUCCESS) {
        (void) vgpu_session_window_free(call.session, memory);
        return r;
    }
    *ret = memory;
    return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void **ret, size_t size, unsigned flags)
{
    if (!ret || size == 0 || (flags & ~(unsigned) HOST_FLAGS) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return host_new(size, MEMORY_HOST, flags, NULL, ret);
}

CUresult cuMemAllocHost_v2(void **ret, size_t size)
{
    return cuMemHostAlloc(ret, size, 0);
}

/* The device may still read and write there. */
CUresult cuMemFreeHost(void *memory)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS || !memory)
        return r;
    if (!memory_map_take((uintptr_t) memory, MEMORY_HOST, &piece))
        return CUDA_ERROR_INVALID_VALUE;
    call.context = piece.context;
    call.from.context = piece.context->number;
    if (call.from.context != 0)
        r = libcuda_context_wait(&call);
    if (r == CUDA_SUCCESS)
        r = vgpu_session_window_free(call.session, memory);
    if (r != CUDA_SUCCESS)
        memory_map_put_back(&piece);
    return r;
}

static CUresult host_find(const void *memory, MemoryPiece *ret)
{
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    return memory_map_find((uintptr_t) memory, ret) &&
                   (ret->kind == MEMORY_HOST || ret->kind == MEMORY_REGISTERED)
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *ret, void *memory, unsigned flags)
{
    MemoryPiece piece;
    CUresult r = host_find(memory, &piece);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = piece.device + ((uintptr_t) memory - piece.address);
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned *flags, void *memory)
{
    MemoryPiece piece;
    CUresult r = host_find(memory, &piece);

    if (r != CUDA_SUCCESS)
        return r;
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = piece.flags | HOST_DEVICE_MAP;
    return CUDA_SUCCESS;
}

CUresult cuMemAllocManaged(CUdeviceptr *ret, size_t size, unsigned flags)
{
    LibManaged *managed;
    void *memory;
    CUresult r;

    if (!ret || size == 0 || (flags != ATTACH_GLOBAL && flags != ATTACH_HOST))
        return CUDA_ERROR_INVALID_VALUE;
    managed = managed_new();
    if (!managed)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = host_new(size, MEMORY_MANAGED, flags, managed, &memory);
    if (r == CUDA_SUCCESS)
        *ret = (uintptr_t) memory;
    else
        managed_free(managed);
    return r;
}

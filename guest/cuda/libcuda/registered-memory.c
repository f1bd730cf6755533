/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of the program's own that the device is to reach: the window takes the place of its pages
 * (cuda-client.h says of which). Kernels have it at another address, which is in the map as well:
 * programs give it to copies, and ask about it.
 */
#include <unistd.h>

#include "cuda-api-memory.h"
#include "memory-map.h"

/* CU_MEMHOSTREGISTER_*: all contexts have it, and it is always mapped. */
#define REGISTER_FLAGS (HOST_PORTABLE | HOST_DEVICE_MAP | REGISTER_IO_MEMORY | REGISTER_READ_ONLY)

/* The pages that have these bytes. Returns false when they end nowhere. */
static bool registered_pages(const void *memory, size_t size, uintptr_t *ret_begin,
                             size_t *ret_size)
{
    const uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE), begin = (uintptr_t) memory;
    uintptr_t end;

    if (__builtin_add_overflow(begin, size, &end) || __builtin_add_overflow(end, page - 1, &end))
        return false;
    *ret_begin = begin & ~(page - 1);
    *ret_size = (end & ~(page - 1)) - *ret_begin;
    return true;
}

/* @begin: of the pages, which is what the session knows the memory by */
static CUresult registered_add(LibContext *c, void *memory, size_t size, unsigned flags,
                               uintptr_t begin, const void *window)
{
    const uint64_t address = (uintptr_t) memory;
    MemoryPiece own = {
        .address = address,
        .size = size,
        .kind = MEMORY_REGISTERED,
        .flags = flags,
        .context = c,
        .device = (uintptr_t) window + (address - begin),
        .object = (void *) begin,
    };
    MemoryPiece alias = own, taken;
    CUresult r = memory_map_add(&own);

    if (r != CUDA_SUCCESS)
        return r;
    alias.address = own.device;
    alias.kind = MEMORY_ALIAS;
    alias.object = memory;
    r = memory_map_add(&alias);
    if (r != CUDA_SUCCESS)
        (void) memory_map_take(own.address, MEMORY_REGISTERED, &taken);
    return r;
}

CUresult cuMemHostRegister_v2(void *memory, size_t size, unsigned flags)
{
    MemoryPiece piece;
    uintptr_t begin;
    size_t pages;
    void *window;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!memory || size == 0 || (flags & ~(unsigned) REGISTER_FLAGS) != 0 ||
        !registered_pages(memory, size, &begin, &pages))
        return CUDA_ERROR_INVALID_VALUE;
    if ((flags & (REGISTER_IO_MEMORY | REGISTER_READ_ONLY)) != 0)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (memory_map_touches((uintptr_t) memory, size, &piece))
        return piece.kind == MEMORY_REGISTERED ? CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED
                                               : CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_host_register(call.session, (void *) begin, pages, &window);
    /* Not these bytes, but others of their pages */
    if (r == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)
        r = CUDA_ERROR_NOT_SUPPORTED;
    if (r != CUDA_SUCCESS) {
        libcuda_log("%zu bytes of the program's memory cannot be registered: %d", size, r);
        return r;
    }
    r = registered_add(call.context, memory, size, flags, begin, window);
    if (r != CUDA_SUCCESS)
        (void) vgpu_session_host_unregister(call.session, (void *) begin);
    return r;
}

CUresult cuMemHostRegister(void *memory, size_t size, unsigned flags)
{
    return cuMemHostRegister_v2(memory, size, flags);
}

/* The device may still read and write there. */
CUresult cuMemHostUnregister(void *memory)
{
    MemoryPiece piece, alias;
    bool has_alias;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!memory)
        return CUDA_ERROR_INVALID_VALUE;
    if (!memory_map_take((uintptr_t) memory, MEMORY_REGISTERED, &piece))
        return memory_map_find((uintptr_t) memory, &piece) ? CUDA_ERROR_INVALID_VALUE
                                                           : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    has_alias = memory_map_take(piece.device, MEMORY_ALIAS, &alias);
    call.context = piece.context;
    call.from.context = piece.context->number;
    if (call.from.context != 0)
        r = libcuda_context_wait(&call);
    if (r == CUDA_SUCCESS)
        r = vgpu_session_host_unregister(call.session, piece.object);
    if (r != CUDA_SUCCESS)
        memory_map_put_back(&piece);
    if (r != CUDA_SUCCESS && has_alias)
        memory_map_put_back(&alias);
    return r;
}

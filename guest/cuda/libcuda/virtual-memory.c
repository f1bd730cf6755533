/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses that are reserved, and physical memory that is mapped there. Neither is a context's. */
#include "cuda-api-memory.h"
#include "physical-memory.h"

/* ---- Addresses ---------------------------------------------------------------------------------
 */

CUresult cuMemAddressReserve(CUdeviceptr *ret, size_t size, size_t alignment, CUdeviceptr wanted,
                             unsigned long long flags)
{
    MemoryPiece piece = {.size = size, .kind = MEMORY_RESERVED};
    LibCall call;
    CUresult r = libcuda_enter_any(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || size == 0 || flags != 0 || (alignment & (alignment - 1)) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_address_reserve(call.session, &call.from, size, alignment, wanted,
                                     &piece.address);
    if (r != CUDA_SUCCESS)
        return r;
    piece.device = piece.address;
    r = memory_map_add(&piece);
    if (r != CUDA_SUCCESS) {
        (void) vgpu_session_address_free(call.session, &call.from, piece.address, size);
        return r;
    }
    *ret = piece.address;
    return CUDA_SUCCESS;
}

/* As soon as they are the host's again, another thread may get these addresses. */
CUresult cuMemAddressFree(CUdeviceptr address, size_t size)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter_any(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!memory_map_take(address, MEMORY_RESERVED, &piece))
        return CUDA_ERROR_INVALID_VALUE;
    r = piece.size == size ? vgpu_session_address_free(call.session, &call.from, address, size)
                           : CUDA_ERROR_INVALID_VALUE;
    if (r != CUDA_SUCCESS)
        (void) memory_map_add(&piece);
    return r;
}

/* ---- Mappings ----------------------------------------------------------------------------------
 */

CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset,
                  CUmemGenericAllocationHandle handle, unsigned long long flags)
{
    MemoryPiece piece = {
        .address = address, .device = address, .size = size, .kind = MEMORY_MAPPED};
    LibPhysical *physical;
    LibCall call;
    CUresult r = libcuda_enter_any(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (size == 0 || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    physical = physical_map(handle);
    if (!physical)
        return CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_physical_map(call.session, &call.from, address, size, offset,
                                  physical->number);
    piece.object = physical;
    if (r == CUDA_SUCCESS) {
        r = memory_map_add(&piece);
        if (r != CUDA_SUCCESS)
            (void) vgpu_session_physical_unmap(call.session, &call.from, address, size);
    }
    if (r != CUDA_SUCCESS)
        physical_unmap(&call, physical);
    return r;
}

/* The executor knows whether these are whole mappings side by side. */
CUresult cuMemUnmap(CUdeviceptr address, size_t size)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter_any(&call);

    if (r != CUDA_SUCCESS)
        return r;
    r = vgpu_session_physical_unmap(call.session, &call.from, address, size);
    if (r != CUDA_SUCCESS)
        return r;
    for (uint64_t at = address; at - address < size; at += piece.size) {
        if (!memory_map_take(at, MEMORY_MAPPED, &piece))
            break;
        physical_unmap(&call, piece.object);
    }
    return CUDA_SUCCESS;
}

static CUresult access_check(const AccessDesc *access, size_t n)
{
    if (!access || n == 0)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        const MemLocation *l = &access[i].location;

        if (l->type >= LOCATION_HOST && l->type <= LOCATION_HOST_NUMA_CURRENT)
            return CUDA_ERROR_NOT_SUPPORTED;
        if (l->type == LOCATION_DEVICE && !device_is(l->id))
            return CUDA_ERROR_INVALID_DEVICE;
        if (l->type != LOCATION_DEVICE ||
            (access[i].flags != ACCESS_NONE && access[i].flags != ACCESS_READ &&
             access[i].flags != ACCESS_READ_WRITE))
            return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t size, const AccessDesc *access, size_t n)
{
    LibCall call;
    CUresult r = libcuda_enter_any(&call);

    if (r == CUDA_SUCCESS)
        r = access_check(access, n);
    for (size_t i = 0; r == CUDA_SUCCESS && i < n; i++) {
        const unsigned flags = (unsigned) access[i].flags;

        r = vgpu_session_physical_access(call.session, &call.from, address, size, flags);
        if (r == CUDA_SUCCESS)
            memory_map_allow(address, size, flags);
    }
    return r;
}

CUresult cuMemGetAccess(unsigned long long *flags, const MemLocation *location, CUdeviceptr address)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!flags || !location || location->type != LOCATION_DEVICE || !device_is(location->id) ||
        !memory_map_find(address, &piece) || piece.kind != MEMORY_MAPPED)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = piece.flags;
    return CUDA_SUCCESS;
}

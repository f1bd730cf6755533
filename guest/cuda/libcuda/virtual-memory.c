/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory in two steps: addresses that are reserved, and physical memory that is mapped there. */
#include <stdlib.h>

#include "memory-map.h"

/* What the executor needs of it: memory of the one device */
enum { ALLOCATION_PINNED = 1, LOCATION_DEVICE = 1, HANDLE_TYPE_FD = 1 };

typedef struct LibPhysical {
    LibContext *context;
    uint32_t number;
    uint64_t size;
    AllocationProp prop;
    unsigned n_references;
} LibPhysical;

CUresult cuMemAddressReserve(CUdeviceptr *ret, size_t size, size_t alignment, CUdeviceptr wanted,
                             unsigned long long flags)
{
    const VGPUSessionPhysical parameters = {
        .size = size, .alignment = alignment, .address = wanted};
    MemoryPiece piece = {.size = size, .kind = MEMORY_RESERVED};
    VGPUSessionReply reply;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || size == 0 || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = libcuda_ask(&call, VGPU_SESSION_OP_ADDRESS_RESERVE, &parameters, sizeof(parameters),
                    &reply);
    if (r != CUDA_SUCCESS)
        return r;
    piece.address = piece.device = reply.value[0];
    piece.context = call.context;
    r = memory_map_add(&piece);
    if (r == CUDA_SUCCESS)
        *ret = piece.address;
    return r;
}

CUresult cuMemAddressFree(CUdeviceptr address, size_t size)
{
    const VGPUSessionPhysical parameters = {.address = address, .size = size};
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    r = libcuda_ask(&call, VGPU_SESSION_OP_ADDRESS_FREE, &parameters, sizeof(parameters), NULL);
    if (r == CUDA_SUCCESS)
        (void) memory_map_take(address, MEMORY_RESERVED, &piece);
    return r;
}

static bool physical_may_be(const AllocationProp *prop)
{
    return prop && prop->type == ALLOCATION_PINNED && prop->location.type == LOCATION_DEVICE &&
           prop->location.id == 0 && (prop->handle_types & ~HANDLE_TYPE_FD) == 0;
}

CUresult cuMemGetAllocationGranularity(size_t *ret, const AllocationProp *prop, int option)
{
    const VGPUSessionPhysical parameters = {.flags = (uint32_t) option};
    VGPUSessionReply reply;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !physical_may_be(prop))
        return CUDA_ERROR_INVALID_VALUE;
    r = libcuda_ask(&call, VGPU_SESSION_OP_GRANULARITY, &parameters, sizeof(parameters), &reply);
    if (r == CUDA_SUCCESS)
        *ret = reply.value[0];
    return r;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *ret, size_t size, const AllocationProp *prop,
                     unsigned long long flags)
{
    VGPUSessionPhysical parameters = {.size = size};
    LibPhysical *physical;
    LibCall call;
    void *handle = NULL;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || flags != 0 || !physical_may_be(prop))
        return CUDA_ERROR_INVALID_VALUE;
    physical = calloc(1, sizeof(*physical));
    if (!physical)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *physical = (LibPhysical){.context = call.context, .size = size, .prop = *prop};
    physical->n_references = 1;
    r = vgpu_session_id_take(call.session, VGPU_SESSION_PHYSICALS, &physical->number);
    if (r == CUDA_SUCCESS) {
        parameters.id = physical->number;
        r = libcuda_ask(&call, VGPU_SESSION_OP_PHYSICAL_CREATE, &parameters, sizeof(parameters),
                        NULL);
        if (r != CUDA_SUCCESS)
            vgpu_session_id_give(call.session, VGPU_SESSION_PHYSICALS, physical->number);
    }
    if (r == CUDA_SUCCESS && !(handle = handle_new(HANDLE_PHYSICAL, physical)))
        r = CUDA_ERROR_OUT_OF_MEMORY;
    if (r != CUDA_SUCCESS) {
        free(physical);
        return r;
    }
    *ret = (uintptr_t) handle;
    return CUDA_SUCCESS;
}

static CUresult physical_of(CUmemGenericAllocationHandle handle, LibCall *call, LibPhysical **ret)
{
    LibPhysical *physical;
    CUresult r = libcuda_enter(call);

    if (r != CUDA_SUCCESS)
        return r;
    physical = handle_object(HANDLE_PHYSICAL, (void *) (uintptr_t) handle);
    if (!physical)
        return CUDA_ERROR_INVALID_VALUE;
    call->context = physical->context;
    call->from.context = physical->context->number;
    *ret = physical;
    return CUDA_SUCCESS;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    VGPUSessionPhysical parameters = {0};
    LibPhysical *physical;
    LibCall call;
    CUresult r = physical_of(handle, &call, &physical);

    if (r != CUDA_SUCCESS)
        return r;
    if (__atomic_sub_fetch(&physical->n_references, 1, __ATOMIC_ACQ_REL) > 0)
        return CUDA_SUCCESS;
    parameters.id = physical->number;
    r = libcuda_post(&call, VGPU_SESSION_OP_PHYSICAL_RELEASE, &parameters, sizeof(parameters));
    vgpu_session_id_give(call.session, VGPU_SESSION_PHYSICALS, physical->number);
    handle_end((void *) (uintptr_t) handle);
    free(physical);
    return r;
}

CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset,
                  CUmemGenericAllocationHandle handle, unsigned long long flags)
{
    VGPUSessionPhysical parameters = {.address = address, .size = size, .offset = offset};
    MemoryPiece piece = {
        .address = address, .device = address, .size = size, .kind = MEMORY_MAPPED};
    LibPhysical *physical;
    LibCall call;
    CUresult r = physical_of(handle, &call, &physical);

    if (r != CUDA_SUCCESS)
        return r;
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    parameters.id = physical->number;
    r = libcuda_ask(&call, VGPU_SESSION_OP_PHYSICAL_MAP, &parameters, sizeof(parameters), NULL);
    if (r != CUDA_SUCCESS)
        return r;
    piece.context = call.context;
    return memory_map_add(&piece);
}

CUresult cuMemUnmap(CUdeviceptr address, size_t size)
{
    const VGPUSessionPhysical parameters = {.address = address, .size = size};
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    r = libcuda_ask(&call, VGPU_SESSION_OP_PHYSICAL_UNMAP, &parameters, sizeof(parameters), NULL);
    for (uint64_t at = address; r == CUDA_SUCCESS && at - address < size; at += piece.size)
        if (!memory_map_take(at, MEMORY_MAPPED, &piece))
            break;
    return r;
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t size, const AccessDesc *access, size_t n)
{
    VGPUSessionPhysical parameters = {.address = address, .size = size};
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!access || n != 1 || access->location.type != LOCATION_DEVICE || access->location.id != 0)
        return CUDA_ERROR_INVALID_VALUE;
    parameters.flags = (uint32_t) access->flags;
    return libcuda_ask(&call, VGPU_SESSION_OP_PHYSICAL_ACCESS, &parameters, sizeof(parameters),
                       NULL);
}

CUresult cuMemGetAllocationPropertiesFromHandle(AllocationProp *ret,
                                                CUmemGenericAllocationHandle handle)
{
    LibPhysical *physical;
    LibCall call;
    CUresult r = physical_of(handle, &call, &physical);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = physical->prop;
    return CUDA_SUCCESS;
}

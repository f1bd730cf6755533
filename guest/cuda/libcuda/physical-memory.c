/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "physical-memory.h"

#include <stdlib.h>

#include "cuda-api-memory.h"

/* CUmemAllocationProp's allocFlags, by their bytes */
enum { PROP_COMPRESSION = 0, PROP_GPU_DIRECT = 1, PROP_USAGE = 2, PROP_RESERVED = 4 };
/* CUmemAllocationCompType */
enum { COMPRESSION_NONE = 0, COMPRESSION_GENERIC = 1 };

static pthread_mutex_t physical_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- Its life ----------------------------------------------------------------------------------
 */

static LibPhysical *physical_new(uint32_t number, const AllocationProp *prop)
{
    LibPhysical *physical = calloc(1, sizeof(*physical));

    if (!physical)
        return NULL;
    *physical = (LibPhysical){.number = number, .prop = *prop, .n_references = 1};
    physical->handle = (uintptr_t) handle_new(HANDLE_PHYSICAL, physical);
    if (physical->handle == 0) {
        free(physical);
        return NULL;
    }
    return physical;
}

/* With the lock held. A handle that was released lives on while something is mapped, as it can be
 * asked for by an address; until then it is good for nothing. */
static LibPhysical *physical_look(CUmemGenericAllocationHandle handle)
{
    LibPhysical *physical = handle_object(HANDLE_PHYSICAL, (void *) (uintptr_t) handle);

    return physical && physical->n_references > 0 ? physical : NULL;
}

/* With the lock held. Returns what is to be ended without it, or NULL. */
static LibPhysical *physical_settle(LibPhysical *physical)
{
    if (physical->n_references > 0 || physical->n_mapped > 0)
        return NULL;
    handle_end((void *) (uintptr_t) physical->handle);
    return physical;
}

static CUresult physical_end(const LibCall *call, LibPhysical *physical)
{
    VGPUSessionPhysical parameters = {0};
    CUresult r;

    if (!physical)
        return CUDA_SUCCESS;
    parameters.id = physical->number;
    r = libcuda_post(call, VGPU_SESSION_OP_PHYSICAL_RELEASE, &parameters, sizeof(parameters));
    vgpu_session_id_give(call->session, VGPU_SESSION_PHYSICALS, physical->number);
    free(physical);
    return r;
}

LibPhysical *physical_map(CUmemGenericAllocationHandle handle)
{
    LibPhysical *physical;

    pthread_mutex_lock(&physical_lock);
    physical = physical_look(handle);
    if (physical)
        physical->n_mapped++;
    pthread_mutex_unlock(&physical_lock);
    return physical;
}

void physical_unmap(const LibCall *call, LibPhysical *physical)
{
    pthread_mutex_lock(&physical_lock);
    physical->n_mapped--;
    physical = physical_settle(physical);
    pthread_mutex_unlock(&physical_lock);
    (void) physical_end(call, physical);
}

/* With the lock held: what is mapped there stays. */
static LibPhysical *physical_at(uint64_t address)
{
    MemoryPiece piece;

    return memory_map_find(address, &piece) && piece.kind == MEMORY_MAPPED ? piece.object : NULL;
}

int physical_handle_types(uint64_t address)
{
    const LibPhysical *physical;
    int types;

    pthread_mutex_lock(&physical_lock);
    physical = physical_at(address);
    types = physical ? physical->prop.handle_types : 0;
    pthread_mutex_unlock(&physical_lock);
    return types;
}

/* ---- Making ------------------------------------------------------------------------------------
 */

/* The executor makes memory of the one device, which processes can share by a descriptor. */
static CUresult physical_check(const AllocationProp *prop)
{
    if (!prop || (prop->type != ALLOCATION_PINNED && prop->type != ALLOCATION_MANAGED))
        return CUDA_ERROR_INVALID_VALUE;
    if (prop->location.type >= LOCATION_HOST && prop->location.type <= LOCATION_HOST_NUMA_CURRENT)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (prop->location.type != LOCATION_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_is(prop->location.id))
        return CUDA_ERROR_INVALID_DEVICE;
    if (prop->flags[PROP_COMPRESSION] > COMPRESSION_GENERIC)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = PROP_RESERVED; i < sizeof(prop->flags); i++)
        if (prop->flags[i] != 0)
            return CUDA_ERROR_INVALID_VALUE;
    return prop->type != ALLOCATION_PINNED || (prop->handle_types & ~HANDLE_TYPE_FD) != 0 ||
                   prop->flags[PROP_GPU_DIRECT] != 0 || prop->flags[PROP_USAGE] != 0 ||
                   prop->flags[PROP_USAGE + 1] != 0
               ? CUDA_ERROR_NOT_SUPPORTED
               : CUDA_SUCCESS;
}

CUresult cuMemGetAllocationGranularity(size_t *ret, const AllocationProp *prop, int option)
{
    static uint64_t known[2]; /* atomic */
    uint64_t size;
    LibCall call;
    CUresult r = libcuda_enter_any(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || option < 0 || option > 1)
        return CUDA_ERROR_INVALID_VALUE;
    r = physical_check(prop);
    size = __atomic_load_n(&known[option & 1], __ATOMIC_RELAXED);
    if (r == CUDA_SUCCESS && size == 0)
        r = vgpu_session_granularity(call.session, &call.from, option == 1, &size);
    if (r != CUDA_SUCCESS)
        return r;
    __atomic_store_n(&known[option & 1], size, __ATOMIC_RELAXED);
    *ret = size;
    return CUDA_SUCCESS;
}

static unsigned char physical_compression(uint32_t flags)
{
    return flags & VGPU_PHYSICAL_COMPRESSED ? COMPRESSION_GENERIC : COMPRESSION_NONE;
}

static CUresult physical_give(const LibCall *call, uint32_t number, const AllocationProp *prop,
                              CUmemGenericAllocationHandle *ret)
{
    const LibPhysical *physical = physical_new(number, prop);

    if (!physical) {
        (void) vgpu_session_physical_release(call->session, &call->from, number);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret = physical->handle;
    return CUDA_SUCCESS;
}

/* CU_DEVICE_ATTRIBUTE_GENERIC_COMPRESSION_SUPPORTED */
#define ATTRIBUTE_COMPRESSION 107

static uint32_t physical_flags(const AllocationProp *prop)
{
    uint32_t flags = prop->handle_types != 0 ? VGPU_PHYSICAL_SHAREABLE : 0;

    if (prop->flags[PROP_COMPRESSION] == COMPRESSION_GENERIC &&
        libcuda_process.device.attribute[ATTRIBUTE_COMPRESSION].value != 0)
        flags |= VGPU_PHYSICAL_COMPRESSED;
    return flags;
}

/* Compression is a wish, and programs ask what has become of it. */
CUresult cuMemCreate(CUmemGenericAllocationHandle *ret, size_t size, const AllocationProp *prop,
                     unsigned long long flags)
{
    AllocationProp made;
    uint32_t number, has;
    LibCall call;
    CUresult r = libcuda_enter_any(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || size == 0 || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = physical_check(prop);
    if (r != CUDA_SUCCESS)
        return r;
    made = *prop;
    has = physical_flags(prop);
    r = vgpu_session_physical_create(call.session, &call.from, size, &has, &number);
    made.flags[PROP_COMPRESSION] = physical_compression(has);
    return r == CUDA_SUCCESS ? physical_give(&call, number, &made, ret) : r;
}

/* ---- What handles are for ----------------------------------------------------------------------
 */

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    LibPhysical *physical;
    LibCall call;
    CUresult r = libcuda_enter_any(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!call.context)
        return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&physical_lock);
    physical = physical_look(handle);
    if (physical) {
        physical->n_references--;
        physical = physical_settle(physical);
    } else {
        r = CUDA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_unlock(&physical_lock);
    return r == CUDA_SUCCESS ? physical_end(&call, physical) : r;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *ret, void *address)
{
    LibPhysical *physical;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&physical_lock);
    physical = physical_at((uintptr_t) address);
    if (physical) {
        physical->n_references++;
        *ret = physical->handle;
    }
    pthread_mutex_unlock(&physical_lock);
    return physical ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* What @handle is at this moment */
static CUresult physical_copy(CUmemGenericAllocationHandle handle, LibCall *call, LibPhysical *ret)
{
    const LibPhysical *physical;
    CUresult r = libcuda_enter_any(call);

    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&physical_lock);
    physical = physical_look(handle);
    if (physical)
        *ret = *physical;
    pthread_mutex_unlock(&physical_lock);
    return physical ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemGetAllocationPropertiesFromHandle(AllocationProp *ret,
                                                CUmemGenericAllocationHandle handle)
{
    LibPhysical physical;
    LibCall call;
    CUresult r = physical_copy(handle, &call, &physical);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = physical.prop;
    return CUDA_SUCCESS;
}

/* ---- Between processes -------------------------------------------------------------------------
 */

CUresult cuMemExportToShareableHandle(void *ret, CUmemGenericAllocationHandle handle, int type,
                                      unsigned long long flags)
{
    LibPhysical physical;
    LibCall call;
    CUresult r = physical_copy(handle, &call, &physical);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || flags != 0 || type != HANDLE_TYPE_FD || physical.prop.handle_types != type)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_session_share_physical(call.session, &call.from, physical.number, ret);
}

/* The descriptor stands in the pointer's place. */
CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *ret, void *shareable,
                                        int type)
{
    AllocationProp prop = {
        .type = ALLOCATION_PINNED,
        .handle_types = HANDLE_TYPE_FD,
        .location = {.type = LOCATION_DEVICE},
    };
    uint32_t number, has = 0;
    uint64_t size;
    LibCall call;
    CUresult r = libcuda_enter_any(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (type == HANDLE_TYPE_FABRIC)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!ret || type != HANDLE_TYPE_FD)
        return CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_take_physical(call.session, &call.from, (int) (intptr_t) shareable, &number,
                                   &size, &has);
    prop.flags[PROP_COMPRESSION] = physical_compression(has);
    return r == CUDA_SUCCESS ? physical_give(&call, number, &prop, ret) : r;
}

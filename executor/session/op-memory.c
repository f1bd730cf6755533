/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Device memory: allocated at once, in the order of a stream, and mapped into reserved addresses.
 */
#include <stdlib.h>

#include "session-pool.h"
#include "session-share.h"
#include "session-store.h"

/* CUmemAccess_flags */
enum {
    ACCESS_NONE = 0,
    ACCESS_READ = 1,
    ACCESS_READ_WRITE = 3,
};

/* ---- Allocated ---------------------------------------------------------------------------- */

/* Frees, at once, what the driver has just allocated: the map of ranges cannot take it. */
static CUresult memory_refuse(Session *s, SessionRange *range, CUdeviceptr address)
{
    (void) session_driver(s)->base.mem_free(address);
    session_memory_drop(&session_store(s)->memory, range);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult session_charge(Session *s, const SessionCall *call, uint64_t size)
{
    SessionMemory *memory = &session_store(s)->memory;
    CUresult result = session_memory_charge(memory, size);

    if (result != CUDA_ERROR_OUT_OF_MEMORY)
        return result;
    session_frees_settle(s, call->record.context);
    return session_memory_charge(memory, size);
}

CUresult session_prepare(Session *s, const SessionCall *call, SessionRangeKind kind, uint64_t size,
                         SessionRange **ret)
{
    SessionMemory *memory = &session_store(s)->memory;
    const uint64_t charge = session_memory_rounded(size);
    CUresult result;

    if (size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_memory_prepare(memory, kind, call->record.context, size, charge, ret);
    if (result != CUDA_ERROR_OUT_OF_MEMORY)
        return result;
    session_frees_settle(s, call->record.context);
    return session_memory_prepare(memory, kind, call->record.context, size, charge, ret);
}

CUresult session_op_MEMORY_ALLOC(Session *s, SessionCall *call)
{
    const VGPUSessionMemory *p = call->parameters;
    SessionMemory *memory = &session_store(s)->memory;
    CUdeviceptr address;
    SessionRange *range;
    CUresult result;

    result = session_prepare(s, call, SESSION_RANGE_ALLOCATED, p->size, &range);
    if (result != CUDA_SUCCESS)
        return result;
    result = session_driver(s)->base.mem_alloc(&address, p->size);
    if (result != CUDA_SUCCESS) {
        session_memory_drop(memory, range);
        return result;
    }
    if (!session_memory_insert(memory, range, address))
        return memory_refuse(s, range, address);
    call->value[0] = address;
    return CUDA_SUCCESS;
}

/* An allocation of either kind, out of the map: it may be freed in both ways. */
static SessionRange *memory_take_allocation(Session *s, uint64_t address)
{
    SessionMemory *memory = &session_store(s)->memory;
    SessionRange *range = session_memory_take(memory, SESSION_RANGE_ALLOCATED, address);

    if (!range)
        return session_memory_take(memory, SESSION_RANGE_ASYNC, address);
    session_unshare(s, range);
    return range;
}

/* The driver has freed it, or not: then it stays where it was. */
static CUresult memory_freed(SessionMemory *memory, SessionRange *range, CUresult result)
{
    if (result == CUDA_SUCCESS || !session_memory_insert(memory, range, range->address))
        session_memory_drop(memory, range);
    return result;
}

CUresult session_op_MEMORY_FREE(Session *s, SessionCall *call)
{
    const VGPUSessionMemory *p = call->parameters;
    SessionMemory *memory = &session_store(s)->memory;
    SessionRange *range;
    CUresult result;
    bool is_pooled;

    if (p->address == 0)
        return CUDA_SUCCESS;
    /* Before the driver frees it: another thread may get this address again at once. */
    range = memory_take_allocation(s, p->address);
    if (!range)
        return CUDA_ERROR_INVALID_VALUE;
    is_pooled = range->kind == SESSION_RANGE_ASYNC;
    result = memory_freed(memory, range, session_driver(s)->base.mem_free(p->address));
    if (is_pooled)
        session_pools_look(s);
    return result;
}

CUresult session_op_MEMORY_INFO(Session *s, SessionCall *call)
{
    const SessionMemory *memory = &session_store(s)->memory;
    uint64_t max, left;
    size_t free, total;
    CUresult result;

    session_frees_note(s, call->record.context);
    session_pools_look(s);
    result = session_driver(s)->base.mem_get_info(&free, &total);
    if (result != CUDA_SUCCESS)
        return result;
    max = session_memory_max(memory);
    left = session_memory_left(memory);
    call->value[0] = left < free ? left : free;
    call->value[1] = max < total ? max : total;
    return CUDA_SUCCESS;
}

/* ---- In the order of a stream --------------------------------------------------------------- */

/*
 * An allocation in a graph is made again by each launch of the graph, and ends with it. No quota
 * can be charged for that here. The capture goes on: the driver does not see the call.
 */
static CUresult memory_find_stream(Session *s, uint32_t id, CUstream *ret)
{
    int status;
    CUresult result = session_find_stream(s, id, ret);

    if (result == CUDA_SUCCESS)
        result = session_driver(s)->stream_is_capturing(*ret, &status);
    if (result == CUDA_SUCCESS && status != CU_STREAM_CAPTURE_STATUS_NONE)
        result = CUDA_ERROR_NOT_SUPPORTED;
    return result;
}

CUresult session_op_MEMORY_ALLOC_ASYNC(Session *s, SessionCall *call)
{
    const VGPUSessionMemory *p = call->parameters;
    SessionMemory *memory = &session_store(s)->memory;
    CUdeviceptr address;
    SessionRange *range;
    SessionPool *pool;
    CUstream stream;
    CUresult result;

    result = session_pool_find(s, p->pool, &pool);
    if (result == CUDA_SUCCESS)
        result = memory_find_stream(s, p->stream, &stream);
    if (result == CUDA_SUCCESS)
        result = session_frees_begin(s, call->record.context);
    if (result != CUDA_SUCCESS)
        return result;
    result = session_prepare(s, call, SESSION_RANGE_ASYNC, p->size, &range);
    if (result != CUDA_SUCCESS)
        return result;
    result = session_pool_alloc(s, pool, range, stream, &address);
    if (result != CUDA_SUCCESS) {
        session_memory_drop(memory, range);
        session_pools_look(s);
        return result;
    }
    if (!session_memory_insert(memory, range, address))
        return memory_refuse(s, range, address);
    call->value[0] = address;
    return CUDA_SUCCESS;
}

CUresult session_op_MEMORY_FREE_ASYNC(Session *s, SessionCall *call)
{
    const VGPUSessionMemory *p = call->parameters;
    SessionRange *range;
    CUstream stream;
    CUresult result;

    result = memory_find_stream(s, p->stream, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    range = memory_take_allocation(s, p->address);
    if (!range)
        return CUDA_ERROR_INVALID_VALUE;
    return session_free_in_order(s, call->record.context, range, stream);
}

/* ---- Reserved addresses --------------------------------------------------------------------- */

CUresult session_op_ADDRESS_RESERVE(Session *s, SessionCall *call)
{
    const VGPUSessionPhysical *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    SessionMemory *memory = &session_store(s)->memory;
    CUdeviceptr address;
    SessionRange *range;
    CUresult result;

    if (p->size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_memory_prepare(memory, SESSION_RANGE_RESERVED, 0, p->size, 0, &range);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver->mem_address_reserve(&address, p->size, p->alignment, p->address, 0);
    if (result != CUDA_SUCCESS) {
        session_memory_drop(memory, range);
        return result;
    }
    if (!session_memory_insert(memory, range, address)) {
        (void) driver->mem_address_free(address, p->size);
        session_memory_drop(memory, range);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    call->value[0] = address;
    return CUDA_SUCCESS;
}

CUresult session_op_ADDRESS_FREE(Session *s, SessionCall *call)
{
    const VGPUSessionPhysical *p = call->parameters;
    SessionMemory *memory = &session_store(s)->memory;
    SessionRange *range = session_memory_take_reservation(memory, p->address, p->size);

    if (!range)
        return CUDA_ERROR_INVALID_VALUE;
    return memory_freed(memory, range, session_driver(s)->mem_address_free(p->address, p->size));
}

/* ---- Physical memory ------------------------------------------------------------------------ */

static CUmemAllocationProp memory_properties(const Session *s)
{
    return (CUmemAllocationProp){
        .type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .location = {CU_MEM_LOCATION_TYPE_DEVICE, session_device(s)},
    };
}

CUresult session_op_GRANULARITY(Session *s, SessionCall *call)
{
    const VGPUSessionPhysical *p = call->parameters;
    const CUmemAllocationProp properties = memory_properties(s);
    size_t granularity;
    CUresult result;

    if (p->flags != CU_MEM_ALLOC_GRANULARITY_MINIMUM &&
        p->flags != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_driver(s)->mem_get_allocation_granularity(&granularity, &properties,
                                                               (int) p->flags);
    if (result == CUDA_SUCCESS)
        call->value[0] = granularity;
    return result;
}

/* Its memory is the driver's again with the last of its number and its mappings. */
void session_physical_settle(Session *s, SessionPhysical *physical)
{
    if (!physical->released || physical->n_mapped > 0 || physical->n_held > 0)
        return;
    session_share_end(s, physical->token);
    session_memory_give_back(&session_store(s)->memory, physical->size);
    LIST_REMOVE(physical, link);
    free(physical);
}

CUresult session_physical_add(Session *s, uint32_t id, CUmemGenericAllocationHandle handle,
                              uint64_t size, bool is_shareable)
{
    SessionStore *store = session_store(s);
    SessionPhysical *physical = calloc(1, sizeof(*physical));
    CUresult result;

    if (!physical)
        return CUDA_ERROR_OUT_OF_MEMORY;
    physical->handle = handle;
    physical->size = size;
    physical->is_shareable = is_shareable;
    pthread_mutex_lock(&store->physicals_lock);
    result = session_add(s, SESSION_PHYSICAL, id, physical);
    if (result == CUDA_SUCCESS)
        LIST_INSERT_HEAD(&store->physicals, physical, link);
    pthread_mutex_unlock(&store->physicals_lock);
    if (result != CUDA_SUCCESS)
        free(physical);
    return result;
}

uint32_t session_physical_flags(Session *s, CUmemGenericAllocationHandle handle)
{
    CUmemAllocationProp made = {0};
    CUresult result = session_driver(s)->mem_get_allocation_properties(&made, handle);

    return result == CUDA_SUCCESS && made.flags.compression_type == CU_MEM_ALLOCATION_COMP_GENERIC
               ? VGPU_PHYSICAL_COMPRESSED
               : 0;
}

CUresult session_op_PHYSICAL_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionPhysical *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    const bool is_shareable = p->flags & VGPU_PHYSICAL_SHAREABLE;
    const bool is_compressed = p->flags & VGPU_PHYSICAL_COMPRESSED;
    CUmemAllocationProp properties = memory_properties(s);
    CUmemGenericAllocationHandle handle;
    CUresult result;

    if (p->size == 0 || (p->flags & ~(VGPU_PHYSICAL_SHAREABLE | VGPU_PHYSICAL_COMPRESSED)) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (is_shareable)
        properties.requested_handle_types = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    if (is_compressed)
        properties.flags.compression_type = CU_MEM_ALLOCATION_COMP_GENERIC;
    result = session_charge(s, call, p->size);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver->mem_create(&handle, p->size, &properties, 0);
    if (result == CUDA_SUCCESS) {
        /* Once it has its number, the guest may release it. */
        call->value[0] = is_compressed ? session_physical_flags(s, handle) : 0;
        result = session_physical_add(s, p->id, handle, p->size, is_shareable);
        if (result != CUDA_SUCCESS)
            (void) driver->mem_release(handle);
    }
    session_memory_settle(&session_store(s)->memory, p->size, result);
    return result;
}

static CUresult physical_release_locked(Session *s, uint32_t id)
{
    SessionPhysical *physical;
    CUresult result;
    void *object;

    result = session_find(s, SESSION_PHYSICAL, id, &object);
    if (result != CUDA_SUCCESS)
        return result;
    physical = object;
    result = session_driver(s)->mem_release(physical->handle);
    if (result != CUDA_SUCCESS)
        return result;
    (void) session_remove(s, SESSION_PHYSICAL, id, &object);
    physical->released = true;
    session_physical_settle(s, physical);
    return CUDA_SUCCESS;
}

CUresult session_op_PHYSICAL_RELEASE(Session *s, SessionCall *call)
{
    const VGPUSessionPhysical *p = call->parameters;
    SessionStore *store = session_store(s);
    CUresult result;

    pthread_mutex_lock(&store->physicals_lock);
    result = physical_release_locked(s, p->id);
    pthread_mutex_unlock(&store->physicals_lock);
    return result;
}

static CUresult physical_map_locked(Session *s, const VGPUSessionPhysical *p)
{
    const CudaSessionDriver *driver = session_driver(s);
    SessionMemory *memory = &session_store(s)->memory;
    SessionPhysical *physical;
    SessionRange *range;
    CUresult result;
    void *object;

    result = session_find(s, SESSION_PHYSICAL, p->id, &object);
    if (result != CUDA_SUCCESS)
        return result;
    physical = object;
    if (p->offset > physical->size || p->size > physical->size - p->offset ||
        !session_memory_is_vacant(memory, p->address, p->size))
        return CUDA_ERROR_INVALID_VALUE;
    result = session_memory_prepare(memory, SESSION_RANGE_MAPPED, 0, p->size, 0, &range);
    if (result != CUDA_SUCCESS)
        return result;
    range->physical = physical;
    result = driver->mem_map(p->address, p->size, p->offset, physical->handle, 0);
    if (result != CUDA_SUCCESS) {
        session_memory_drop(memory, range);
        return result;
    }
    if (!session_memory_insert(memory, range, p->address)) {
        (void) driver->mem_unmap(p->address, p->size);
        session_memory_drop(memory, range);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    physical->n_mapped++;
    return CUDA_SUCCESS;
}

CUresult session_op_PHYSICAL_MAP(Session *s, SessionCall *call)
{
    SessionStore *store = session_store(s);
    CUresult result;

    pthread_mutex_lock(&store->physicals_lock);
    result = physical_map_locked(s, call->parameters);
    pthread_mutex_unlock(&store->physicals_lock);
    return result;
}

/* The driver is content where nothing is mapped. The lock: nothing comes to be mapped meanwhile. */
static CUresult physical_unmap_nothing(Session *s, const VGPUSessionPhysical *p)
{
    SessionStore *store = session_store(s);
    CUresult result = CUDA_ERROR_INVALID_VALUE;

    pthread_mutex_lock(&store->physicals_lock);
    if (session_memory_is_vacant(&store->memory, p->address, p->size))
        result = session_driver(s)->mem_unmap(p->address, p->size);
    pthread_mutex_unlock(&store->physicals_lock);
    return result;
}

CUresult session_op_PHYSICAL_UNMAP(Session *s, SessionCall *call)
{
    const VGPUSessionPhysical *p = call->parameters;
    SessionStore *store = session_store(s);
    const uint64_t end = p->address + p->size;
    CUresult result;

    if (!session_memory_has_mapped(&store->memory, p->address, p->size))
        return physical_unmap_nothing(s, p);
    result = session_driver(s)->mem_unmap(p->address, p->size);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&store->physicals_lock);
    for (uint64_t address = p->address; address < end;) {
        SessionRange *range = session_memory_take(&store->memory, SESSION_RANGE_MAPPED, address);
        SessionPhysical *physical = range->physical;

        address += range->size;
        session_memory_drop(&store->memory, range);
        physical->n_mapped--;
        session_physical_settle(s, physical);
    }
    pthread_mutex_unlock(&store->physicals_lock);
    return CUDA_SUCCESS;
}

CUresult session_op_PHYSICAL_ACCESS(Session *s, SessionCall *call)
{
    const VGPUSessionPhysical *p = call->parameters;
    const CUmemAccessDesc access = {
        .location = {CU_MEM_LOCATION_TYPE_DEVICE, session_device(s)},
        .flags = (int) p->flags,
    };
    SessionMemory *memory = &session_store(s)->memory;
    CUresult result;

    if (p->flags != ACCESS_NONE && p->flags != ACCESS_READ && p->flags != ACCESS_READ_WRITE)
        return CUDA_ERROR_INVALID_VALUE;
    if (!session_memory_has_mapped(memory, p->address, p->size))
        return CUDA_ERROR_INVALID_VALUE;
    result = session_driver(s)->mem_set_access(p->address, p->size, &access, 1);
    if (result == CUDA_SUCCESS)
        session_memory_allow(memory, p->address, p->size, p->flags != ACCESS_NONE);
    return result;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools of the device's memory. They belong to no context, and may be set up before there is one.
 *
 * A handle stands for a number of the session's, and nothing else: what is asked of a pool is asked
 * of the executor.
 */
#include "memory-pool.h"

#include <string.h>

#include "context.h"

/* CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED */
#define MEMORY_POOLS_SUPPORTED 115

static struct {
    pthread_mutex_t lock;
    CUmemoryPool
        standard;         /* the device's default pool: the number 0; NULL before it is asked for */
    CUmemoryPool current; /* NULL: the default pool */
} pools = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A handle has an object, which is not NULL. */
static void *pool_object(uint32_t number)
{
    return (void *) ((uintptr_t) number + 1);
}

bool pool_number(CUmemoryPool handle, uint32_t *ret)
{
    const void *object = handle_object(HANDLE_POOL, handle);

    if (!object)
        return false;
    *ret = (uint32_t) ((uintptr_t) object - 1);
    return true;
}

/* What a function of pools returns, or CUDA_SUCCESS */
static CUresult pool_enter(LibCall *call)
{
    const VGPUSessionDevice *device = &libcuda_process.device;
    CUresult r = libcuda_enter_any(call);

    if (r != CUDA_SUCCESS)
        return r;
    return device->attribute[MEMORY_POOLS_SUPPORTED].result == 0 &&
                   device->attribute[MEMORY_POOLS_SUPPORTED].value != 0
               ? CUDA_SUCCESS
               : CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult pool_enter_of(CUmemoryPool handle, LibCall *call, uint32_t *ret_number)
{
    CUresult r = pool_enter(call);

    return r == CUDA_SUCCESS && !pool_number(handle, ret_number) ? CUDA_ERROR_INVALID_VALUE : r;
}

/* ---- The device's ------------------------------------------------------------------------------
 */

/* With the lock held. */
static CUresult pool_standard(CUmemoryPool *ret)
{
    if (!pools.standard)
        pools.standard = handle_new(HANDLE_POOL, pool_object(0));
    *ret = pools.standard;
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult pool_get(CUmemoryPool *ret, bool is_current)
{
    LibCall call;
    CUresult r = pool_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&pools.lock);
    if (is_current && pools.current)
        *ret = pools.current;
    else
        r = pool_standard(ret);
    pthread_mutex_unlock(&pools.lock);
    return r;
}

CUresult pool_current(CUmemoryPool *ret)
{
    return pool_get(ret, true);
}

static CUresult pool_get_of(CUmemoryPool *ret, CUdevice device, bool is_current)
{
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    return device_is(device) ? pool_get(ret, is_current) : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *ret, CUdevice device)
{
    return pool_get_of(ret, device, false);
}

CUresult cuDeviceGetMemPool(CUmemoryPool *ret, CUdevice device)
{
    return pool_get_of(ret, device, true);
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool)
{
    uint32_t number;
    LibCall call;
    CUresult r = pool_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!device_is(device))
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&pools.lock);
    if (pool_number(pool, &number))
        pools.current = pool;
    else
        r = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_unlock(&pools.lock);
    return r;
}

/* The host's memory and managed memory have no pools here. */
static CUresult pool_place(const MemLocation *location, int type)
{
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!location || (type != ALLOCATION_PINNED && type != ALLOCATION_MANAGED))
        return CUDA_ERROR_INVALID_VALUE;
    switch (location->type) {
    case LOCATION_NONE:
        return type == ALLOCATION_MANAGED ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
    case LOCATION_DEVICE:
        if (!device_is(location->id))
            return CUDA_ERROR_INVALID_DEVICE;
        return type == ALLOCATION_PINNED ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
    case LOCATION_HOST:
    case LOCATION_HOST_NUMA:
        return CUDA_ERROR_NOT_SUPPORTED;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool *ret, MemLocation *location, int type)
{
    CUresult r = pool_place(location, type);

    return r == CUDA_SUCCESS ? pool_get_of(ret, location->id, false) : r;
}

CUresult cuMemGetMemPool(CUmemoryPool *ret, MemLocation *location, int type)
{
    CUresult r = pool_place(location, type);

    return r == CUDA_SUCCESS ? pool_get_of(ret, location->id, true) : r;
}

CUresult cuMemSetMemPool(MemLocation *location, int type, CUmemoryPool pool)
{
    CUresult r = pool_place(location, type);

    return r == CUDA_SUCCESS ? cuDeviceSetMemPool(location->id, pool) : r;
}

/* ---- Making and ending -------------------------------------------------------------------------
 */

/* No process can share a pool with another. */
static CUresult pool_check(const PoolProps *props)
{
    static const unsigned char zeros[sizeof(props->reserved)];
    CUresult r = pool_place(&props->location, props->type);

    if (r != CUDA_SUCCESS)
        return r == CUDA_ERROR_INVALID_DEVICE ? CUDA_ERROR_INVALID_VALUE : r;
    if (memcmp(props->reserved, zeros, sizeof(zeros)) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return props->handle_types != 0 || props->usage != 0 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

CUresult cuMemPoolCreate(CUmemoryPool *ret, const PoolProps *props)
{
    CUmemoryPool handle;
    uint32_t number;
    LibCall call;
    CUresult r = pool_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !props)
        return CUDA_ERROR_INVALID_VALUE;
    r = pool_check(props);
    if (r == CUDA_SUCCESS)
        r = vgpu_session_pool_create(call.session, &call.from, props->max_size, &number);
    if (r != CUDA_SUCCESS)
        return r;
    handle = handle_new(HANDLE_POOL, pool_object(number));
    if (!handle) {
        (void) vgpu_session_pool_destroy(call.session, &call.from, number);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret = handle;
    return CUDA_SUCCESS;
}

/* What is allocated from it lives on. */
CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    uint32_t number;
    LibCall call;
    CUresult r = pool_enter_of(pool, &call, &number);

    if (r != CUDA_SUCCESS)
        return r;
    if (number == 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_pool_destroy(call.session, &call.from, number);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&pools.lock);
    if (pools.current == pool)
        pools.current = NULL;
    handle_end(pool);
    pthread_mutex_unlock(&pools.lock);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
    uint32_t number;
    LibCall call;
    CUresult r = pool_enter_of(pool, &call, &number);

    return r == CUDA_SUCCESS ? vgpu_session_pool_trim(call.session, &call.from, number, keep) : r;
}

/* ---- Attributes --------------------------------------------------------------------------------
 */

static bool pool_attribute_is_int(int attribute)
{
    return attribute <= POOL_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
}

static CUresult pool_enter_attribute(CUmemoryPool pool, int attribute, const void *value,
                                     LibCall *call, uint32_t *ret_number)
{
    CUresult r = pool_enter_of(pool, call, ret_number);

    if (r != CUDA_SUCCESS)
        return r;
    return value && attribute >= POOL_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
                   attribute <= POOL_USED_MEM_HIGH
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, int attribute, void *value)
{
    uint32_t number;
    uint64_t word;
    LibCall call;
    int flag;
    CUresult r = pool_enter_attribute(pool, attribute, value, &call, &number);

    if (r != CUDA_SUCCESS)
        return r;
    if (pool_attribute_is_int(attribute)) {
        memcpy(&flag, value, sizeof(flag));
        word = flag != 0;
    } else {
        memcpy(&word, value, sizeof(word));
    }
    return vgpu_session_pool_set(call.session, &call.from, number, (uint32_t) attribute, word);
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, int attribute, void *value)
{
    uint32_t number;
    uint64_t word;
    LibCall call;
    int flag;
    CUresult r = pool_enter_attribute(pool, attribute, value, &call, &number);

    if (r == CUDA_SUCCESS)
        r = vgpu_session_pool_get(call.session, &call.from, number, (uint32_t) attribute, &word);
    if (r != CUDA_SUCCESS)
        return r;
    flag = (int) word;
    if (pool_attribute_is_int(attribute))
        memcpy(value, &flag, sizeof(flag));
    else
        memcpy(value, &word, sizeof(word));
    return CUDA_SUCCESS;
}

/* The device has all access to its own pools; where that is to be taken from it, the driver speaks
 * of a wrong device. */
CUresult cuMemPoolSetAccess(CUmemoryPool pool, const AccessDesc *access, size_t n)
{
    uint32_t number;
    LibCall call;
    CUresult r = pool_enter_of(pool, &call, &number);

    if (r != CUDA_SUCCESS)
        return r;
    if (!access && n > 0)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        if (access[i].location.type != LOCATION_DEVICE || !device_is(access[i].location.id))
            return CUDA_ERROR_INVALID_VALUE;
        if (access[i].flags == ACCESS_NONE || access[i].flags == ACCESS_READ)
            return CUDA_ERROR_INVALID_DEVICE;
        if (access[i].flags != ACCESS_READ_WRITE)
            return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAccess(int *flags, CUmemoryPool pool, MemLocation *location)
{
    uint32_t number;
    LibCall call;
    CUresult r = pool_enter_of(pool, &call, &number);

    if (r != CUDA_SUCCESS)
        return r;
    if (!flags || !location || location->type != LOCATION_DEVICE || !device_is(location->id))
        return CUDA_ERROR_INVALID_VALUE;
    *flags = ACCESS_READ_WRITE;
    return CUDA_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pools of the device's memory. */
#include <stdlib.h>

#include "cleanup.h"
#include "session-pool.h"
#include "session-store.h"

static CUresult pool_make(Session *s, const VGPUSessionPool *p, SessionPool *pool)
{
    const CudaSessionDriver *driver = session_driver(s);
    const CUmemPoolProps props = {
        .allocation_type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .location = {CU_MEM_LOCATION_TYPE_DEVICE, session_device(s)},
        .max_size = p->value,
    };
    CUresult result = driver->mem_pool_create(&pool->handle, &props);

    if (result != CUDA_SUCCESS)
        return result;
    pool->id = p->id;
    result = session_add(s, SESSION_POOL, p->id, pool);
    if (result != CUDA_SUCCESS)
        (void) driver->mem_pool_destroy(pool->handle);
    return result;
}

CUresult session_op_POOL_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionPool *p = call->parameters;
    SessionStore *store = session_store(s);
    CLEANUP_FREE SessionPool *pool = calloc(1, sizeof(*pool));
    CUresult result;

    if (p->attribute != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!pool || store->n_pools >= SESSION_POOLS_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = pool_make(s, p, pool);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&store->frees_lock);
    LIST_INSERT_HEAD(&store->pools, pool, link);
    store->n_pools++;
    pthread_mutex_unlock(&store->frees_lock);
    (void) TAKE_PTR(pool);
    return CUDA_SUCCESS;
}

/* Allocations of it live on. */
CUresult session_op_POOL_DESTROY(Session *s, SessionCall *call)
{
    const VGPUSessionPool *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionPool *pool;
    CUresult result;
    void *object;

    if (p->id == 0 || p->attribute != 0 || p->value != 0)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_find(s, SESSION_POOL, p->id, &object);
    if (result != CUDA_SUCCESS)
        return result;
    pool = object;
    session_pools_look(s); /* for the last time */
    pthread_mutex_lock(&store->frees_lock);
    result = session_driver(s)->mem_pool_destroy(pool->handle);
    if (result == CUDA_SUCCESS) {
        (void) session_remove(s, SESSION_POOL, p->id, &object);
        pool->destroyed = true;
        pool->handle = NULL;
    }
    pthread_mutex_unlock(&store->frees_lock);
    session_pools_look(s);
    return result;
}

/* ---- Attributes -------------------------------------------------------------------------------
 */

static bool pool_attribute_is_flag(uint32_t attribute)
{
    return attribute == CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES ||
           attribute == CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC ||
           attribute == CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
}

CUresult session_op_POOL_SET(Session *s, SessionCall *call)
{
    const VGPUSessionPool *p = call->parameters;
    uint64_t value = p->value;
    int flag = (int) p->value;
    SessionPool *pool;
    CUresult result;

    if (pool_attribute_is_flag(p->attribute) ? p->value > 1
        : p->attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH ||
                p->attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH
            ? p->value != 0
            : p->attribute != CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_pool_find(s, p->id, &pool);
    if (result != CUDA_SUCCESS)
        return result;
    return session_driver(s)->mem_pool_set_attribute(
        pool->handle, (int) p->attribute,
        pool_attribute_is_flag(p->attribute) ? (void *) &flag : (void *) &value);
}

CUresult session_op_POOL_GET(Session *s, SessionCall *call)
{
    const VGPUSessionPool *p = call->parameters;
    uint64_t value = 0;
    int flag = 0;
    SessionPool *pool;
    CUresult result;

    if (p->attribute < CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES ||
        p->attribute > CU_MEMPOOL_ATTR_USED_MEM_HIGH || p->value != 0)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_pool_find(s, p->id, &pool);
    if (result != CUDA_SUCCESS)
        return result;
    result = session_driver(s)->mem_pool_get_attribute(
        pool->handle, (int) p->attribute,
        pool_attribute_is_flag(p->attribute) ? (void *) &flag : (void *) &value);
    if (result == CUDA_SUCCESS)
        call->value[0] = pool_attribute_is_flag(p->attribute) ? (uint64_t) flag : value;
    return result;
}

CUresult session_op_POOL_TRIM(Session *s, SessionCall *call)
{
    const VGPUSessionPool *p = call->parameters;
    SessionPool *pool;
    CUresult result;

    if (p->attribute != 0)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_pool_find(s, p->id, &pool);
    if (result != CUDA_SUCCESS)
        return result;
    session_frees_note(s, call->record.context);
    result = session_driver(s)->mem_pool_trim_to(pool->handle, p->value);
    session_pools_look(s);
    return result;
}

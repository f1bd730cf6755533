/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-pool.h"

#include <stdlib.h>

#include "session-store.h"

static bool pools_are_charged(Session *s)
{
    return session_memory_max(&session_store(s)->memory) != UINT64_MAX;
}

static uint64_t pool_attribute(Session *s, const SessionPool *pool, int attribute)
{
    uint64_t value = 0;

    if (session_driver(s)->mem_pool_get_attribute(pool->handle, attribute, &value) != CUDA_SUCCESS)
        return 0;
    return value;
}

static uint64_t pool_above(uint64_t bytes, uint64_t below)
{
    return bytes > below ? bytes - below : 0;
}

/* Beside what its allocations are charged */
static uint64_t pool_kept(Session *s, const SessionPool *pool, uint64_t reserved)
{
    const uint64_t used = session_memory_pool_used(&session_store(s)->memory, pool);

    return pool_above(pool_above(reserved, pool->free), used);
}

/* ---- The default pool -------------------------------------------------------------------------
 */

static CUresult pool_open_default(Session *s, SessionPool *pool)
{
    if (pool->handle)
        return CUDA_SUCCESS;
    pool->free = SESSION_POOL_FREE;
    return session_driver(s)->device_get_default_mem_pool(&pool->handle, session_device(s));
}

CUresult session_pool_find(Session *s, uint32_t id, SessionPool **ret)
{
    SessionStore *store = session_store(s);
    void *object;
    CUresult result;

    if (id == 0) {
        *ret = &store->default_pool;
        pthread_mutex_lock(&store->frees_lock);
        result = pool_open_default(s, *ret);
        pthread_mutex_unlock(&store->frees_lock);
        return result;
    }
    result = session_find(s, SESSION_POOL, id, &object);
    if (result == CUDA_SUCCESS)
        *ret = object;
    return result;
}

/* ---- Charges ----------------------------------------------------------------------------------
 */

/* One that was destroyed cannot be asked any more. It keeps what it has until it is empty. */
static void pool_look(Session *s, SessionPool *pool)
{
    SessionMemory *memory = &session_store(s)->memory;
    uint64_t reserved;

    if (!pool->handle || pool->destroyed || !pools_are_charged(s))
        return;
    reserved = pool_attribute(s, pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
    (void) session_memory_pool_keep(memory, pool, pool_kept(s, pool, reserved), true);
}

static void pool_free_if_over(SessionStore *store, SessionPool *pool)
{
    if (!pool->destroyed || !session_memory_pool_is_empty(&store->memory, pool))
        return;
    (void) session_memory_pool_keep(&store->memory, pool, 0, true);
    LIST_REMOVE(pool, link);
    store->n_pools--;
    free(pool);
}

static void pools_look_locked(Session *s, bool trim)
{
    SessionStore *store = session_store(s);
    SessionPool *pool, *next;

    if (trim && store->default_pool.handle)
        (void) session_driver(s)->mem_pool_trim_to(store->default_pool.handle, 0);
    pool_look(s, &store->default_pool);
    for (pool = LIST_FIRST(&store->pools); pool; pool = next) {
        next = LIST_NEXT(pool, link);
        if (trim && !pool->destroyed)
            (void) session_driver(s)->mem_pool_trim_to(pool->handle, 0);
        pool_look(s, pool);
        pool_free_if_over(store, pool);
    }
}

static void pools_look(Session *s, bool trim)
{
    SessionStore *store = session_store(s);

    pthread_mutex_lock(&store->frees_lock);
    if (pools_are_charged(s) || !LIST_EMPTY(&store->pools))
        pools_look_locked(s, trim && pools_are_charged(s));
    pthread_mutex_unlock(&store->frees_lock);
}

void session_pools_look(Session *s)
{
    pools_look(s, false);
}

void session_pools_give(Session *s)
{
    pools_look(s, true);
}

/* What it may grow by for @size bytes: nothing where it has as much that is free */
static bool pool_expect(Session *s, SessionPool *pool, uint64_t size)
{
    const uint64_t reserved = pool_attribute(s, pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
    const uint64_t used = pool_attribute(s, pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT);
    uint64_t grown = reserved, units;

    if (pool_above(reserved, used) < size) {
        units = size / SESSION_POOL_UNIT + (size % SESSION_POOL_UNIT > 0);
        if (__builtin_add_overflow(reserved, units * SESSION_POOL_UNIT, &grown))
            return false;
    }
    return session_memory_pool_keep(&session_store(s)->memory, pool, pool_kept(s, pool, grown),
                                    false);
}

/* The driver has put it elsewhere than expected, and the pool is larger than the quota allows: what
 * was allocated is freed again. Until the stream has come so far nothing else is allocated. */
static CUresult pool_refuse(Session *s, CUdeviceptr address, CUstream stream)
{
    (void) session_driver(s)->mem_free_async(address, stream);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult pool_call(Session *s, const SessionPool *pool, uint64_t size, CUstream stream,
                          CUdeviceptr *ret)
{
    const CudaSessionDriver *driver = session_driver(s);

    return pool->id == 0 ? driver->mem_alloc_async(ret, size, stream)
                         : driver->mem_alloc_from_pool_async(ret, size, pool->handle, stream);
}

/* With the frees' lock held: nobody looks at the pool between what is expected and what has come.
 */
static CUresult pool_try(Session *s, SessionPool *pool, uint64_t size, CUstream stream,
                         CUdeviceptr *ret)
{
    CUdeviceptr address;
    CUresult result;

    if (!pool_expect(s, pool, size))
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = pool_call(s, pool, size, stream, &address);
    pool_look(s, pool);
    if (result != CUDA_SUCCESS)
        return result;
    if (session_memory_is_above(&session_store(s)->memory))
        return pool_refuse(s, address, stream);
    *ret = address;
    return CUDA_SUCCESS;
}

CUresult session_pool_alloc(Session *s, SessionPool *pool, SessionRange *range, CUstream stream,
                            CUdeviceptr *ret)
{
    SessionStore *store = session_store(s);
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;

    session_memory_pool_take(&store->memory, pool, range);
    if (!pools_are_charged(s))
        return pool_call(s, pool, range->size, stream, ret);
    for (unsigned i = 0; i < 2 && result == CUDA_ERROR_OUT_OF_MEMORY; i++) {
        if (i > 0)
            session_frees_settle(s, range->context);
        pthread_mutex_lock(&store->frees_lock);
        result = pool_try(s, pool, range->size, stream, ret);
        pthread_mutex_unlock(&store->frees_lock);
    }
    return result;
}

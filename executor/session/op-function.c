/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-launch.h"
#include "session-store.h"

/* CUfunc_cache */
#define FUNCTION_CACHE_MAX 3

/* The caller holds the handles' lock. */
static CUresult function_find(Session *s, uint32_t id, const SessionFunction **ret)
{
    void *f;
    CUresult result = session_find(s, SESSION_FUNCTION, id, &f);

    if (result == CUDA_SUCCESS)
        *ret = f;
    return result;
}

CUresult session_op_FUNCTION_ATTRIBUTE(Session *s, SessionCall *call)
{
    const VGPUSessionFunctionSet *p = call->parameters;
    SessionStore *store = session_store(s);
    const SessionFunction *f;
    CUresult result;

    if (p->attribute >= VGPU_SESSION_FUNCTION_ATTRIBUTES)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&store->handles);
    result = function_find(s, p->function, &f);
    if (result == CUDA_SUCCESS)
        result = session_driver(s)->func_set_attribute(f->handle, (int) p->attribute, p->value);
    pthread_mutex_unlock(&store->handles);
    return result;
}

CUresult session_op_FUNCTION_CACHE(Session *s, SessionCall *call)
{
    const VGPUSessionFunctionSet *p = call->parameters;
    SessionStore *store = session_store(s);
    const SessionFunction *f;
    CUresult result;

    if (p->value < 0 || p->value > FUNCTION_CACHE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&store->handles);
    result = function_find(s, p->function, &f);
    if (result == CUDA_SUCCESS)
        result = session_driver(s)->func_set_cache_config(f->handle, p->value);
    pthread_mutex_unlock(&store->handles);
    return result;
}

/* ---- Occupancy ------------------------------------------------------------------------------ */

static bool function_block_size(const VGPUSessionLaunch *p, int *ret)
{
    const uint64_t area = (uint64_t) p->block[0] * p->block[1];

    /* An area below 2^31 times a number below 2^32 does not wrap around. */
    if (area > INT32_MAX || area * p->block[2] > INT32_MAX)
        return false;
    *ret = (int) (area * p->block[2]);
    return true;
}

static CUresult function_occupancy(const CudaSessionDriver *driver, const VGPUSessionLaunch *p,
                                   const SessionFunction *f, const CUlaunchConfig *config,
                                   uint64_t *ret)
{
    size_t shared_bytes = 0;
    int block, n = 0;
    CUresult result;

    if (!function_block_size(p, &block) || p->grid[0] > INT32_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    switch (p->what) {
    case VGPU_OCCUPANCY_BLOCKS:
        result = driver->occupancy_blocks(&n, f->handle, block, p->shared_bytes, p->flags);
        *ret = (uint64_t) n;
        return result;
    case VGPU_OCCUPANCY_SHARED:
        result = driver->occupancy_shared(&shared_bytes, f->handle, (int) p->grid[0], block);
        *ret = shared_bytes;
        return result;
    case VGPU_OCCUPANCY_CLUSTERS:
        result = driver->occupancy_clusters(&n, f->handle, config);
        *ret = (uint64_t) n;
        return result;
    case VGPU_OCCUPANCY_CLUSTER_SIZE:
        result = driver->occupancy_cluster_size(&n, f->handle, config);
        *ret = (uint64_t) n;
        return result;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult session_op_OCCUPANCY(Session *s, SessionCall *call)
{
    const VGPUSessionLaunch *p = call->parameters;
    CUlaunchAttribute attributes[SESSION_LAUNCH_ATTRIBUTES];
    SessionStore *store = session_store(s);
    CUlaunchConfig config;
    const SessionFunction *f;
    CUresult result;

    if (p->parameters_size != 0)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_launch_config(s, call, &config, attributes);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&store->handles);
    result = function_find(s, p->function, &f);
    if (result == CUDA_SUCCESS)
        result = function_occupancy(session_driver(s), p, f, &config, &call->value[0]);
    pthread_mutex_unlock(&store->handles);
    return result;
}

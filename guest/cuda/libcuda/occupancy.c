/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many blocks of a kernel the device runs at once: the driver knows, and is asked. */
#include <string.h>

#include "launch.h"

static CUresult occupancy_ask(const LibCall *call, const VGPUSessionLaunch *question,
                              const VGPUSessionLaunchAttribute *attributes, uint64_t *ret)
{
    VGPUSessionReply reply;
    CUresult r = vgpu_session_call(call->session, VGPU_SESSION_OP_OCCUPANCY, &call->from, question,
                                   sizeof(*question), attributes,
                                   question->n_attributes * sizeof(*attributes), &reply);

    if (r == CUDA_SUCCESS)
        *ret = reply.value[0];
    else
        libcuda_log("occupancy %u, block %u: %d", question->what, question->block[0], r);
    return r;
}

/* ---- Blocks ------------------------------------------------------------------------------------
 */

static CUresult occupancy_ask_blocks(const LibCall *call, const LibFunction *function,
                                     FunctionOccupancy *o)
{
    const VGPUSessionLaunch question = {
        .function = function->number,
        .grid = {1, 1, 1},
        .block = {(unsigned) o->block_size, 1, 1},
        .shared_bytes = (uint32_t) o->shared_bytes,
        .what = VGPU_OCCUPANCY_BLOCKS,
        .flags = o->flags,
    };
    uint64_t value;
    CUresult r = occupancy_ask(call, &question, NULL, &value);

    if (r == CUDA_SUCCESS)
        o->blocks = (int) value;
    return r;
}

/* Under the module's lock; -1: not known */
static int occupancy_known(const LibFunction *function, const FunctionOccupancy *o)
{
    for (unsigned i = 0; i < function->n_occupancy && i < FUNCTION_OCCUPANCY_MAX; i++) {
        const FunctionOccupancy *known = &function->occupancy[i];

        if (known->block_size == o->block_size && known->shared_bytes == o->shared_bytes &&
            known->flags == o->flags)
            return known->blocks;
    }
    return -1;
}

CUresult occupancy_blocks(const LibCall *call, LibFunction *function, int block_size,
                          size_t shared_bytes, unsigned flags, int *ret)
{
    FunctionOccupancy o = {.block_size = block_size, .shared_bytes = shared_bytes, .flags = flags};
    pthread_mutex_t *lock = &function->module->lock;
    CUresult r;

    if (block_size <= 0 || shared_bytes > UINT32_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(lock);
    *ret = occupancy_known(function, &o);
    pthread_mutex_unlock(lock);
    if (*ret >= 0)
        return CUDA_SUCCESS;
    r = occupancy_ask_blocks(call, function, &o);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(lock);
    function->occupancy[function->n_occupancy++ % FUNCTION_OCCUPANCY_MAX] = o;
    pthread_mutex_unlock(lock);
    *ret = o.blocks;
    return CUDA_SUCCESS;
}

void occupancy_forget(LibFunction *function)
{
    pthread_mutex_lock(&function->module->lock);
    function->n_occupancy = 0;
    pthread_mutex_unlock(&function->module->lock);
}

static CUresult occupancy_enter(CUfunction handle, LibCall *call, LibFunction **ret)
{
    CUresult r = libcuda_enter_context(call);

    return r == CUDA_SUCCESS ? function_of(call, handle, ret) : r;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction handle,
                                                              int block_size, size_t shared_bytes,
                                                              unsigned flags)
{
    LibFunction *function;
    LibCall call;
    int value;
    CUresult r;

    if (!blocks)
        return CUDA_ERROR_INVALID_VALUE;
    r = occupancy_enter(handle, &call, &function);
    if (r == CUDA_SUCCESS)
        r = occupancy_blocks(&call, function, block_size, shared_bytes, flags, &value);
    if (r == CUDA_SUCCESS)
        *blocks = value;
    return r;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function,
                                                     int block_size, size_t shared_bytes)
{
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size,
                                                                shared_bytes, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, CUfunction handle, int blocks,
                                                 int block_size)
{
    VGPUSessionLaunch question = {
        .grid = {(unsigned) blocks, 1, 1},
        .block = {(unsigned) block_size, 1, 1},
        .what = VGPU_OCCUPANCY_SHARED,
    };
    LibFunction *function;
    LibCall call;
    uint64_t value;
    CUresult r;

    if (!bytes || blocks <= 0 || block_size <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = occupancy_enter(handle, &call, &function);
    if (r != CUDA_SUCCESS)
        return r;
    question.function = function->number;
    r = occupancy_ask(&call, &question, NULL, &value);
    if (r == CUDA_SUCCESS)
        *bytes = value;
    return r;
}

/* How blocks lie, and not when they run or what they record */
static bool occupancy_depends_on(int attribute)
{
    return attribute == LAUNCH_COOPERATIVE || attribute == LAUNCH_CLUSTER_DIMENSION ||
           attribute == LAUNCH_CLUSTER_SCHEDULING_POLICY ||
           attribute == LAUNCH_PREFERRED_CLUSTER_DIMENSION || attribute == LAUNCH_SHARED_CARVEOUT;
}

static CUresult occupancy_of_clusters(int *ret, CUfunction handle, const LaunchConfig *config,
                                      uint32_t what)
{
    VGPUSessionLaunchAttribute attributes[VGPU_SESSION_LAUNCH_ATTRIBUTES];
    VGPUSessionLaunch question;
    LibFunction *function;
    LibCall call;
    uint64_t value;
    CUresult r = occupancy_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !config || config->n_attributes > VGPU_SESSION_LAUNCH_ATTRIBUTES ||
        (config->n_attributes > 0 && !config->attributes))
        return CUDA_ERROR_INVALID_VALUE;
    question = (VGPUSessionLaunch){
        .function = function->number,
        .grid = {config->grid_x, config->grid_y, config->grid_z},
        .block = {config->block_x, config->block_y, config->block_z},
        .shared_bytes = config->shared_bytes,
        .what = what,
    };
    for (unsigned i = 0; i < config->n_attributes; i++) {
        const LaunchAttribute *from = &config->attributes[i];
        VGPUSessionLaunchAttribute *to = &attributes[question.n_attributes];

        if (!occupancy_depends_on(from->id))
            continue;
        *to = (VGPUSessionLaunchAttribute){.id = (uint32_t) from->id};
        memcpy(to->value, from->value, sizeof(to->value));
        question.n_attributes++;
    }
    r = occupancy_ask(&call, &question, attributes, &value);
    if (r == CUDA_SUCCESS)
        *ret = (int) value;
    return r;
}

CUresult cuOccupancyMaxActiveClusters(int *ret, CUfunction function, const LaunchConfig *config)
{
    return occupancy_of_clusters(ret, function, config, VGPU_OCCUPANCY_CLUSTERS);
}

CUresult cuOccupancyMaxPotentialClusterSize(int *ret, CUfunction function,
                                            const LaunchConfig *config)
{
    return occupancy_of_clusters(ret, function, config, VGPU_OCCUPANCY_CLUSTER_SIZE);
}

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

static CUresult occupancy_of_block(CUfunction handle, VGPUSessionLaunch *question, uint64_t *ret)
{
    LibFunction *function;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r == CUDA_SUCCESS)
        r = function_of(&call, handle, &function);
    if (r != CUDA_SUCCESS)
        return r;
    question->function = function->number;
    return occupancy_ask(&call, question, NULL, ret);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction function,
                                                              int block_size, size_t shared_bytes,
                                                              unsigned flags)
{
    VGPUSessionLaunch question = {
        .grid = {1, 1, 1},
        .block = {(unsigned) block_size, 1, 1},
        .shared_bytes = (uint32_t) shared_bytes,
        .what = VGPU_OCCUPANCY_BLOCKS,
        .flags = flags,
    };
    uint64_t value;
    CUresult r;

    if (!blocks || block_size <= 0 || shared_bytes > UINT32_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    r = occupancy_of_block(function, &question, &value);
    if (r == CUDA_SUCCESS)
        *blocks = (int) value;
    return r;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function,
                                                     int block_size, size_t shared_bytes)
{
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size,
                                                                shared_bytes, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, CUfunction function, int blocks,
                                                 int block_size)
{
    VGPUSessionLaunch question = {
        .grid = {(unsigned) blocks, 1, 1},
        .block = {(unsigned) block_size, 1, 1},
        .what = VGPU_OCCUPANCY_SHARED,
    };
    uint64_t value;
    CUresult r;

    if (!bytes || blocks <= 0 || block_size <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = occupancy_of_block(function, &question, &value);
    if (r == CUDA_SUCCESS)
        *bytes = value;
    return r;
}

static CUresult occupancy_of_clusters(int *ret, CUfunction handle, const LaunchConfig *config,
                                      uint32_t what)
{
    VGPUSessionLaunchAttribute attributes[VGPU_SESSION_LAUNCH_ATTRIBUTES];
    VGPUSessionLaunch question;
    LibFunction *function;
    LibCall call;
    uint64_t value;
    CUresult r = libcuda_enter_context(&call);

    if (r == CUDA_SUCCESS)
        r = function_of(&call, handle, &function);
    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !config || config->n_attributes > VGPU_SESSION_LAUNCH_ATTRIBUTES)
        return CUDA_ERROR_INVALID_VALUE;
    question = (VGPUSessionLaunch){
        .function = function->number,
        .grid = {config->grid_x, config->grid_y, config->grid_z},
        .block = {config->block_x, config->block_y, config->block_z},
        .shared_bytes = config->shared_bytes,
        .n_attributes = config->n_attributes,
        .what = what,
    };
    for (unsigned i = 0; i < config->n_attributes; i++) {
        attributes[i] = (VGPUSessionLaunchAttribute){.id = (uint32_t) config->attributes[i].id};
        memcpy(attributes[i].value, config->attributes[i].value, sizeof(attributes[i].value));
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which size of blocks fills the device best. The driver is asked about one size after the other;
 * what shared memory a size needs, the program may say. */
#include "launch.h"

/* CUdevice_attribute, CUfunction_attribute */
enum {
    BLOCK_MAX_THREADS = 1,
    BLOCK_WARP = 10,
    BLOCK_MULTIPROCESSORS = 16,
    BLOCK_THREADS_OF_MULTIPROCESSOR = 39,
    BLOCK_FUNCTION_MAX_THREADS = 0,
};

typedef struct BlockChoice {
    CUoccupancyB2DSize shared_of_block; /* or NULL */
    size_t shared_bytes;
    unsigned flags;
    int size, blocks; /* the best so far */
} BlockChoice;

static int block_device(int attribute)
{
    return libcuda_process.device.attribute[attribute].value;
}

static int block_smaller(int a, int b)
{
    return a < b ? a : b;
}

static CUresult block_try(const LibCall *call, LibFunction *function, int size, BlockChoice *choice)
{
    size_t shared_bytes = choice->shared_bytes;
    int blocks;
    CUresult r;

    if (choice->shared_of_block)
        shared_bytes = choice->shared_of_block(size);
    r = occupancy_blocks(call, function, size, shared_bytes, choice->flags, &blocks);
    if (r == CUDA_SUCCESS && blocks * size > choice->blocks * choice->size) {
        choice->blocks = blocks;
        choice->size = size;
    }
    return r;
}

/* From the largest size down, in whole warps. Of two that are as good, the larger */
static CUresult block_choose(const LibCall *call, LibFunction *function, int limit,
                             BlockChoice *choice)
{
    const int warp = block_device(BLOCK_WARP);
    int largest = block_smaller(function->info->attribute[BLOCK_FUNCTION_MAX_THREADS].value,
                                block_device(BLOCK_MAX_THREADS));
    CUresult r = CUDA_SUCCESS;

    if (limit > 0)
        largest = block_smaller(largest, limit);
    for (int size = (largest + warp - 1) / warp * warp; r == CUDA_SUCCESS && size > 0;
         size -= warp) {
        r = block_try(call, function, block_smaller(size, largest), choice);
        if (choice->blocks * choice->size >= block_device(BLOCK_THREADS_OF_MULTIPROCESSOR))
            break;
    }
    return r;
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int *min_grid, int *block, CUfunction handle,
                                                   CUoccupancyB2DSize shared_of_block,
                                                   size_t shared_bytes, int block_limit,
                                                   unsigned flags)
{
    BlockChoice choice = {
        .shared_of_block = shared_of_block,
        .shared_bytes = shared_bytes,
        .flags = flags,
    };
    LibFunction *function;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r == CUDA_SUCCESS)
        r = function_of(&call, handle, &function);
    if (r != CUDA_SUCCESS)
        return r;
    if (!min_grid || !block || block_limit < 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = block_choose(&call, function, block_limit, &choice);
    if (r != CUDA_SUCCESS)
        return r;
    *min_grid = choice.blocks * block_device(BLOCK_MULTIPROCESSORS);
    *block = choice.size;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialBlockSize(int *min_grid, int *block, CUfunction function,
                                          CUoccupancyB2DSize shared_of_block, size_t shared_bytes,
                                          int block_limit)
{
    return cuOccupancyMaxPotentialBlockSizeWithFlags(min_grid, block, function, shared_of_block,
                                                     shared_bytes, block_limit, 0);
}

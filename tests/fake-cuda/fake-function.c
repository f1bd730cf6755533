/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attributes of functions, and how many blocks of one a multiprocessor holds */
#include "fake-module.h"

#include <string.h>

enum {
    FUNCTION_MAX_THREADS = 0,
    FUNCTION_SHARED_BYTES = 1,
    FUNCTION_CONST_BYTES = 2,
    FUNCTION_LOCAL_BYTES = 3,
    FUNCTION_REGISTERS = 4,
    FUNCTION_PTX_VERSION = 5,
    FUNCTION_BINARY_VERSION = 6,
    FUNCTION_CACHE_MODE_CA = 7,
    FUNCTION_MAX_DYNAMIC_SHARED = 8,
    FUNCTION_CARVEOUT = 9,
    FUNCTION_CLUSTER_MUST_BE_SET = 10,
    FUNCTION_CLUSTER_WIDTH = 11,
    FUNCTION_CLUSTER_HEIGHT = 12,
    FUNCTION_CLUSTER_DEPTH = 13,
    FUNCTION_CLUSTER_NON_PORTABLE = 14,
    FUNCTION_CLUSTER_POLICY = 15,
};

#define BLOCKS_MAX 32 /* of a multiprocessor */
#define THREADS_OF_MULTIPROCESSOR 2048
#define WARP 32
#define CLUSTER_PORTABLE_MAX 8
#define CLUSTER_MAX 16
#define CACHE_CONFIGS 4

unsigned fake_function_threads_max(const struct CUfunc_st *f)
{
    return f->kernel->max_threads ? (unsigned) f->kernel->max_threads : FAKE_THREADS_MAX;
}

CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction function)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    const struct CUfunc_st *f = function;

    fake_object_check(f, FAKE_KIND_FUNCTION, __func__);
    const int values[] = {
        [FUNCTION_MAX_THREADS] = (int) fake_function_threads_max(f),
        [FUNCTION_SHARED_BYTES] = f->kernel->shared_bytes,
        [FUNCTION_CONST_BYTES] = 0,
        [FUNCTION_LOCAL_BYTES] = f->kernel->local_bytes,
        [FUNCTION_REGISTERS] = f->kernel->registers,
        [FUNCTION_PTX_VERSION] = 75,
        [FUNCTION_BINARY_VERSION] = 90,
        [FUNCTION_CACHE_MODE_CA] = 0,
        [FUNCTION_MAX_DYNAMIC_SHARED] = f->max_dynamic_shared,
        [FUNCTION_CARVEOUT] = f->carveout,
        [FUNCTION_CLUSTER_MUST_BE_SET] = f->cluster_must_be_set,
        [FUNCTION_CLUSTER_WIDTH] = f->cluster[0],
        [FUNCTION_CLUSTER_HEIGHT] = f->cluster[1],
        [FUNCTION_CLUSTER_DEPTH] = f->cluster[2],
        [FUNCTION_CLUSTER_NON_PORTABLE] = f->cluster_non_portable,
        [FUNCTION_CLUSTER_POLICY] = f->cluster_policy,
    };

    if (attribute < 0 || attribute > FUNCTION_CLUSTER_POLICY)
        return CUDA_ERROR_INVALID_VALUE;
    *value = values[attribute];
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUfunction f = function;

    fake_object_check(f, FAKE_KIND_FUNCTION, __func__);
    switch (attribute) {
    case FUNCTION_MAX_DYNAMIC_SHARED:
        if (value < 0 || value > (int) FAKE_SHARED_OPTIN_MAX - f->kernel->shared_bytes)
            return CUDA_ERROR_INVALID_VALUE;
        f->max_dynamic_shared = value;
        return CUDA_SUCCESS;
    case FUNCTION_CARVEOUT:
        if (value < -1 || value > 100)
            return CUDA_ERROR_INVALID_VALUE;
        f->carveout = value;
        return CUDA_SUCCESS;
    case FUNCTION_CLUSTER_WIDTH:
    case FUNCTION_CLUSTER_HEIGHT:
    case FUNCTION_CLUSTER_DEPTH:
        if (value < 0 || value > CLUSTER_MAX)
            return CUDA_ERROR_INVALID_VALUE;
        f->cluster[attribute - FUNCTION_CLUSTER_WIDTH] = value;
        return CUDA_SUCCESS;
    case FUNCTION_CLUSTER_NON_PORTABLE:
        f->cluster_non_portable = value != 0;
        return CUDA_SUCCESS;
    case FUNCTION_CLUSTER_POLICY:
        f->cluster_policy = value;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuFuncSetCacheConfig(CUfunction function, int config)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(function, FAKE_KIND_FUNCTION, __func__);
    return config >= 0 && config < CACHE_CONFIGS ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- Occupancy -------------------------------------------------------------------- */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

int fake_function_blocks(const struct CUfunc_st *f, unsigned block_size, size_t shared_bytes)
{
    int threads = (int) ((block_size + WARP - 1) / WARP * WARP);
    size_t shared = shared_bytes + (size_t) f->kernel->shared_bytes + FAKE_SHARED_RESERVED;
    int n = smaller(BLOCKS_MAX, THREADS_OF_MULTIPROCESSOR / threads);

    if (shared > FAKE_SHARED_OF_MULTIPROCESSOR)
        return 0;
    n = smaller(n, (int) FAKE_REGISTERS / (f->kernel->registers * threads));
    return smaller(n, (int) (FAKE_SHARED_OF_MULTIPROCESSOR / shared));
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction function,
                                                              int block_size, size_t shared_bytes,
                                                              unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(function, FAKE_KIND_FUNCTION, __func__);
    if (block_size <= 0 || block_size > (int) FAKE_THREADS_MAX || flags > 1)
        return CUDA_ERROR_INVALID_VALUE;
    *blocks = fake_function_blocks(function, (unsigned) block_size, shared_bytes);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t *shared_bytes, CUfunction function,
                                                 int blocks, int block_size)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    size_t each, own;

    fake_object_check(function, FAKE_KIND_FUNCTION, __func__);
    if (blocks <= 0 || block_size <= 0 || block_size > (int) FAKE_THREADS_MAX ||
        blocks > fake_function_blocks(function, (unsigned) block_size, 0))
        return CUDA_ERROR_INVALID_VALUE;
    each = FAKE_SHARED_OF_MULTIPROCESSOR / (size_t) blocks;
    own = FAKE_SHARED_RESERVED + (size_t) function->kernel->shared_bytes;
    *shared_bytes = each > own ? each - own : 0;
    return CUDA_SUCCESS;
}

/* Blocks of a cluster; 0: more than there may be */
static unsigned cluster_size(const struct CUfunc_st *f, const CUlaunchConfig *config)
{
    unsigned dimension[3] = {1, 1, 1}, max;

    for (unsigned i = 0; i < config->n_attributes; i++)
        if (config->attributes[i].id == FAKE_LAUNCH_CLUSTER)
            memcpy(dimension, config->attributes[i].value, sizeof(dimension));
    max = f->cluster_non_portable ? CLUSTER_MAX : CLUSTER_PORTABLE_MAX;
    for (size_t i = 0; i < 3; i++)
        if (dimension[i] == 0 || dimension[i] > max)
            return 0;
    return dimension[0] * dimension[1] * dimension[2] <= max
               ? dimension[0] * dimension[1] * dimension[2]
               : 0;
}

CUresult fake_function_clusters(const struct CUfunc_st *f, const CUlaunchConfig *config,
                                unsigned *ret_size)
{
    *ret_size = cluster_size(f, config);
    return *ret_size > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CLUSTER_SIZE;
}

static unsigned block_size_of(const CUlaunchConfig *c)
{
    if (c->block_x > FAKE_THREADS_MAX || c->block_y > FAKE_THREADS_MAX || c->block_z > 64)
        return 0;
    return c->block_x * c->block_y * c->block_z;
}

CUresult cuOccupancyMaxActiveClusters(int *clusters, CUfunction function,
                                      const CUlaunchConfig *config)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    unsigned size, block_size = block_size_of(config);
    CUresult r;

    fake_object_check(function, FAKE_KIND_FUNCTION, __func__);
    if (block_size == 0 || block_size > FAKE_THREADS_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    r = fake_function_clusters(function, config, &size);
    if (r != CUDA_SUCCESS)
        return r;
    *clusters = FAKE_MULTIPROCESSORS *
                fake_function_blocks(function, block_size, config->shared_bytes) / (int) size;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialClusterSize(int *size, CUfunction function,
                                            const CUlaunchConfig *config)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    unsigned block_size = block_size_of(config);

    fake_object_check(function, FAKE_KIND_FUNCTION, __func__);
    if (block_size == 0 || block_size > FAKE_THREADS_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    *size = function->cluster_non_portable ? CLUSTER_MAX : CLUSTER_PORTABLE_MAX;
    return CUDA_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Launches: a record in the ring, and back to the program. What the driver refuses at the call is
 * refused here, from what is known of the function and the device; what shows only later comes with
 * a later call.
 */
#include "launch.h"

#include <string.h>

/* CUdevice_attribute */
enum {
    MAX_THREADS_PER_BLOCK = 1,
    MAX_BLOCK_DIM_X = 2,
    MAX_GRID_DIM_X = 5,
    MULTIPROCESSORS = 16,
};

/* CUfunction_attribute */
enum {
    FUNCTION_MAX_THREADS = 0,
    FUNCTION_MAX_DYNAMIC_SHARED = 8,
};

/* CU_LAUNCH_PARAM_* of the array @extra */
#define LAUNCH_EXTRA_END ((void *) 0)
#define LAUNCH_EXTRA_POINTER ((void *) 1)
#define LAUNCH_EXTRA_SIZE ((void *) 2)

static int launch_limit(unsigned attribute)
{
    return libcuda_process.device.attribute[attribute].value;
}

CUresult launch_check(const LibFunction *function, const LaunchConfig *config)
{
    const VGPUSessionFunction *info = function->info;
    const unsigned grid[3] = {config->grid_x, config->grid_y, config->grid_z};
    const unsigned block[3] = {config->block_x, config->block_y, config->block_z};
    uint64_t threads = 1;

    for (unsigned i = 0; i < 3; i++) {
        if (grid[i] == 0 || block[i] == 0 ||
            grid[i] > (unsigned) launch_limit(MAX_GRID_DIM_X + i) ||
            block[i] > (unsigned) launch_limit(MAX_BLOCK_DIM_X + i))
            return CUDA_ERROR_INVALID_VALUE;
        threads *= block[i];
    }
    if (threads > (uint64_t) launch_limit(MAX_THREADS_PER_BLOCK) ||
        config->shared_bytes > (unsigned) info->attribute[FUNCTION_MAX_DYNAMIC_SHARED].value)
        return CUDA_ERROR_INVALID_VALUE;
    return threads > (uint64_t) info->attribute[FUNCTION_MAX_THREADS].value
               ? CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
               : CUDA_SUCCESS;
}

/* All blocks of a cooperative launch run at the same time. */
static CUresult launch_check_cooperative(const LibCall *call, LibFunction *function,
                                         const LaunchConfig *config)
{
    const uint64_t blocks = (uint64_t) config->grid_x * config->grid_y * config->grid_z;
    const int threads = (int) (config->block_x * config->block_y * config->block_z);
    int each;
    CUresult r = occupancy_blocks(call, function, threads, config->shared_bytes, 0, &each);

    if (r != CUDA_SUCCESS)
        return r;
    return blocks > (uint64_t) each * (unsigned) launch_limit(MULTIPROCESSORS)
               ? CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE
               : CUDA_SUCCESS;
}

/* ---- Parameters --------------------------------------------------------------------------------
 */

/* A struct with all parameters in it may be longer than these. */
static CUresult launch_read_extra(const VGPUSessionFunction *info, void **extra,
                                  LaunchParameters *ret)
{
    size_t size = 0;

    for (; extra[0] != LAUNCH_EXTRA_END; extra += 2) {
        if (extra[0] == LAUNCH_EXTRA_POINTER)
            ret->packed = extra[1];
        else if (extra[0] == LAUNCH_EXTRA_SIZE && extra[1])
            size = *(const size_t *) extra[1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    return size < info->parameters_size || (info->parameters_size > 0 && !ret->packed)
               ? CUDA_ERROR_INVALID_VALUE
               : CUDA_SUCCESS;
}

CUresult launch_read(const LibFunction *function, void **each, void **extra, LaunchParameters *ret)
{
    const VGPUSessionFunction *info = function->info;

    *ret = (LaunchParameters){.each = each};
    if (each && extra)
        return CUDA_ERROR_INVALID_VALUE;
    if (extra)
        return launch_read_extra(info, extra, ret);
    if (info->n_parameters > 0 && !each)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < info->n_parameters; i++)
        if (!each[i])
            return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

void launch_pack(const VGPUSessionFunction *info, const LaunchParameters *p, unsigned char *to)
{
    uint32_t end = 0;

    if (!p->each) {
        if (info->parameters_size > 0)
            memcpy(to, p->packed, info->parameters_size);
        return;
    }
    for (uint32_t i = 0; i < info->n_parameters; i++) {
        const VGPUSessionParameter *parameter = &info->parameter[i];

        if (parameter->offset > end)
            memset(to + end, 0, parameter->offset - end);
        memcpy(to + parameter->offset, p->each[i], parameter->size);
        end = parameter->offset + parameter->size;
    }
}

/* ---- The launch --------------------------------------------------------------------------------
 */

static VGPUSessionLaunch launch_fill(const LibFunction *function, const LaunchConfig *config,
                                     const LibStream *stream, const LaunchAttributes *attributes)
{
    return (VGPUSessionLaunch){
        .function = function->number,
        .stream = stream->number,
        .grid = {config->grid_x, config->grid_y, config->grid_z},
        .block = {config->block_x, config->block_y, config->block_z},
        .shared_bytes = config->shared_bytes,
        .n_attributes = attributes->n,
        .parameters_size = function->info->parameters_size,
    };
}

static CUresult launch_post(const LibCall *call, const VGPUSessionLaunch *launch,
                            const LaunchAttributes *attributes, const VGPUSessionFunction *info,
                            const LaunchParameters *parameters)
{
    const size_t more = attributes->n * sizeof(attributes->attribute[0]);
    void *to;
    CUresult r = vgpu_session_begin(call->session, VGPU_SESSION_OP_LAUNCH, &call->from,
                                    sizeof(*launch) + more + info->parameters_size, &to);

    if (r != CUDA_SUCCESS)
        return r;
    memcpy(to, launch, sizeof(*launch));
    memcpy((unsigned char *) to + sizeof(*launch), attributes->attribute, more);
    launch_pack(info, parameters, (unsigned char *) to + sizeof(*launch) + more);
    vgpu_session_commit(call->session);
    return CUDA_SUCCESS;
}

static CUresult launch_record(const LibCall *call, const LaunchAttributes *attributes,
                              LibStream *stream)
{
    CUresult r = CUDA_SUCCESS;

    for (unsigned i = 0; i < 2 && r == CUDA_SUCCESS; i++)
        if (attributes->recorded[i])
            r = event_recorded(call, attributes->recorded[i], stream);
    return r;
}

static CUresult launch_begin(CUfunction handle, const LaunchConfig *config, LibCall *call,
                             LibStream **stream, LibFunction **function)
{
    CUresult r = libcuda_enter_work(config->stream, call, stream);

    if (r == CUDA_SUCCESS)
        r = function_of(call, handle, function);
    if (r == CUDA_SUCCESS && (*function)->module->context != call->context)
        r = CUDA_ERROR_INVALID_HANDLE;
    return r == CUDA_SUCCESS ? launch_check(*function, config) : r;
}

static CUresult launch(CUfunction handle, const LaunchConfig *config, bool is_cooperative,
                       void **each, void **extra)
{
    LaunchParameters parameters;
    LaunchAttributes attributes;
    VGPUSessionLaunch record;
    LibFunction *function;
    LibStream *stream;
    LibCall call;
    CUresult r = launch_begin(handle, config, &call, &stream, &function);

    if (r == CUDA_SUCCESS)
        r = launch_read(function, each, extra, &parameters);
    if (r == CUDA_SUCCESS)
        r = launch_attributes_read(function, config, &attributes);
    if (r == CUDA_SUCCESS && (is_cooperative || attributes.is_cooperative))
        r = launch_check_cooperative(&call, function, config);
    if (r != CUDA_SUCCESS) {
        libcuda_log("a launch of %u threads, %u bytes: %d", config->block_x, config->shared_bytes,
                    r);
        return r;
    }
    record = launch_fill(function, config, stream, &attributes);
    record.flags = is_cooperative;
    libcuda_stream_worked(stream);
    r = launch_post(&call, &record, &attributes, function->info, &parameters);
    return r == CUDA_SUCCESS ? launch_record(&call, &attributes, stream) : r;
}

/* ---- The functions -----------------------------------------------------------------------------
 */

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                        CUstream stream, void **parameters, void **extra)
{
    const LaunchConfig config = {
        .grid_x = grid_x,
        .grid_y = grid_y,
        .grid_z = grid_z,
        .block_x = block_x,
        .block_y = block_y,
        .block_z = block_z,
        .shared_bytes = shared_bytes,
        .stream = stream,
    };

    return launch(function, &config, false, parameters, extra);
}

CUresult cuLaunchKernel_ptsz(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                             unsigned block_x, unsigned block_y, unsigned block_z,
                             unsigned shared_bytes, CUstream stream, void **parameters,
                             void **extra)
{
    return cuLaunchKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes,
                          libcuda_per_thread(stream), parameters, extra);
}

CUresult cuLaunchKernelEx(const LaunchConfig *config, CUfunction function, void **parameters,
                          void **extra)
{
    return config ? launch(function, config, false, parameters, extra) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuLaunchKernelEx_ptsz(const LaunchConfig *config, CUfunction function, void **parameters,
                               void **extra)
{
    LaunchConfig own;

    if (!config)
        return CUDA_ERROR_INVALID_VALUE;
    own = *config;
    own.stream = libcuda_per_thread(config->stream);
    return launch(function, &own, false, parameters, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned grid_x, unsigned grid_y,
                                   unsigned grid_z, unsigned block_x, unsigned block_y,
                                   unsigned block_z, unsigned shared_bytes, CUstream stream,
                                   void **parameters)
{
    const LaunchConfig config = {
        .grid_x = grid_x,
        .grid_y = grid_y,
        .grid_z = grid_z,
        .block_x = block_x,
        .block_y = block_y,
        .block_z = block_z,
        .shared_bytes = shared_bytes,
        .stream = stream,
    };

    return launch(function, &config, true, parameters, NULL);
}

CUresult cuLaunchCooperativeKernel_ptsz(CUfunction function, unsigned grid_x, unsigned grid_y,
                                        unsigned grid_z, unsigned block_x, unsigned block_y,
                                        unsigned block_z, unsigned shared_bytes, CUstream stream,
                                        void **parameters)
{
    return cuLaunchCooperativeKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,
                                     shared_bytes, libcuda_per_thread(stream), parameters);
}

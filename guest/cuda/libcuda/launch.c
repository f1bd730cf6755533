/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Launches: a record in the ring, and back to the program. What the driver refuses at the call is
 * refused here, from what is known of the function and the device; what shows only later comes with
 * a later call.
 */
#include "launch.h"

#include <string.h>

#include "event.h"

/* CUdevice_attribute */
enum {
    MAX_THREADS_PER_BLOCK = 1,
    MAX_BLOCK_DIM_X = 2,
    MAX_GRID_DIM_X = 5,
};

/* CUfunction_attribute */
enum {
    FUNCTION_MAX_THREADS = 0,
    FUNCTION_MAX_DYNAMIC_SHARED = 8,
};

/* CUlaunchAttributeID */
enum {
    LAUNCH_COOPERATIVE = 2,
    LAUNCH_PROGRAMMATIC_EVENT = 7,
    LAUNCH_COMPLETION_EVENT = 12,
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

/* ---- Parameters --------------------------------------------------------------------------------
 */

static CUresult launch_read_extra(void **extra, LaunchParameters *ret)
{
    for (; extra && extra[0] != LAUNCH_EXTRA_END; extra += 2) {
        if (extra[0] == LAUNCH_EXTRA_POINTER)
            ret->packed = extra[1];
        else if (extra[0] == LAUNCH_EXTRA_SIZE)
            ret->packed_size = *(const size_t *) extra[1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    return ret->packed_size > VGPU_SESSION_PARAMETERS_MAX || (ret->packed_size > 0 && !ret->packed)
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
        return launch_read_extra(extra, ret);
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
        memcpy(to, p->packed, p->packed_size);
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

/* ---- Attributes --------------------------------------------------------------------------------
 */

/* Where a launch has an event in it, the program gives its handle, and the executor takes its
 * number. */
static CUresult launch_attribute(const LaunchAttribute *from, VGPUSessionLaunchAttribute *to)
{
    const LibEvent *event;
    CUevent handle;

    *to = (VGPUSessionLaunchAttribute){.id = (uint32_t) from->id};
    memcpy(to->value, from->value, sizeof(to->value));
    if (from->id != LAUNCH_PROGRAMMATIC_EVENT && from->id != LAUNCH_COMPLETION_EVENT)
        return CUDA_SUCCESS;
    memcpy(&handle, from->value, sizeof(handle));
    event = handle_object(HANDLE_EVENT, handle);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    memset(to->value, 0, sizeof(handle));
    memcpy(to->value, &event->number, sizeof(event->number));
    return CUDA_SUCCESS;
}

/* ---- The launch --------------------------------------------------------------------------------
 */

typedef struct LaunchRecord {
    VGPUSessionLaunch launch;
    VGPUSessionLaunchAttribute attribute[VGPU_SESSION_LAUNCH_ATTRIBUTES];
} LaunchRecord;

static CUresult launch_fill(const LibFunction *function, const LaunchConfig *config,
                            const LibStream *stream, bool is_cooperative, LaunchRecord *ret)
{
    CUresult r = CUDA_SUCCESS;

    if (config->n_attributes > VGPU_SESSION_LAUNCH_ATTRIBUTES ||
        (config->n_attributes > 0 && !config->attributes))
        return CUDA_ERROR_INVALID_VALUE;
    ret->launch = (VGPUSessionLaunch){
        .function = function->number,
        .stream = stream->number,
        .grid = {config->grid_x, config->grid_y, config->grid_z},
        .block = {config->block_x, config->block_y, config->block_z},
        .shared_bytes = config->shared_bytes,
        .n_attributes = config->n_attributes,
        .flags = is_cooperative,
    };
    for (unsigned i = 0; i < config->n_attributes && r == CUDA_SUCCESS; i++)
        r = launch_attribute(&config->attributes[i], &ret->attribute[i]);
    return r;
}

static CUresult launch_post(const LibCall *call, LaunchRecord *record,
                            const VGPUSessionFunction *info, const LaunchParameters *parameters)
{
    const size_t fixed =
        sizeof(record->launch) + record->launch.n_attributes * sizeof(record->attribute[0]);
    const size_t size =
        parameters->each || !parameters->packed ? info->parameters_size : parameters->packed_size;
    void *to;
    CUresult r;

    record->launch.parameters_size = (uint32_t) size;
    r = vgpu_session_begin(call->session, VGPU_SESSION_OP_LAUNCH, &call->from, fixed + size, &to);
    if (r != CUDA_SUCCESS)
        return r;
    memcpy(to, record, fixed);
    launch_pack(info, parameters, (unsigned char *) to + fixed);
    vgpu_session_commit(call->session);
    return CUDA_SUCCESS;
}

static CUresult launch(CUfunction handle, const LaunchConfig *config, bool is_cooperative,
                       void **each, void **extra)
{
    LaunchParameters parameters;
    LaunchRecord record;
    LibFunction *function;
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_stream(config->stream, &call, &stream);

    if (r == CUDA_SUCCESS)
        r = function_of(&call, handle, &function);
    if (r == CUDA_SUCCESS && function->module->context != call.context)
        r = CUDA_ERROR_INVALID_HANDLE;
    if (r == CUDA_SUCCESS)
        r = launch_check(function, config);
    if (r == CUDA_SUCCESS)
        r = launch_read(function, each, extra, &parameters);
    if (r == CUDA_SUCCESS)
        r = launch_fill(function, config, stream, is_cooperative, &record);
    if (r != CUDA_SUCCESS) {
        libcuda_log("a launch of %u threads, %u bytes: %d", config->block_x, config->shared_bytes,
                    r);
        return r;
    }
    libcuda_stream_worked(stream);
    return launch_post(&call, &record, function->info, &parameters);
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

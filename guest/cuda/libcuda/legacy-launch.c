/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Launches as they were before cuLaunchKernel(): the shape and the parameters are the function's,
 * from one call to the next. */
#include <stdlib.h>
#include <string.h>

#include "launch.h"

#define LEGACY_PARAMETERS_MAX 4096u

/* CU_LAUNCH_PARAM_* */
#define LEGACY_POINTER ((void *) 1)
#define LEGACY_SIZE ((void *) 2)

/* CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_* */
#define LEGACY_COOPERATIVE_FLAGS 0x3u

CUresult cuFuncSetBlockShape(CUfunction handle, int x, int y, int z)
{
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (x <= 0 || y <= 0 || z <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    function->block[0] = (unsigned) x;
    function->block[1] = (unsigned) y;
    function->block[2] = (unsigned) z;
    return CUDA_SUCCESS;
}

CUresult cuFuncSetSharedSize(CUfunction handle, unsigned bytes)
{
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r == CUDA_SUCCESS)
        function->shared_bytes = bytes;
    return r;
}

CUresult cuParamSetSize(CUfunction handle, unsigned bytes)
{
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (bytes > LEGACY_PARAMETERS_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    function->parameters_size = bytes;
    return CUDA_SUCCESS;
}

CUresult cuParamSetv(CUfunction handle, int offset, void *from, unsigned size)
{
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (!from || offset < 0 || (unsigned) offset > LEGACY_PARAMETERS_MAX ||
        size > LEGACY_PARAMETERS_MAX - (unsigned) offset)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function->parameters)
        function->parameters = calloc(1, LEGACY_PARAMETERS_MAX);
    if (!function->parameters)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(function->parameters + offset, from, size);
    return CUDA_SUCCESS;
}

CUresult cuParamSeti(CUfunction function, int offset, unsigned value)
{
    return cuParamSetv(function, offset, &value, sizeof(value));
}

CUresult cuParamSetf(CUfunction function, int offset, float value)
{
    return cuParamSetv(function, offset, &value, sizeof(value));
}

/* ---- Launches ----------------------------------------------------------------------------------
 */

CUresult cuLaunchGridAsync(CUfunction handle, int width, int height, CUstream stream)
{
    LibFunction *function;
    LibCall call;
    size_t size;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (width <= 0 || height <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    size = function->parameters_size;
    void *extra[] = {LEGACY_POINTER, function->parameters, LEGACY_SIZE, &size, NULL};

    return cuLaunchKernel(handle, (unsigned) width, (unsigned) height, 1, function->block[0],
                          function->block[1], function->block[2], function->shared_bytes, stream,
                          NULL, extra);
}

CUresult cuLaunchGrid(CUfunction function, int width, int height)
{
    return cuLaunchGridAsync(function, width, height, NULL);
}

CUresult cuLaunch(CUfunction function)
{
    return cuLaunchGridAsync(function, 1, 1, NULL);
}

/* There is one device, and each launch is for another one. */
CUresult cuLaunchCooperativeKernelMultiDevice(LaunchParams *launches, unsigned n, unsigned flags)
{
    const LaunchParams *p = launches;

    if (!p || n != 1 || (flags & ~LEGACY_COOPERATIVE_FLAGS) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!p->stream || p->stream == CU_STREAM_LEGACY || p->stream == CU_STREAM_PER_THREAD)
        return CUDA_ERROR_INVALID_HANDLE;
    return cuLaunchCooperativeKernel(p->function, p->grid_x, p->grid_y, p->grid_z, p->block_x,
                                     p->block_y, p->block_z, p->shared_bytes, p->stream,
                                     p->parameters);
}

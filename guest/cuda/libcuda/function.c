/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of functions: asked once, when a function is looked up. */
#include "launch.h"

CUresult function_of(LibCall *call, CUfunction handle, LibFunction **ret)
{
    LibFunction *function = handle_object(HANDLE_FUNCTION, handle);
    LibKernel *kernel;

    if (function && !module_is_alive(function->module))
        return CUDA_ERROR_INVALID_HANDLE;
    if (function) {
        *ret = function;
        return CUDA_SUCCESS;
    }
    kernel = handle_object(HANDLE_KERNEL, handle);
    return kernel ? kernel_function(call, kernel, ret) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult function_enter(CUfunction handle, LibCall *call, LibFunction **ret)
{
    LibFunction *function = handle_object(HANDLE_FUNCTION, handle);
    CUresult r;

    if (!function) {
        r = libcuda_enter_context(call);
        return r == CUDA_SUCCESS ? function_of(call, handle, ret) : r;
    }
    r = libcuda_enter(call);
    if (r != CUDA_SUCCESS)
        return r;
    if (!module_is_alive(function->module))
        return CUDA_ERROR_INVALID_HANDLE;
    call->context = function->module->context;
    call->from.context = call->context->number;
    *ret = function;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction handle)
{
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (!value || attribute < 0 || (unsigned) attribute >= VGPU_SESSION_FUNCTION_ATTRIBUTES)
        return CUDA_ERROR_INVALID_VALUE;
    r = function->info->attribute[attribute].result;
    if (r != CUDA_SUCCESS)
        libcuda_log("attribute %d of %s: %d", attribute, function->name, r);
    if (r == CUDA_SUCCESS)
        *value = function->info->attribute[attribute].value;
    return r;
}

CUresult cuFuncSetAttribute(CUfunction handle, int attribute, int value)
{
    VGPUSessionFunctionSet parameters = {.attribute = (uint32_t) attribute, .value = value};
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (attribute < 0 || (unsigned) attribute >= VGPU_SESSION_FUNCTION_ATTRIBUTES)
        return CUDA_ERROR_INVALID_VALUE;
    if (function->info->attribute[attribute].result == 0 &&
        function->info->attribute[attribute].value == value)
        return CUDA_SUCCESS;
    parameters.function = function->number;
    r = libcuda_ask(&call, VGPU_SESSION_OP_FUNCTION_ATTRIBUTE, &parameters, sizeof(parameters),
                    NULL);
    if (r == CUDA_SUCCESS) {
        function->info->attribute[attribute].value = value;
        occupancy_forget(function);
    }
    return r;
}

CUresult cuFuncSetCacheConfig(CUfunction handle, int config)
{
    VGPUSessionFunctionSet parameters = {.value = config};
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (config < 0 || config > 3)
        return CUDA_ERROR_INVALID_VALUE;
    parameters.function = function->number;
    occupancy_forget(function);
    return libcuda_post(&call, VGPU_SESSION_OP_FUNCTION_CACHE, &parameters, sizeof(parameters));
}

/* A preference of devices that had banks of 4 and 8 bytes; on those that are served nothing comes
 * of it. */
CUresult cuFuncSetSharedMemConfig(CUfunction handle, int config)
{
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    return config < 0 || config > 2 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuFuncGetModule(CUmodule *module, CUfunction handle)
{
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (!module)
        return CUDA_ERROR_INVALID_VALUE;
    *module = function->module->handle;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetName(const char **name, CUfunction handle)
{
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    *name = function->name;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction handle, size_t index, size_t *offset, size_t *size)
{
    LibFunction *function;
    LibCall call;
    CUresult r = function_enter(handle, &call, &function);

    if (r != CUDA_SUCCESS)
        return r;
    if (!offset || index >= function->info->n_parameters)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = function->info->parameter[index].offset;
    if (size)
        *size = function->info->parameter[index].size;
    return CUDA_SUCCESS;
}

/* A function that was looked up is loaded. */
CUresult cuFuncLoad(CUfunction handle)
{
    LibFunction *function;
    LibCall call;

    return function_enter(handle, &call, &function);
}

CUresult cuFuncIsLoaded(int *state, CUfunction handle)
{
    enum { FUNCTION_LOADED = 1 };
    CUresult r = cuFuncLoad(handle);

    if (r != CUDA_SUCCESS)
        return r;
    if (!state)
        return CUDA_ERROR_INVALID_VALUE;
    *state = FUNCTION_LOADED;
    return CUDA_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the CUDA runtime asks for: how it loads the program's own images, and the device's context
 * before it is used. Runtimes from 12 on load them as libraries. */
#include "context.h"
#include "export-tables.h"

static CUresult runtime_load(CUmodule *ret, const void *wrapper)
{
    return cuModuleLoadData(ret, wrapper);
}

/* The handle, and nothing more: the runtime asks for each device while it counts them. */
static CUresult runtime_primary(CUcontext *ret, CUdevice device)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!libcuda_is_ready())
        return libcuda_unready();
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = libcuda_process.primary->handle;
    return CUDA_SUCCESS;
}

static CUresult runtime_load_wrapper(CUmodule *ret, const void *wrapper, void *a, void *b, size_t c)
{
    return a || b || c != 0 ? CUDA_ERROR_NOT_SUPPORTED : cuModuleLoadData(ret, wrapper);
}

static void runtime_nothing(size_t value)
{
    (void) value;
}

static CUresult runtime_load_container(const void *container, CUmodule *ret, void *a, void *b,
                                       uint32_t c)
{
    return a || b || c != 0 ? CUDA_ERROR_NOT_SUPPORTED : cuModuleLoadData(ret, container);
}

/* The compilers are the executor's. */
static CUresult runtime_load_compilers(void)
{
    return CUDA_SUCCESS;
}

const ExportWord export_runtime[13] = {
    {.size = sizeof(export_runtime)},
    EXPORT_FUNCTION(runtime_load),
    EXPORT_FUNCTION(runtime_primary),
    EXPORT_REFUSED,
    EXPORT_REFUSED,
    EXPORT_REFUSED,
    EXPORT_FUNCTION(runtime_load_wrapper),
    EXPORT_FUNCTION(runtime_nothing),
    EXPORT_FUNCTION(runtime_load_container),
    EXPORT_REFUSED,
    EXPORT_REFUSED,
    EXPORT_REFUSED,
    EXPORT_FUNCTION(runtime_load_compilers),
};

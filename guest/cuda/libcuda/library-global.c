/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Variables of libraries: those of a module, in each context. */
#include "context.h"
#include "module.h"

CUresult cuLibraryGetGlobal(CUdeviceptr *address, size_t *size, CUlibrary handle, const char *name)
{
    CUmodule module;
    CUresult r = cuLibraryGetModule(&module, handle);

    return r == CUDA_SUCCESS ? cuModuleGetGlobal_v2(address, size, module, name) : r;
}

static CUresult library_ask_managed(CUlibrary handle, const char *name)
{
    LibLibrary *library;
    LibModule *module;
    LibCall call;
    CUresult r = library_enter(handle, &call, &library);

    if (r == CUDA_SUCCESS)
        r = library_module(&call, library, &module);
    if (r == CUDA_SUCCESS)
        r = module_global(&call, module, name, NULL, NULL);
    return r == CUDA_SUCCESS ? CUDA_ERROR_NOT_FOUND : r;
}

/* What is managed is refused, as cuLibraryGetGlobal() refuses it, and other variables are not
 * meant. A runtime asks before there is a context. */
CUresult cuLibraryGetManaged(CUdeviceptr *address, size_t *size, CUlibrary handle, const char *name)
{
    CUcontext context;
    CUresult r;

    if (!name || (!address && !size))
        return libcuda_is_ready() ? CUDA_ERROR_INVALID_VALUE : libcuda_unready();
    r = library_ask_managed(handle, name);
    if (r != CUDA_ERROR_INVALID_CONTEXT)
        return r;
    r = cuDevicePrimaryCtxRetain(&context, 0);
    if (r != CUDA_SUCCESS)
        return r;
    r = library_ask_managed(handle, name);
    (void) cuDevicePrimaryCtxRelease_v2(0);
    return r;
}

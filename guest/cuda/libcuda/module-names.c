/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All that is in a module or a library, by the names that the executor has of it. */
#include <string.h>

#include "cuda-api-streams.h"
#include "module.h"

CUresult cuModuleGetFunctionCount(unsigned *n, CUmodule handle)
{
    const char *names;
    LibModule *module;
    LibCall call;
    CUresult r = module_of(handle, &call, &module);

    if (r != CUDA_SUCCESS)
        return r;
    return n ? module_names(&call, module, &names, n) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuModuleEnumerateFunctions(CUfunction *functions, unsigned n, CUmodule handle)
{
    const char *name;
    LibFunction *function;
    LibModule *module;
    LibCall call;
    uint32_t n_names;
    CUresult r = module_of(handle, &call, &module);

    if (r == CUDA_SUCCESS && (!functions || n == 0))
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        r = module_names(&call, module, &name, &n_names);
    if (r != CUDA_SUCCESS)
        return r;
    for (uint32_t i = 0; i < n && i < n_names; name += strlen(name) + 1, i++) {
        r = module_function(&call, module, name, &function);
        if (r != CUDA_SUCCESS)
            return r;
        functions[i] = function->handle;
    }
    return CUDA_SUCCESS;
}

static CUresult library_names(CUlibrary handle, LibCall *call, LibLibrary **ret,
                              const char **ret_names, uint32_t *ret_n)
{
    LibModule *module;
    CUresult r = library_enter(handle, call, ret);

    if (r == CUDA_SUCCESS)
        r = library_module(call, *ret, &module);
    return r == CUDA_SUCCESS ? module_names(call, module, ret_names, ret_n) : r;
}

CUresult cuLibraryGetKernelCount(unsigned *n, CUlibrary handle)
{
    LibLibrary *library;
    const char *names;
    LibCall call;
    uint32_t n_names;
    CUresult r = library_names(handle, &call, &library, &names, &n_names);

    if (r != CUDA_SUCCESS)
        return r;
    if (!n)
        return CUDA_ERROR_INVALID_VALUE;
    *n = n_names;
    return CUDA_SUCCESS;
}

CUresult cuLibraryEnumerateKernels(CUkernel *kernels, unsigned n, CUlibrary handle)
{
    LibLibrary *library;
    const char *name;
    LibCall call;
    uint32_t n_names;
    CUresult r = library_names(handle, &call, &library, &name, &n_names);

    if (r == CUDA_SUCCESS && (!kernels || n == 0))
        r = CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; r == CUDA_SUCCESS && i < n && i < n_names; name += strlen(name) + 1, i++)
        r = library_kernel(&call, library, name, &kernels[i]);
    return r;
}

/* No device here runs functions that are the program's and its own at once. */
CUresult cuLibraryGetUnifiedFunction(void **ret, CUlibrary handle, const char *name)
{
    LibLibrary *library;
    LibCall call;
    CUresult r = library_enter(handle, &call, &library);

    if (r != CUDA_SUCCESS)
        return r;
    return ret && name ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_VALUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables that are for tools, and that the runtime and NVIDIA's libraries ask for, too. There are no
 * tools here: nobody is called back. */
#include <stdlib.h>

#include "cuda-api-streams.h"
#include "export-tables.h"

/* ---- Callbacks ---------------------------------------------------------------------------------
 */

static CUresult tools_nothing(void)
{
    return CUDA_SUCCESS;
}

/* The runtime looks there whether a tool wants to hear of a call: nobody does. */
static void tools_wanted(void **ret, size_t *ret_size)
{
    static uint32_t wanted[1024];

    *ret = wanted;
    *ret_size = sizeof(wanted) / sizeof(wanted[0]);
}

static void tools_more_wanted(void **ret, size_t *ret_size)
{
    static uint32_t wanted[14];

    *ret = wanted;
    *ret_size = sizeof(wanted) / sizeof(wanted[0]);
}

const ExportWord export_callbacks[7] = {
    {.size = sizeof(export_callbacks)}, EXPORT_FUNCTION(tools_nothing),
    EXPORT_FUNCTION(tools_wanted),      EXPORT_FUNCTION(tools_nothing),
    EXPORT_FUNCTION(tools_nothing),     EXPORT_FUNCTION(tools_nothing),
    EXPORT_FUNCTION(tools_more_wanted),
};

/* ---- The thread --------------------------------------------------------------------------------
 */

/* cuBLASLt keeps its kernels by this context. */
const ExportWord export_thread[3] = {
    {.size = sizeof(export_thread)},
    EXPORT_REFUSED,
    EXPORT_FUNCTION(cuCtxGetCurrent),
};

/* ---- Checks of a context -----------------------------------------------------------------------
 */

static CUresult tools_check(CUcontext context, uint32_t *ret, const void **ret_pointer)
{
    (void) context, (void) ret_pointer;
    if (ret)
        *ret = 0;
    return CUDA_SUCCESS;
}

static uint32_t tools_check_more(void)
{
    return 0;
}

const ExportWord export_checks[15] = {
    {.size = sizeof(export_checks)}, EXPORT_REFUSED,
    EXPORT_FUNCTION(tools_check),    EXPORT_FUNCTION(tools_check_more),
    [4 ... 14] = EXPORT_REFUSED,
};

/* ---- Contexts and modules ----------------------------------------------------------------------
 */

static CUresult tools_context_device(CUcontext context, CUdevice *ret)
{
    return cuCtxGetDevice_v2(ret, context);
}

/* What the libraries make of it is not known: 0 is right for them. */
static CUresult tools_context_value(CUcontext context, const void *what, uint64_t *ret)
{
    (void) context;
    if (!what || !ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = 0;
    return CUDA_SUCCESS;
}

/* cuBLAS and cuSOLVER ask for what the driver has behind a stream, and fail without it. What they
 * look for there is not known: zeros are right for them. */
static CUresult tools_stream(CUcontext context, CUstream handle, const void **ret)
{
    LibStream *stream;
    LibCall call;
    CUresult r;

    (void) context;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    r = libcuda_enter_stream(handle, &call, &stream);
    if (r == CUDA_SUCCESS)
        *ret = stream->tools;
    return r;
}

const ExportWord export_context[94] = {
    {.size = sizeof(export_context)},
    EXPORT_REFUSED,
    EXPORT_REFUSED,
    EXPORT_FUNCTION(tools_context_device),
    EXPORT_FUNCTION(cuCtxGetId),
    [5 ... 38] = EXPORT_REFUSED,
    EXPORT_FUNCTION(tools_context_value),
    [40 ... 50] = EXPORT_REFUSED,
    EXPORT_FUNCTION(tools_stream),
    [52 ... 93] = EXPORT_REFUSED,
};

typedef void ToolsFunction(void *userdata, CUfunction function, CUmodule module);

/* Calls back with each function of the module, in whatever order. What it returns is how many there
 * were: cuFFT refuses a module that has none. */
static uint64_t tools_module_functions(CUcontext context, CUmodule module, ToolsFunction *callback,
                                       void *userdata)
{
    CUfunction *functions;
    unsigned n;

    (void) context;
    if (cuModuleGetFunctionCount(&n, module) != CUDA_SUCCESS || n == 0)
        return 0;
    functions = calloc(n, sizeof(CUfunction));
    if (!functions)
        return 0;
    if (cuModuleEnumerateFunctions(functions, n, module) != CUDA_SUCCESS)
        n = 0;
    for (unsigned i = 0; callback && i < n; i++)
        callback(userdata, functions[i], module);
    free(functions);
    return n;
}

const ExportWord export_module[99] = {
    {.size = sizeof(export_module)},
    [1 ... 6] = EXPORT_REFUSED,
    EXPORT_FUNCTION(tools_module_functions),
    [8 ... 98] = EXPORT_REFUSED,
};

/* cuBLASLt asks for it for products of bf16, and does without its functions, but not without it. */
const ExportWord export_refused_17[17] = {
    {.size = sizeof(export_refused_17)},
    [1 ... 16] = EXPORT_REFUSED,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Other forms of what context.c has: older ones, and those that ask for what is not here. */
#include "context.h"
#include "cuda-api-streams.h"

/* The first 64-bit version of a context is told apart from those that came before. */
CUresult cuCtxCreate(CUcontext *context, unsigned flags, CUdevice device)
{
    return context_create(context, flags, device, 3010);
}

/* A part of the device's processors is for MPS. */
CUresult cuCtxCreate_v3(CUcontext *context, ExecAffinity *affinity, int n, unsigned flags,
                        CUdevice device)
{
    if (n < 0 || (n > 0 && !affinity))
        return CUDA_ERROR_INVALID_VALUE;
    if (n > 0)
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    return context_create(context, flags, device, 3020);
}

CUresult cuCtxCreate_v4(CUcontext *context, ContextParameters *parameters, unsigned flags,
                        CUdevice device)
{
    if (!parameters)
        return context_create(context, flags, device, 3020);
    if (parameters->graphics)
        return parameters->n_affinity != 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_SUPPORTED;
    return cuCtxCreate_v3(context, parameters->affinity, parameters->n_affinity, flags, device);
}

CUresult cuCtxDestroy(CUcontext context)
{
    return cuCtxDestroy_v2(context);
}

CUresult cuCtxPushCurrent(CUcontext context)
{
    return cuCtxPushCurrent_v2(context);
}

CUresult cuCtxPopCurrent(CUcontext *context)
{
    return cuCtxPopCurrent_v2(context);
}

/* ---- Uses, counted -----------------------------------------------------------------------------
 */

CUresult cuCtxAttach(CUcontext *context, unsigned flags)
{
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!context || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    __atomic_add_fetch(&call.context->n_attached, 1, __ATOMIC_RELAXED);
    *context = call.context->handle;
    return CUDA_SUCCESS;
}

static bool context_take_use(LibContext *c)
{
    unsigned n = __atomic_load_n(&c->n_attached, __ATOMIC_RELAXED);

    while (n > 0 && !__atomic_compare_exchange_n(&c->n_attached, &n, n - 1, false, __ATOMIC_RELAXED,
                                                 __ATOMIC_RELAXED))
        continue;
    return n > 0;
}

/* The last use is that of who made it. */
CUresult cuCtxDetach(CUcontext handle)
{
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (libcuda_context_of(handle) != call.context)
        return CUDA_ERROR_INVALID_CONTEXT;
    return context_take_use(call.context) ? CUDA_SUCCESS : cuCtxDestroy_v2(handle);
}

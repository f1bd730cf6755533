/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's primary context, which the parts of a program share: runtimes, libraries. Its handle
 * is there from cuInit() on; the executor has it while somebody retains it. */
#include "context.h"

/* Under the process's lock. */
static CUresult primary_release(vgpu_session *s, LibContext *c, bool all)
{
    if (c->n_retained == 0)
        return all ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    c->n_retained = all ? 0 : c->n_retained - 1;
    return c->n_retained == 0 ? libcuda_context_close(s, c) : CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    LibProcess *p = &libcuda_process;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    pthread_mutex_lock(&p->lock);
    if (p->primary->n_retained == 0)
        r = libcuda_context_open(call.session, p->primary);
    if (r == CUDA_SUCCESS) {
        p->primary->n_retained++;
        *context = p->primary->handle;
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

static CUresult primary_end(CUdevice device, bool all)
{
    LibProcess *p = &libcuda_process;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    pthread_mutex_lock(&p->lock);
    r = primary_release(call.session, p->primary, all);
    pthread_mutex_unlock(&p->lock);
    return r;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    return primary_end(device, false);
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
    return primary_end(device, false);
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    return primary_end(device, true);
}

CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
    return primary_end(device, true);
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags)
{
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    pthread_mutex_lock(&libcuda_process.lock);
    libcuda_process.primary->flags = flags;
    pthread_mutex_unlock(&libcuda_process.lock);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned flags)
{
    return cuDevicePrimaryCtxSetFlags_v2(device, flags);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *is_active)
{
    const LibProcess *p = &libcuda_process;

    if (!libcuda_is_ready())
        return libcuda_unready();
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (!flags || !is_active)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = p->primary->flags;
    *is_active = __atomic_load_n(&p->primary->number, __ATOMIC_ACQUIRE) != 0;
    return CUDA_SUCCESS;
}

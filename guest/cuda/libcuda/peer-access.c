/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One device has no peers. */
#include "libcuda.h"

CUresult cuCtxEnablePeerAccess(CUcontext context, unsigned flags)
{
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return libcuda_context_of(context) ? CUDA_ERROR_PEER_ACCESS_UNSUPPORTED
                                       : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxDisablePeerAccess(CUcontext context)
{
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    return libcuda_context_of(context) ? CUDA_ERROR_PEER_ACCESS_NOT_ENABLED
                                       : CUDA_ERROR_INVALID_CONTEXT;
}

/* Nothing has been set aside in the cache for data that persists. */
CUresult cuCtxResetPersistingL2Cache(void)
{
    LibCall call;

    return libcuda_enter_context(&call);
}

CUresult cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                      CUcontext from_context, size_t size)
{
    if (!libcuda_context_of(to_context) || !libcuda_context_of(from_context))
        return CUDA_ERROR_INVALID_CONTEXT;
    return cuMemcpyDtoD_v2(to, from, size);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                           CUcontext from_context, size_t size, CUstream stream)
{
    if (!libcuda_context_of(to_context) || !libcuda_context_of(from_context))
        return CUDA_ERROR_INVALID_CONTEXT;
    return cuMemcpyDtoDAsync_v2(to, from, size, stream);
}

CUresult cuMemcpyPeer_ptds(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                           CUcontext from_context, size_t size)
{
    if (!libcuda_context_of(to_context) || !libcuda_context_of(from_context))
        return CUDA_ERROR_INVALID_CONTEXT;
    return cuMemcpyDtoD_v2_ptds(to, from, size);
}

CUresult cuMemcpyPeerAsync_ptsz(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                                CUcontext from_context, size_t size, CUstream stream)
{
    return cuMemcpyPeerAsync(to, to_context, from, from_context, size, libcuda_per_thread(stream));
}

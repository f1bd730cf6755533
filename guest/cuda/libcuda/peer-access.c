/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One device has no peers. */
#include "array.h"
#include "copy-box.h"

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

/* ---- Boxes -------------------------------------------------------------------------------------
 */

/* An array says itself whose it is; a session copies with those of one context alone. */
static CUresult peer_check(const LibCall *call, int type, CUarray array, CUcontext context)
{
    const LibArray *found;

    if (type == COPY_BOX_HOST)
        return CUDA_SUCCESS;
    if (type != COPY_BOX_ARRAY)
        return libcuda_context_of(context) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    found = array_of(array);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    return found->context == call->context ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult peer_box(const CopyPeer3D *c, CUstream handle, bool is_async)
{
    LibStream *stream;
    LibCall call;
    CopyBox box;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!c || c->src_lod != 0 || c->dst_lod != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = peer_check(&call, c->dst_type, c->dst_array, c->dst_context);
    if (r == CUDA_SUCCESS)
        r = peer_check(&call, c->src_type, c->src_array, c->src_context);
    if (r != CUDA_SUCCESS)
        return r;
    box = (CopyBox){
        .to = {c->dst_type, c->dst_host, c->dst_device, c->dst_array, c->dst_x_bytes, c->dst_y,
               c->dst_z, c->dst_pitch, c->dst_height},
        .from = {c->src_type, (void *) c->src_host, c->src_device, c->src_array, c->src_x_bytes,
                 c->src_y, c->src_z, c->src_pitch, c->src_height},
        .width = c->width_bytes,
        .height = c->height,
        .depth = c->depth,
    };
    return libcuda_copy_box(&box, handle, is_async);
}

CUresult cuMemcpy3DPeer(const CopyPeer3D *c)
{
    return peer_box(c, NULL, false);
}

CUresult cuMemcpy3DPeer_ptds(const CopyPeer3D *c)
{
    return peer_box(c, CU_STREAM_PER_THREAD, false);
}

CUresult cuMemcpy3DPeerAsync(const CopyPeer3D *c, CUstream stream)
{
    return peer_box(c, stream, true);
}

CUresult cuMemcpy3DPeerAsync_ptsz(const CopyPeer3D *c, CUstream stream)
{
    return peer_box(c, libcuda_per_thread(stream), true);
}

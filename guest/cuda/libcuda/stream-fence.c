/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers behind the work of a stream, for which somebody may wait: each of them comes. The
 * executor refuses a fence in a stream that captures, and in the legacy stream while one that waits
 * for it does; and it may have refused the stream itself. Where any of that is possible, it is
 * asked.
 */
#include "capture.h"

CUresult libcuda_fence_put(const LibCall *call, LibStream *stream, vgpu_session_fence *fence,
                           uint64_t *ret_number)
{
    const bool asks = captures_hold() || !__atomic_load_n(&stream->is_made, __ATOMIC_RELAXED);
    CUresult r = CUDA_SUCCESS;

    if (!asks)
        r = vgpu_session_fence_post(call->session, &call->from, stream->number, fence, ret_number);
    captures_let_go();
    if (!asks)
        return r;
    r = vgpu_session_fence_put(call->session, &call->from, stream->number, fence, ret_number);
    if (r == CUDA_SUCCESS)
        __atomic_store_n(&stream->is_made, true, __ATOMIC_RELAXED);
    return r;
}

/* A wake in the legacy stream would end the captures that it waits for. One in another may be
 * refused: that stream has ended since, or captures. */
CUresult libcuda_fence_wait(const LibCall *call, uint32_t stream, vgpu_session_fence *fence,
                            uint64_t number)
{
    CUresult r = CUDA_ERROR_INVALID_HANDLE;

    if (stream != 0 || !captures_are())
        r = vgpu_session_fence_wait(call->session, &call->from, stream, fence, number);
    if (r == CUDA_ERROR_INVALID_HANDLE || capture_is_error(r))
        r = vgpu_session_fence_wait_left(call->session, &call->from, fence, number);
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Functions of the program in streams: a thread of this process calls them, one after the other. */
#include <stdlib.h>

#include "cuda-api-streams.h"
#include "libcuda.h"

/* Also for streams that capture: then it is a node of the graph. */
CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void *userdata)
{
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_work(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!function)
        return CUDA_ERROR_INVALID_VALUE;
    libcuda_stream_worked(stream);
    return vgpu_session_host_call(call.session, &call.from, stream->number, function, userdata);
}

CUresult cuLaunchHostFunc_ptsz(CUstream stream, CUhostFn function, void *userdata)
{
    return cuLaunchHostFunc(libcuda_per_thread(stream), function, userdata);
}

/* ---- Callbacks, which hear of errors ------------------------------------------------------------
 */

typedef struct StreamCallback {
    vgpu_session *session;
    CUstream stream;
    CUstreamCallback function;
    void *userdata;
} StreamCallback;

static void callback_run(void *data)
{
    const StreamCallback callback = *(const StreamCallback *) data;
    CUresult status = vgpu_session_get_sticky(callback.session);

    free(data);
    if (status == CUDA_SUCCESS)
        status = vgpu_session_get_failure(callback.session);
    callback.function(callback.stream, status, callback.userdata);
}

/* @told: the stream, as the program has named it */
static CUresult callback_add(CUstream handle, CUstream told, CUstreamCallback function,
                             void *userdata, unsigned flags)
{
    StreamCallback *callback;
    LibStream *stream;
    vgpu_session_host host;
    LibCall call;
    CUresult r = libcuda_enter_work(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!function || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (__atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    callback = malloc(sizeof(*callback));
    if (!callback)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *callback = (StreamCallback){call.session, told, function, userdata};
    host = (vgpu_session_host){callback_run, callback, NULL, true};
    libcuda_stream_worked(stream);
    /* Of what a host refuses, one that is not as it has to be may have called: the bytes are left.
     */
    return vgpu_session_host_call_with(call.session, &call.from, stream->number, &host);
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void *userdata,
                             unsigned flags)
{
    return callback_add(stream, stream, callback, userdata, flags);
}

CUresult cuStreamAddCallback_ptsz(CUstream stream, CUstreamCallback callback, void *userdata,
                                  unsigned flags)
{
    return callback_add(libcuda_per_thread(stream), stream, callback, userdata, flags);
}

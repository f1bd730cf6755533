/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HOST_CALL: a function of the guest's in a stream. No thread waits for it. */
#include "session-captures.h"
#include "session-hosts.h"
#include "session-streams.h"

static CUresult host_call_give(Session *s, CUstream stream, SessionHostWork *work, bool *ret_given)
{
    CUresult r = s->driver.launch_host_func(stream, work->host.function, work->host.user_data);

    *ret_given = r == CUDA_SUCCESS;
    return r == CUDA_SUCCESS ? s->driver.stream_batch_mem_op(stream, 2, work->ops, 0) : r;
}

/* The graph that is made has the place, also when the capture ends without one. */
static CUresult host_call_capture(Session *s, CUstream stream, SessionHostWork *work)
{
    CUgraph graph = NULL;
    int status = 0;
    uint64_t id;
    bool is_given;
    CUresult r;

    r = s->driver.stream_get_capture_info(stream, &status, &id, &graph, NULL, NULL, NULL);
    if (r == CUDA_SUCCESS && !graph)
        r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (r != CUDA_SUCCESS) {
        session_host_give(s, work->place);
        return r;
    }
    r = session_host_keep(s, graph, work->place);
    return r == CUDA_SUCCESS ? host_call_give(s, stream, work, &is_given) : r;
}

CUresult session_op_HOST_CALL(Session *s, SessionCall *call)
{
    const VGPUSessionFence *p = call->parameters;
    SessionHostWork work;
    SessionStream *stream;
    bool is_given;
    CUresult r;

    r = session_use_stream(s, p->stream, SESSION_USE_ASK, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    r = session_host_take(s, p, session_stream_captures(s, stream), &work);
    if (r != CUDA_SUCCESS)
        return r;
    r = session_use_stream(s, p->stream, SESSION_USE_WAIT, &stream);
    if (r != CUDA_SUCCESS) {
        session_host_give(s, work.place);
        return r;
    }
    if (session_thread()->captures)
        return host_call_capture(s, stream->handle, &work);
    r = host_call_give(s, stream->handle, &work, &is_given);
    /* What the driver has taken it calls, whatever it says of the rest: the place stays taken. */
    if (!is_given)
        session_host_give(s, work.place);
    return r;
}

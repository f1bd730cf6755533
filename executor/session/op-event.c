/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events. The object of SESSION_EVENT is the driver's event itself. */
#include <string.h>

#include "session-graph.h"
#include "session-objects.h"
#include "session-streams.h"

enum {
    EVENT_FLAGS = 0x3,        /* CU_EVENT_BLOCKING_SYNC, CU_EVENT_DISABLE_TIMING */
    EVENT_INTERPROCESS = 0x4, /* another process could open it only on this host */
    EVENT_RECORD_FLAGS = 0x1, /* CU_EVENT_RECORD_EXTERNAL */
};

CUresult session_op_EVENT_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionCreate *p = call->parameters;
    CUevent event;
    CUresult r;

    if (p->flags & EVENT_INTERPROCESS)
        return CUDA_ERROR_NOT_SUPPORTED;
    if ((p->flags & ~(uint32_t) EVENT_FLAGS) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = s->driver.event_create(&event, p->flags);
    if (r != CUDA_SUCCESS)
        return r;
    r = session_add(s, SESSION_EVENT, p->id, event);
    if (r != CUDA_SUCCESS)
        (void) s->driver.event_destroy(event);
    return r;
}

CUresult session_op_EVENT_DESTROY(Session *s, SessionCall *call)
{
    const VGPUSessionId *p = call->parameters;
    void *event;
    CUresult r = session_remove(s, SESSION_EVENT, p->id, &event);

    return r == CUDA_SUCCESS ? session_event_end(s, event) : r;
}

CUresult session_op_EVENT_RECORD(Session *s, SessionCall *call)
{
    const VGPUSessionEvent *p = call->parameters;
    SessionStream *stream;
    void *event;
    CUresult r = session_find(s, SESSION_EVENT, p->event, &event);

    if (r == CUDA_SUCCESS && (p->flags & ~(uint32_t) EVENT_RECORD_FLAGS) != 0)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        r = session_use_stream(s, p->stream, SESSION_USE_QUICK, &stream);
    if (r == CUDA_SUCCESS && (p->flags & EVENT_RECORD_FLAGS) != 0)
        r = session_capture_event(s, event, p->event);
    return r == CUDA_SUCCESS ? s->driver.event_record_with_flags(event, stream->handle, p->flags)
                             : r;
}

CUresult session_op_EVENT_ELAPSED(Session *s, SessionCall *call)
{
    const VGPUSessionEvent *p = call->parameters;
    void *begin, *end;
    float msec = 0;
    CUresult r = session_find(s, SESSION_EVENT, p->event, &begin);

    if (r == CUDA_SUCCESS)
        r = session_find(s, SESSION_EVENT, p->other, &end);
    if (r == CUDA_SUCCESS)
        r = s->driver.event_elapsed_time(&msec, begin, end);
    memcpy(&call->value[0], &msec, sizeof(msec));
    return r;
}

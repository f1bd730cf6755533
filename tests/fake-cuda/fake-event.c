/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-capture.h"
#include "fake-memory.h"

#include <time.h>

enum {
    EVENT_BLOCKING_SYNC = 1,
    EVENT_DISABLE_TIMING = 2,
    EVENT_INTERPROCESS = 4,
    EVENT_EXTERNAL = 1, /* of a record and a wait: a node, in a capture */
};

/* ---- For the queue and the contexts ------------------------------------------------ */

void fake_event_done(CUevent e, uint64_t number)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (number > e->done) {
        e->done = number;
        e->msec = (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
    }
}

void fake_event_unref(CUevent e)
{
    if (--e->references > 0)
        return;
    fake_capture_forget(&e->capture, &e->reach);
    fake_object_end(e);
}

static void check(CUevent e, const char *function)
{
    fake_object_check(e, FAKE_KIND_EVENT, function);
    if (e->destroyed)
        fake_misuse("%s: the event was destroyed", function);
}

CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    if (flags > 7 || ((flags & EVENT_INTERPROCESS) && !(flags & EVENT_DISABLE_TIMING)))
        return CUDA_ERROR_INVALID_VALUE;

    FAKE_LOCKED();
    *event = fake_object_new(FAKE_KIND_EVENT, fake_context(), sizeof(**event));
    (*event)->flags = flags;
    (*event)->references = 1;
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    check(event, __func__);
    event->destroyed = true;
    fake_event_unref(event);
    return CUDA_SUCCESS;
}

void fake_events_end(CUcontext context)
{
    for (CUevent e; (e = fake_object_any(FAKE_KIND_EVENT, context));) {
        e->object.context = NULL;
        if (!e->destroyed) {
            e->destroyed = true;
            fake_event_unref(e);
        }
    }
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    if (flags > EVENT_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;

    FAKE_LOCKED();
    CUstream s = fake_stream_get(stream, __func__);
    FakeWork w = {.kind = FAKE_WORK_RECORD, .event = {.event = event}};

    check(event, __func__);
    if (event->object.context != s->object.context)
        return CUDA_ERROR_INVALID_HANDLE;
    if (s->capture && flags != EVENT_EXTERNAL) {
        if (s->capture->invalid)
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        fake_capture_record(s, event, (CudaEdgeData){0});
        return CUDA_SUCCESS;
    }
    if (!s->capture && flags == EVENT_EXTERNAL)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (!s->capture)
        fake_capture_forget(&event->capture, &event->reach);
    event->references++;
    return fake_submit(s, &w);
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    if (flags > EVENT_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;

    FAKE_LOCKED();
    CUstream s = fake_stream_get(stream, __func__);
    FakeWork w = {.kind = FAKE_WORK_WAIT_EVENT, .event = {.event = event}};

    check(event, __func__);
    if (fake_event_is_captured(event) || (s->capture && flags != EVENT_EXTERNAL))
        return fake_capture_wait(s, event);
    if (!s->capture && event->recorded == 0)
        return CUDA_SUCCESS;
    event->references++;
    return fake_submit(s, &w);
}

CUresult cuEventQuery(CUevent event)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    check(event, __func__);
    if (fake_capture_forbids() != CUDA_SUCCESS)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return event->done < event->recorded ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

/* A session waits for nothing. So the event must have come, and yet the program has waited. */
CUresult cuEventSynchronize(CUevent event)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    check(event, __func__);
    if (event->done < event->recorded)
        fake_misuse("cuEventSynchronize: the event has not come");
    if (fake_capture_forbids() != CUDA_SUCCESS)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (event->recorded > 0)
        fake_pool_trim();
    fake_print_out(fake_context());
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float *msec, CUevent start, CUevent end)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    check(start, __func__);
    check(end, __func__);
    if (fake_event_is_captured(start) || fake_event_is_captured(end))
        return CUDA_ERROR_CAPTURED_EVENT;
    if (((start->flags | end->flags) & EVENT_DISABLE_TIMING) || start->recorded == 0 ||
        end->recorded == 0)
        return CUDA_ERROR_INVALID_HANDLE;
    if (start->done < start->recorded || end->done < end->recorded)
        return CUDA_ERROR_NOT_READY;
    *msec = (float) (end->msec - start->msec);
    return CUDA_SUCCESS;
}

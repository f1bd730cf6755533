/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-capture.h"
#include "fake-memory.h"

#include <string.h>

CUresult fake_submit(CUstream s, const FakeWork *work)
{
    FakeWork w = *work;

    if (s->capture)
        return fake_capture_add(s, &w);
    if (fake_capture_is_implied(s)) {
        fake_work_clear(&w);
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    fake_push(s, &w);
    return CUDA_SUCCESS;
}

/* A call that looks whether the stream is done: no capture survives it. */
static CUresult refuse_in_capture(CUstream s)
{
    if (s->capture) {
        fake_capture_invalidate(s);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return fake_capture_is_implied(s) ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT : CUDA_SUCCESS;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    ENTER(FAKE_CONTEXT);
    *least = FAKE_LEAST_PRIORITY;
    *greatest = FAKE_GREATEST_PRIORITY;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority)
{
    ENTER_NUMBER(FAKE_CONTEXT, priority);
    if (flags > CU_STREAM_NON_BLOCKING)
        return fake_refuse("cuStreamCreateWithPriority: flags %u", flags);
    /* The manual: a number outside the range is the nearest one in it. */
    if (priority > FAKE_LEAST_PRIORITY)
        priority = FAKE_LEAST_PRIORITY;
    if (priority < FAKE_GREATEST_PRIORITY)
        priority = FAKE_GREATEST_PRIORITY;

    FAKE_LOCKED();
    *stream = fake_stream_new(fake_context(), flags, priority);
    return CUDA_SUCCESS;
}

/* CUlaunchAttributeID, of streams; what CUaccessPolicyWindow has */
enum { STREAM_WINDOW = 1, STREAM_PRIORITY = 8, STREAM_DOMAIN_MAP = 9, STREAM_DOMAIN = 10 };

typedef struct AccessWindow {
    void *base;
    size_t size;
    float ratio;
    int hit, miss;
} AccessWindow;

static bool attribute_is_valid(CUstream s, int attribute, const CUlaunchAttributeValue *value)
{
    AccessWindow window;
    int number;

    memcpy(&window, value->bytes, sizeof(window));
    memcpy(&number, value->bytes, sizeof(number));
    switch (attribute) {
    case STREAM_WINDOW:
        return window.size <= FAKE_ACCESS_WINDOW_MAX && window.ratio >= 0 && window.ratio <= 1 &&
               window.hit >= 0 && window.hit <= 2 && window.miss >= 0 && window.miss <= 1;
    case STREAM_PRIORITY:
        s->priority = number;
        return number <= FAKE_LEAST_PRIORITY && number >= FAKE_GREATEST_PRIORITY;
    case STREAM_DOMAIN_MAP:
        return value->bytes[0] < FAKE_SYNC_DOMAINS && value->bytes[1] < FAKE_SYNC_DOMAINS;
    case STREAM_DOMAIN:
        return number == 0 || number == 1;
    default:
        return false;
    }
}

CUresult cuStreamSetAttribute(CUstream stream, int attribute, const CUlaunchAttributeValue *value)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();
    return attribute_is_valid(fake_stream_get(stream, __func__), attribute, value)
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    ENTER(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);

    if (fake_stream_is_legacy(s))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!fake_stream_idle(s) && !fake_is_session())
        fake_misuse("cuStreamDestroy_v2: there is work in flight");
    if (s->capture)
        fake_capture_invalidate(s);
    fake_stream_end(s);
    return CUDA_SUCCESS;
}

/* The program has waited. */
static CUresult waited(CUresult result)
{
    if (result == CUDA_SUCCESS)
        fake_pool_trim();
    fake_print_out(fake_context());
    return result;
}

CUresult cuStreamSynchronize(CUstream stream)
{
    ENTER(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);
    CUresult r = refuse_in_capture(s);

    if (r != CUDA_SUCCESS)
        return r;
    /* What waits for all blocking streams is work in the default stream. */
    if (fake_stream_is_legacy(s)) {
        fake_push(s, &(FakeWork){.kind = FAKE_WORK_NOTHING});
    } else if (!s->was_used) { /* there was nothing to wait for: pools keep what they have */
        fake_print_out(s->object.context);
        return CUDA_SUCCESS;
    }
    return waited(fake_stream_drain(s));
}

/* Is nothing to be waited for? */
static bool is_idle(const struct CUstream_st *s)
{
    if (fake_stream_is_legacy(s))
        for (const struct CUstream_st *other = fake_stream_first(); other; other = other->next)
            if (other->object.context == s->object.context &&
                !(other->flags & CU_STREAM_NON_BLOCKING) && !fake_stream_idle(other))
                return false;
    return fake_stream_idle(s);
}

CUresult cuStreamQuery(CUstream stream)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);
    CUresult r = refuse_in_capture(s);

    if (r != CUDA_SUCCESS)
        return r;
    return is_idle(s) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void *user_data,
                             unsigned flags)
{
    ENTER(FAKE_CONTEXT);
    if (flags != 0)
        fake_misuse("cuStreamAddCallback: flags %u", flags);
    if (!callback)
        fake_misuse("cuStreamAddCallback: no callback");

    FAKE_LOCKED();
    CUstream s = fake_stream_get(stream, __func__);
    FakeWork w = {.kind = FAKE_WORK_CALLBACK,
                  .host = {.callback = callback, .user_data = user_data}};

    /* The manual has no capture of callbacks. */
    if (s->capture) {
        fake_capture_invalidate(s);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return fake_submit(s, &w);
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *user_data)
{
    ENTER_SESSION(FAKE_CONTEXT);
    if (!function)
        fake_misuse("cuLaunchHostFunc: no function");

    FAKE_LOCKED();
    FakeWork w = {.kind = FAKE_WORK_HOST, .host = {.function = function, .user_data = user_data}};

    return fake_submit(fake_stream_get(stream, __func__), &w);
}

CUresult cuCtxSynchronize(void)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUresult r = fake_capture_forbids();

    return r != CUDA_SUCCESS ? r : waited(fake_context_drain(fake_context()));
}

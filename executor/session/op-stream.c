/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams: their life, fences, wakes, and words. */
#include <stdlib.h>
#include <string.h>

#include "session-ahead.h"
#include "session-captures.h"
#include "session-dispatch.h"
#include "session-marks.h"
#include "session-meter.h"
#include "session-objects.h"
#include "session-reply.h"
#include "session-streams.h"
#include "session-window.h"

enum {
    STREAM_FLAGS = CU_STREAM_NON_BLOCKING,
    WAIT_EVENT_FLAGS = 0x1,       /* CU_EVENT_WAIT_EXTERNAL */
    WRITE_WORD_FLAGS = 0x1,       /* CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER */
    WAIT_WORD_FLAGS = 0x40000003, /* CU_STREAM_WAIT_VALUE_FLUSH, and the four ways to compare */
};

/* CUlaunchAttributeID, of those that streams have */
enum {
    STREAM_ACCESS_POLICY_WINDOW = 1,
    STREAM_PRIORITY = 8,
    STREAM_MEM_SYNC_DOMAIN_MAP = 9,
    STREAM_MEM_SYNC_DOMAIN = 10,
};

/* ---- For the core --------------------------------------------------------------------------- */

void session_stream_init(SessionStream *stream, SessionContext *context, uint32_t place)
{
    *stream = (SessionStream){.context = context, .place = place, .span = 1, .is_blocking = true};
}

bool session_stream_captures(Session *s, const SessionStream *stream)
{
    int status = CU_STREAM_CAPTURE_STATUS_NONE;

    /* A capture spreads over events to streams in which none was begun. */
    if (s->meter.n_captures == 0 || stream == &stream->context->legacy || stream->is_gone)
        return false;
    session_note(s, s->driver.stream_is_capturing(stream->handle, &status));
    return status != CU_STREAM_CAPTURE_STATUS_NONE;
}

CUresult session_use_stream(Session *s, uint32_t id, SessionStreamUse use, SessionStream **ret)
{
    SessionThread *thread = session_thread();
    SessionContext *context = thread->context;
    void *object = context ? &context->legacy : NULL;
    SessionStream *stream;
    CUresult r = id != 0 ? session_find(s, SESSION_STREAM, id, &object) : CUDA_SUCCESS;

    if (r != CUDA_SUCCESS)
        return r;
    stream = object;
    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (use != SESSION_USE_ASK) {
        thread->captures = session_stream_captures(s, stream);
        if (thread->captures) {
            r = session_captures_count(s, 1, use == SESSION_USE_WAIT);
            if (r != CUDA_SUCCESS)
                return r;
        } else {
            session_marks_before(s, stream, use);
            session_meter_give(s, stream);
            if (use == SESSION_USE_WORK)
                session_ahead_give(s, stream);
        }
    }
    *ret = stream;
    return CUDA_SUCCESS;
}

CUresult session_find_stream(Session *s, uint32_t id, CUstream *ret)
{
    const SessionThread *thread = session_thread();
    bool gives = thread == &s->ring_thread && thread->gives_work;
    SessionStream *stream;
    CUresult r = session_use_stream(s, id, gives ? SESSION_USE_WORK : SESSION_USE_ASK, &stream);

    if (r == CUDA_SUCCESS)
        *ret = stream->handle;
    return r;
}

void session_stream_free(Session *s, SessionStream *stream)
{
    session_marks_give_place(s, stream->place);
    stream->place = SESSION_NO_PLACE;
    if (stream != &stream->context->legacy)
        free(stream);
}

/* Other streams that the capture has come to would be of it for ever. */
static void stream_end_capture(Session *s, SessionStream *stream)
{
    CUgraph graph = NULL;

    s->meter.n_captures--;
    stream->captures = false;
    session_captures_end(s, stream);
    if (s->driver.stream_end_capture(stream->handle, &graph) == CUDA_SUCCESS && graph)
        (void) s->driver.graph_destroy(graph);
}

CUresult session_stream_end(Session *s, SessionStream *stream)
{
    bool is_legacy = stream == &stream->context->legacy;
    CUresult r;

    if (stream->captures)
        stream_end_capture(s, stream);
    if (!session_meter_ask(s, stream) && stream->unsure && !session_stream_captures(s, stream))
        session_marks_close(s, stream);
    r = is_legacy ? CUDA_SUCCESS : s->driver.base.stream_destroy(stream->handle);
    stream->is_gone = true;
    stream->handle = NULL;
    if (!stream->is_busy)
        session_stream_free(s, stream);
    return r;
}

CUresult session_capture_event(Session *s, CUevent event, uint32_t id)
{
    CUresult r;

    if (!session_thread()->captures)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&session_store(s)->handles);
    r = session_captures_event(s, event, id);
    pthread_mutex_unlock(&session_store(s)->handles);
    return r;
}

/* ---- Operations ------------------------------------------------------------------------------ */

/* A stream without a word would be one without a time limit. Streams that were destroyed with work
 * in them have theirs until that has ended. */
static uint32_t stream_take_place(Session *s)
{
    uint32_t place = session_marks_take_place(s);

    if (place != SESSION_NO_PLACE)
        return place;
    session_meter_ask_all(s);
    return session_marks_take_place(s);
}

static CUresult stream_create(Session *s, const VGPUSessionCreate *p, SessionStream *stream)
{
    SessionContext *context = session_thread()->context;
    CUresult r;

    session_stream_init(stream, context, stream_take_place(s));
    stream->id = p->id;
    stream->is_blocking = !(p->flags & CU_STREAM_NON_BLOCKING);
    if (stream->place == SESSION_NO_PLACE)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = session_make_current(s, context->handle);
    if (r == CUDA_SUCCESS)
        r = s->driver.base.stream_create_with_priority(&stream->handle, p->flags, p->priority);
    if (r != CUDA_SUCCESS)
        return r;
    r = session_add(s, SESSION_STREAM, p->id, stream);
    if (r != CUDA_SUCCESS)
        (void) s->driver.base.stream_destroy(stream->handle);
    return r;
}

CUresult session_op_STREAM_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionCreate *p = call->parameters;
    SessionStream *stream;
    CUresult r;

    if ((p->flags & ~(uint32_t) STREAM_FLAGS) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    stream = malloc(sizeof(*stream));
    if (!stream)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = stream_create(s, p, stream);
    if (r != CUDA_SUCCESS)
        session_stream_free(s, stream);
    return r;
}

CUresult session_op_STREAM_DESTROY(Session *s, SessionCall *call)
{
    const VGPUSessionId *p = call->parameters;
    void *stream;
    CUresult r = session_remove(s, SESSION_STREAM, p->id, &stream);

    return r == CUDA_SUCCESS ? session_stream_end(s, stream) : r;
}

CUresult session_op_STREAM_ATTRIBUTE(Session *s, SessionCall *call)
{
    const VGPUSessionStreamAttribute *p = call->parameters;
    CUlaunchAttributeValue value;
    SessionStream *stream;
    CUresult r = session_use_stream(s, p->stream, SESSION_USE_ASK, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    switch (p->attribute) {
    case STREAM_ACCESS_POLICY_WINDOW:
    case STREAM_PRIORITY:
    case STREAM_MEM_SYNC_DOMAIN_MAP:
    case STREAM_MEM_SYNC_DOMAIN:
        memcpy(value.bytes, p->value, sizeof(value.bytes));
        return s->driver.stream_set_attribute(stream->handle, (int) p->attribute, &value);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult session_op_STREAM_WAIT_EVENT(Session *s, SessionCall *call)
{
    const VGPUSessionEvent *p = call->parameters;
    SessionStream *stream;
    void *event;
    CUresult r = session_find(s, SESSION_EVENT, p->event, &event);

    if (r == CUDA_SUCCESS && (p->flags & ~(uint32_t) WAIT_EVENT_FLAGS) != 0)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        r = session_use_stream(s, p->stream, SESSION_USE_WAIT, &stream);
    if (r == CUDA_SUCCESS && (p->flags & WAIT_EVENT_FLAGS) != 0)
        r = session_capture_event(s, event, p->event);
    return r == CUDA_SUCCESS ? s->driver.stream_wait_event(stream->handle, event, p->flags) : r;
}

/* Neither a fence nor a wake is anything that the guest's program has asked for: in its graphs they
 * would be wrong. */
static CUresult stream_for_fence(Session *s, const VGPUSessionFence *p, SessionStreamUse use,
                                 SessionStream **ret)
{
    CUresult r = session_use_stream(s, p->stream, SESSION_USE_ASK, ret);

    if (r != CUDA_SUCCESS)
        return r;
    if (session_stream_captures(s, *ret))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return session_use_stream(s, p->stream, use, ret);
}

CUresult session_op_FENCE(Session *s, SessionCall *call)
{
    const VGPUSessionFence *p = call->parameters;
    SessionStream *stream;
    CUdeviceptr word;
    CUresult r;

    if (p->offset % sizeof(uint64_t) != 0 ||
        !session_window_device(s, p->offset, sizeof(uint64_t), &word))
        return CUDA_ERROR_INVALID_VALUE;
    r = stream_for_fence(s, p, SESSION_USE_QUICK, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    return s->driver.stream_write_value_64(stream->handle, word, p->value, 0);
}

static void stream_wake(void *user_data)
{
    session_signal(user_data);
}

CUresult session_op_WAKE(Session *s, SessionCall *call)
{
    SessionStream *stream;
    CUresult r = stream_for_fence(s, call->parameters, SESSION_USE_WAIT, &stream);

    return r == CUDA_SUCCESS ? s->driver.launch_host_func(stream->handle, stream_wake, s) : r;
}

static CUresult stream_word(Session *s, const VGPUSessionWord *p, uint32_t flags,
                            SessionStreamUse use, SessionStream **ret)
{
    if ((p->bits != 32 && p->bits != 64) || p->address % (p->bits / 8) != 0 ||
        (p->flags & ~flags) != 0 || !session_memory_has(s, p->address, p->bits / 8))
        return CUDA_ERROR_INVALID_VALUE;
    return session_use_stream(s, p->stream, use, ret);
}

CUresult session_op_WORD_WRITE(Session *s, SessionCall *call)
{
    const VGPUSessionWord *p = call->parameters;
    SessionStream *stream;
    CUresult r = stream_word(s, p, WRITE_WORD_FLAGS, SESSION_USE_QUICK, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (p->bits == 32)
        return s->driver.stream_write_value_32(stream->handle, p->address, (uint32_t) p->value,
                                               p->flags);
    return s->driver.stream_write_value_64(stream->handle, p->address, p->value, p->flags);
}

CUresult session_op_WORD_WAIT(Session *s, SessionCall *call)
{
    const VGPUSessionWord *p = call->parameters;
    SessionStream *stream;
    CUresult r = stream_word(s, p, WAIT_WORD_FLAGS, SESSION_USE_WAIT, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (p->bits == 32)
        return s->driver.stream_wait_value_32(stream->handle, p->address, (uint32_t) p->value,
                                              p->flags);
    return s->driver.stream_wait_value_64(stream->handle, p->address, p->value, p->flags);
}

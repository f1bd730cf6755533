/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-meter.h"

#include <assert.h>

#include "clock.h"
#include "session-ahead.h"
#include "session-captures.h"
#include "session-dispatch.h"
#include "session-hosts.h"
#include "session-loop.h"
#include "session-marks.h"
#include "session-reply.h"
#include "session-streams.h"

#define METER_LOOK_MIN_NSEC (UINT64_C(20) * NSEC_PER_USEC)
#define METER_LOOK_MAX_NSEC NSEC_PER_MSEC
#define METER_LOOK_PART 8u

/* CU_STREAM_CAPTURE_MODE_RELAXED: captures of other threads forbid this one nothing. */
#define CAPTURE_MODE_RELAXED 2

static bool meter_gate_is_open(const Session *s)
{
    return __atomic_load_n(&s->control->gate, __ATOMIC_SEQ_CST) != 0;
}

/* The gate may have been closed since the session passed it: whoever closed it then may have read
 * that nothing runs, and learns of the work here. */
static void meter_say_running(Session *s)
{
    s->meter.is_running = true;
    s->meter.idle_nsec = UINT64_MAX;
    __atomic_store_n(&s->control->running, 1, __ATOMIC_SEQ_CST);
    if (!meter_gate_is_open(s))
        session_tell(s);
}

static void meter_say_idle(Session *s, uint64_t now)
{
    s->meter.is_running = false;
    s->meter.idle_nsec = now + SESSION_IDLE_USEC * NSEC_PER_USEC;
    __atomic_store_n(&s->control->idle_usec, now / NSEC_PER_USEC, __ATOMIC_RELAXED);
    __atomic_store_n(&s->control->running, 0, __ATOMIC_SEQ_CST);
}

/* Returns when to come again, or UINT64_MAX. */
static uint64_t meter_tell_idle(Session *s, uint64_t now)
{
    SessionMeter *m = &s->meter;

    if (m->idle_nsec == UINT64_MAX || (now < m->idle_nsec && meter_gate_is_open(s)))
        return m->idle_nsec;
    m->idle_nsec = UINT64_MAX;
    session_tell(s);
    return UINT64_MAX;
}

static void meter_see_gate(Session *s, uint64_t now)
{
    SessionMeter *m = &s->meter;
    const bool is_closed = !meter_gate_is_open(s);

    if (is_closed == (m->closed_nsec != 0))
        return;
    m->closed_nsec = is_closed ? now : 0;
    if (is_closed)
        m->look_nsec = now;
}

void session_meter_give_first(Session *s, SessionStream *stream)
{
    SessionMeter *m = &s->meter;

    if (!stream->is_busy) {
        stream->is_busy = true;
        LIST_INSERT_HEAD(&m->busy, stream, busy_link);
    }
    if (m->is_running)
        return;
    m->begin_nsec = m->counted_nsec = now_nsec();
    m->look_nsec = m->begin_nsec + METER_LOOK_MIN_NSEC;
    meter_say_running(s);
}

/* May the driver not be asked? */
static bool meter_must_guess(Session *s, const SessionStream *stream)
{
    if (stream->is_gone)
        return true;
    return s->meter.n_captures > 0 &&
           (stream == &stream->context->legacy || session_stream_captures(s, stream));
}

static bool meter_has_ended(Session *s, const SessionStream *stream)
{
    CUresult r;

    if (session_sticky(s) != CUDA_SUCCESS)
        return true; /* the device does nothing more for this process */
    if (meter_must_guess(s, stream)) {
        if (__atomic_load_n(&stream->context->is_dead, __ATOMIC_ACQUIRE))
            return true;
        return stream->unsure ? stream->is_gone : session_marks_is_reached(s, stream);
    }

    r = session_make_current(s, stream->context->handle);
    if (r == CUDA_SUCCESS && s->meter.n_captures > 0)
        r = session_set_capture_mode(s, CAPTURE_MODE_RELAXED);
    if (r == CUDA_SUCCESS)
        r = s->driver.stream_query(stream->handle);
    return r != CUDA_ERROR_NOT_READY && (session_note(s, r), true);
}

bool session_meter_ask(Session *s, SessionStream *stream)
{
    if (!stream->is_busy)
        return true;
    if (!meter_has_ended(s, stream))
        return false;
    stream->is_busy = stream->unsure = false;
    stream->has_chain = stream->has_other = false;
    LIST_REMOVE(stream, busy_link);
    session_marks_ended(s, stream);
    session_ahead_ended(s, stream);
    return true;
}

void session_meter_ask_all(Session *s)
{
    SessionStream *stream, *next;

    for (stream = LIST_FIRST(&s->meter.busy); stream; stream = next) {
        next = LIST_NEXT(stream, busy_link);
        if (session_meter_ask(s, stream) && stream->is_gone)
            session_stream_free(s, stream);
    }
}

/* Does each busy stream wait for the guest? A stream waits in one place at a time; a graph does in
 * as many as it has branches, so only streams with one that has none count. */
static bool meter_waits(Session *s, uint64_t *ret_calls)
{
    const SessionStream *stream;
    uint32_t n_busy = 0, n_chains = 0, n_graphs, n;

    n = session_hosts_waiting(s, &n_graphs, ret_calls);
    if (n == 0)
        return false;
    LIST_FOREACH(stream, &s->meter.busy, busy_link)
    {
        n_busy++;
        n_chains += stream->has_chain && !stream->has_other;
    }
    return n_busy <= n - n_graphs + (n_graphs < n_chains ? n_graphs : n_chains);
}

/* What passes between two looks is not the device's time if all waits at both, for the same. */
static void meter_count(Session *s, uint64_t now)
{
    SessionMeter *m = &s->meter;
    uint64_t n_calls;
    bool waits = meter_waits(s, &n_calls);

    if (!waits || !m->waits || n_calls != m->n_calls)
        m->total_nsec += now - m->counted_nsec;
    m->waits = waits;
    m->n_calls = n_calls;
    m->counted_nsec = now;
    __atomic_store_n(&s->control->device_usec, m->total_nsec / NSEC_PER_USEC, __ATOMIC_RELAXED);
    __atomic_store_n(&s->header->device_usec, m->total_nsec / NSEC_PER_USEC, __ATOMIC_RELAXED);
}

uint64_t session_meter_look(Session *s, uint64_t now)
{
    SessionMeter *m = &s->meter;
    uint64_t pause;

    if (!m->is_running)
        return meter_tell_idle(s, now);
    meter_see_gate(s, now);
    if (now < m->look_nsec)
        return m->look_nsec;

    session_meter_ask_all(s);
    now = now_nsec();
    meter_count(s, now);
    session_ahead_measure(s, m->total_nsec, LIST_EMPTY(&m->busy));
    if (LIST_EMPTY(&m->busy)) {
        session_marks_idle(s);
        meter_say_idle(s, now);
        return meter_tell_idle(s, now);
    }
    pause =
        (now - (m->closed_nsec > m->begin_nsec ? m->closed_nsec : m->begin_nsec)) / METER_LOOK_PART;
    if (pause < METER_LOOK_MIN_NSEC)
        pause = METER_LOOK_MIN_NSEC;
    if (pause > METER_LOOK_MAX_NSEC)
        pause = METER_LOOK_MAX_NSEC;
    m->look_nsec = now + pause;
    return m->look_nsec;
}

static SessionStream *meter_stream(Session *s, const SessionCall *call)
{
    const VGPUSessionGraph *p = call->parameters;
    SessionStream *stream;

    return session_use_stream(s, p->stream, SESSION_USE_ASK, &stream) == CUDA_SUCCESS ? stream
                                                                                      : NULL;
}

static bool meter_is_begin(const SessionCall *call)
{
    return call->record.opcode == VGPU_SESSION_OP_CAPTURE_BEGIN ||
           call->record.opcode == VGPU_SESSION_OP_CAPTURE_INTO;
}

void session_meter_before(Session *s, const SessionCall *call)
{
    SessionStream *stream;

    if (!meter_is_begin(call))
        return;
    /* Once it has begun, some of these cannot be asked any more. */
    session_meter_ask_all(s);
    LIST_FOREACH(stream, &s->meter.busy, busy_link)
    if (stream->unsure && !meter_must_guess(s, stream))
        session_marks_close(s, stream);
}

void session_meter_after(Session *s, const SessionCall *call, CUresult result)
{
    SessionStream *stream = meter_stream(s, call);

    if (!stream)
        return;
    if (meter_is_begin(call) && result == CUDA_SUCCESS && !stream->captures) {
        const VGPUSessionGraph *p = call->parameters;

        stream->captures = true;
        s->meter.n_captures++;
        session_captures_begin(s, stream, &call->record, p->flags & ~VGPU_SESSION_EDGE_DATA);
    }
    if (call->record.opcode == VGPU_SESSION_OP_CAPTURE_END && stream->captures &&
        !session_stream_captures(s, stream)) {
        stream->captures = false;
        s->meter.n_captures--;
        session_captures_end(s, stream);
    }
}

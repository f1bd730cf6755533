/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-ahead.h"

#include "clock.h"
#include "session-marks.h"
#include "session-reply.h"

/* So many are allowed while it is not known how long one takes. */
#define AHEAD_UNKNOWN 4u
#define AHEAD_MAX (1u << 20)
/* A mark for each part of what is allowed, and a look */
#define AHEAD_PARTS 8u
#define AHEAD_LOOK_MIN_NSEC (UINT64_C(20) * NSEC_PER_USEC)
#define AHEAD_SAMPLE_NSEC NSEC_PER_MSEC
/* How much longer a device that works is waited for than one that does not */
#define AHEAD_PATIENCE 8u
#define AHEAD_WORK_MAX_NSEC (UINT64_C(50) * NSEC_PER_MSEC)
/* It is twice as long each time, and that many more are let through, up to these powers: kernels
 * may wait for what the guest gives after a thousand others. */
#define AHEAD_PATIENCE_POWER 4u
#define AHEAD_EXTRA_POWER 10u

/* ---- How many may be ahead --------------------------------------------------------------------
 */

static void ahead_allow(SessionAhead *a)
{
    uint64_t allowed = AHEAD_UNKNOWN;

    if (a->usec == 0) {
        a->bound = UINT32_MAX;
        a->span = SESSION_MARK_SPAN_MAX;
        return;
    }
    if (a->average_nsec > 0)
        allowed = 1 + a->usec * NSEC_PER_USEC / a->average_nsec;
    a->allowed = allowed < AHEAD_MAX ? (uint32_t) allowed : AHEAD_MAX;
    a->bound = a->allowed + a->extra;
    a->span = a->allowed / AHEAD_PARTS;
    if (a->span < 1)
        a->span = 1;
    if (a->span > SESSION_MARK_SPAN_MAX)
        a->span = SESSION_MARK_SPAN_MAX;
}

/* What was given before there was a bound is not known. */
static void ahead_forget(Session *s)
{
    SessionStream *stream;

    LIST_FOREACH(stream, &s->meter.busy, busy_link)
    stream->n_ahead = stream->n_unmarked = 0;
    s->ahead.n = s->ahead.n_marks = s->ahead.extra = 0;
}

static void ahead_hear(Session *s)
{
    SessionAhead *a = &s->ahead;
    uint32_t usec = __atomic_load_n(&s->control->ahead_usec, __ATOMIC_RELAXED);

    if ((usec == 0) != (a->usec == 0))
        ahead_forget(s);
    a->usec = usec;
    ahead_allow(a);
}

void session_ahead_open(Session *s)
{
    ahead_hear(s);
}

void session_ahead_measure(Session *s, uint64_t device_nsec, bool is_end)
{
    SessionAhead *a = &s->ahead;
    uint64_t took = device_nsec - a->measured_nsec, n = a->n_done - a->n_measured, one;

    if (n == 0 || (took < AHEAD_SAMPLE_NSEC && !is_end)) {
        if (is_end || !session_ahead_is_bound(s))
            a->measured_nsec = device_nsec;
        return;
    }
    a->measured_nsec = device_nsec;
    a->n_measured = a->n_done;
    one = took / n > 0 ? took / n : 1;
    a->average_nsec = a->average_nsec == 0 ? one : a->average_nsec - a->average_nsec / 4 + one / 4;
    if (a->average_nsec == 0)
        a->average_nsec = 1;
    ahead_allow(a);
}

/* ---- What is done ------------------------------------------------------------------------------
 */

static void ahead_done(Session *s, SessionStream *stream, uint32_t n)
{
    SessionAhead *a = &s->ahead;

    stream->n_ahead -= n;
    a->n -= n;
    a->n_done += n;
    if (a->n < a->allowed)
        a->extra = 0;
}

static void ahead_look(Session *s)
{
    SessionAhead *a = &s->ahead;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < a->n_marks; i++) {
        SessionAheadMark *m = &a->marks[i];

        if (session_marks_has_reached(s, m->stream, m->mark))
            ahead_done(s, m->stream, m->n);
        else
            a->marks[kept++] = *m;
    }
    a->n_marks = kept;
}

/* Returns the stream's last mark, or NULL. */
static SessionAheadMark *ahead_last_of(SessionAhead *a, const SessionStream *stream)
{
    for (uint32_t i = a->n_marks; i > 0; i--)
        if (a->marks[i - 1].stream == stream)
            return &a->marks[i - 1];
    return NULL;
}

void session_ahead_mark(Session *s, SessionStream *stream)
{
    SessionAhead *a = &s->ahead;
    SessionAheadMark *m;

    if (stream->n_unmarked == 0)
        return;
    if (a->n_marks == SESSION_AHEAD_MARKS)
        ahead_look(s);
    if (a->n_marks < SESSION_AHEAD_MARKS) {
        m = &a->marks[a->n_marks++];
        *m = (SessionAheadMark){.stream = stream};
    } else {
        m = ahead_last_of(a, stream);
    }
    if (!m)
        return; /* the next one counts them */
    m->mark = stream->mark;
    m->n += stream->n_unmarked;
    stream->n_unmarked = 0;
}

void session_ahead_ended(Session *s, SessionStream *stream)
{
    SessionAhead *a = &s->ahead;
    uint32_t kept = 0;

    if (stream->n_ahead == 0)
        return;
    for (uint32_t i = 0; i < a->n_marks; i++)
        if (a->marks[i].stream != stream)
            a->marks[kept++] = a->marks[i];
    a->n_marks = kept;
    ahead_done(s, stream, stream->n_ahead);
    stream->n_unmarked = 0;
}

/* ---- Holding back ------------------------------------------------------------------------------
 */

/* Works alone are held back: fences and the like are what others may wait for. */
static bool ahead_stream_of(const SessionRingRecord *record, uint32_t *ret)
{
    switch (record->record->opcode) {
#define STREAM_OF_(name, type)                              \
    case VGPU_SESSION_OP_##name:                            \
        *ret = ((const type *) record->parameters)->stream; \
        return true;
        STREAM_OF_(LAUNCH, VGPUSessionLaunch)
        STREAM_OF_(GRAPH_LAUNCH, VGPUSessionGraph)
        STREAM_OF_(COPY, VGPUSessionCopy)
        STREAM_OF_(COPY_3D, VGPUSessionCopy3D)
        STREAM_OF_(SET, VGPUSessionSet)
        STREAM_OF_(MEMORY_ALLOC_ASYNC, VGPUSessionMemory)
        STREAM_OF_(MEMORY_FREE_ASYNC, VGPUSessionMemory)
#undef STREAM_OF_
    default:
        return false;
    }
}

static bool ahead_is_captured(Session *s, uint32_t id)
{
    void *stream;

    return s->meter.n_captures > 0 && id != 0 &&
           session_find(s, SESSION_STREAM, id, &stream) == CUDA_SUCCESS &&
           session_stream_captures(s, stream);
}

bool session_ahead_is_full(Session *s, const SessionRingRecord *record)
{
    SessionAhead *a = &s->ahead;
    uint32_t id;

    ahead_hear(s);
    if (a->n < a->bound || !record->known || !ahead_stream_of(record, &id))
        return false;
    ahead_look(s);
    ahead_allow(a);
    return a->n >= a->bound && session_sticky(s) == CUDA_SUCCESS && !ahead_is_captured(s, id);
}

void session_ahead_begin_wait(Session *s, SessionAheadWait *wait)
{
    wait->since_nsec = now_nsec();
    wait->n_done = s->ahead.n_done;
}

/* Is a stream at works, as far as the marks say? */
static bool ahead_device_works(Session *s)
{
    const SessionStream *stream;

    LIST_FOREACH(stream, &s->meter.busy, busy_link)
    if (session_marks_is_at_work(s, stream))
        return true;
    return false;
}

static unsigned ahead_power(const SessionAhead *a, unsigned max)
{
    return a->n_impatient < max ? a->n_impatient : max;
}

static uint64_t ahead_patience(Session *s)
{
    const SessionAhead *a = &s->ahead;
    uint64_t patience = a->usec * NSEC_PER_USEC;

    if (!ahead_device_works(s))
        return patience;
    if (patience < a->average_nsec)
        patience = a->average_nsec < AHEAD_WORK_MAX_NSEC ? a->average_nsec : AHEAD_WORK_MAX_NSEC;
    return patience * AHEAD_PATIENCE << ahead_power(a, AHEAD_PATIENCE_POWER);
}

bool session_ahead_go_on_waiting(Session *s, SessionAheadWait *wait, uint64_t *ret_next)
{
    SessionAhead *a = &s->ahead;
    uint64_t now = now_nsec(), pause = a->usec * NSEC_PER_USEC / AHEAD_PARTS;

    if (wait->n_done != a->n_done) {
        wait->since_nsec = now;
        wait->n_done = a->n_done;
        a->n_impatient = 0;
    }
    if (now - wait->since_nsec >= ahead_patience(s)) {
        a->extra += 1u << ahead_power(a, AHEAD_EXTRA_POWER);
        a->n_impatient++;
        return false;
    }
    *ret_next = now + (pause > AHEAD_LOOK_MIN_NSEC ? pause : AHEAD_LOOK_MIN_NSEC);
    return true;
}

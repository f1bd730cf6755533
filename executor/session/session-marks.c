/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-marks.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "clock.h"
#include "session-dispatch.h"
#include "session-meter.h"
#include "session-reply.h"

#define MARK_SPAN_BITS 8
#define MARK_AGE_NSEC (UINT64_C(10) * NSEC_PER_MSEC)

/* The driver takes about a thousand works before it lets a caller wait. Before it can come to that,
 * no stream but the one that gets work is left without an end. */
#define MARKS_DEEP 256u

/* ---- The words --------------------------------------------------------------------------------
 */

static size_t marks_bytes(const SessionMarks *m)
{
    return ((m->n + (size_t) VGPU_SESSION_HOST_CALLS_MAX) * sizeof(uint64_t) + 4095) / 4096 * 4096;
}

int session_marks_open(Session *s, uint32_t n)
{
    SessionMarks *m = &s->marks;
    void *words;

    m->n = n;
    m->limit_nsec = s->start.kernel_timeout_usec > UINT64_MAX / NSEC_PER_USEC / 256
                        ? UINT64_MAX
                        : s->start.kernel_timeout_usec * NSEC_PER_USEC;
    words = mmap(NULL, marks_bytes(m), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    m->words = words == MAP_FAILED ? NULL : words;
    m->watches = calloc(n, sizeof(*m->watches));
    m->free_places = calloc(n, sizeof(*m->free_places));
    if (!m->words || !m->watches || !m->free_places)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        m->free_places[i] = n - 1 - i;
    m->n_free = n;
    return 0;
}

CUresult session_marks_register(Session *s, CUcontext context)
{
    const CudaDriver *d = &s->driver.base;
    SessionMarks *m = &s->marks;
    CUresult r;

    if (m->registered_in)
        return CUDA_SUCCESS;
    r = d->mem_host_register(m->words, marks_bytes(m),
                             CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
    if (r != CUDA_SUCCESS && r != CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)
        return r;
    r = d->mem_host_get_device_pointer(&m->device, m->words, 0);
    if (r == CUDA_SUCCESS)
        m->registered_in = context;
    return r;
}

void session_marks_forget(Session *s, CUcontext context, bool is_last)
{
    if (s->marks.registered_in != context)
        return;
    if (is_last)
        (void) s->driver.base.mem_host_unregister(s->marks.words);
    s->marks.registered_in = NULL;
}

uint32_t session_marks_take_place(Session *s)
{
    SessionMarks *m = &s->marks;
    uint32_t place = SESSION_NO_PLACE;

    pthread_mutex_lock(&s->lock);
    if (m->n_free > 0)
        place = m->free_places[--m->n_free];
    pthread_mutex_unlock(&s->lock);
    return place;
}

void session_marks_give_place(Session *s, uint32_t place)
{
    SessionMarks *m = &s->marks;

    if (place == SESSION_NO_PLACE)
        return;
    pthread_mutex_lock(&s->lock);
    m->free_places[m->n_free++] = place;
    pthread_mutex_unlock(&s->lock);
}

/* ---- Giving marks, on the ring's thread -------------------------------------------------------
 */

/* The numbers of a place go on when another stream gets it. */
static void marks_give(Session *s, SessionStream *stream, uint32_t span)
{
    SessionMarks *m = &s->marks;
    CUcontext before = session_thread()->current;
    SessionWatch *w;
    CUresult r;

    if (stream->place == SESSION_NO_PLACE)
        return;
    w = &m->watches[stream->place];
    stream->mark = ((w->given >> MARK_SPAN_BITS) + 1) << MARK_SPAN_BITS | span;
    r = session_make_current(s, stream->context->handle);
    if (r == CUDA_SUCCESS)
        r = s->driver.stream_write_value_64(
            stream->handle, m->device + stream->place * sizeof(*m->words), stream->mark, 0);
    session_note(s, r);
    (void) session_make_current(s, before);
    if (r == CUDA_SUCCESS)
        session_ahead_mark(s, stream);

    stream->unsure = r != CUDA_SUCCESS;
    stream->is_open = span > 0;
    stream->n_works = 0;
    stream->mark_nsec = now_nsec();
    __atomic_store_n(&w->n_works, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&w->given, stream->mark, __ATOMIC_RELEASE);
}

void session_marks_close(Session *s, SessionStream *stream)
{
    marks_give(s, stream, 0);
}

/* While a capture is under way, a legacy default stream takes nothing, and has been closed. */
static void marks_close_open(Session *s, SessionStream *stream)
{
    if (stream->is_open && !session_stream_captures(s, stream) &&
        !(s->meter.n_captures > 0 && stream == &stream->context->legacy))
        session_marks_close(s, stream);
}

/* The legacy default stream and the blocking ones of its context wait for each other. What is in
 * one of them ends with a mark before another gets what it may have to wait for. */
static void marks_close_others(Session *s, const SessionStream *stream)
{
    SessionStream *legacy = &stream->context->legacy;
    SessionStream *other;
    unsigned n = s->marks.n_given;
    bool all = n == MARKS_DEEP || (n > MARKS_DEEP && s->marks.last != stream);

    if (stream->is_blocking && stream != legacy)
        marks_close_open(s, legacy);
    if (stream != legacy && !all)
        return;
    LIST_FOREACH(other, &s->meter.busy, busy_link)
    if (other != stream && !other->is_gone &&
        (all || (other->context == stream->context && other->is_blocking)))
        marks_close_open(s, other);
}

static bool marks_is_due(const SessionStream *stream)
{
    return !stream->is_open || stream->n_works >= stream->span ||
           now_nsec() - stream->mark_nsec >= MARK_AGE_NSEC;
}

static uint32_t marks_next_span(const Session *s, const SessionStream *stream)
{
    uint32_t span = stream->span;

    if (!session_marks_are_timed(s))
        return s->ahead.span;
    if (!session_marks_is_reached(s, stream))
        span = span > 1 ? span / 2 : 1;
    else if (stream->is_open && span < SESSION_MARK_SPAN_MAX)
        span *= 2;
    return span < s->ahead.span ? span : s->ahead.span;
}

static void marks_before_work(Session *s, SessionStream *stream)
{
    if (marks_is_due(stream)) {
        stream->span = marks_next_span(s, stream);
        marks_give(s, stream, stream->span);
    }
    stream->n_works++;
    if (stream->place != SESSION_NO_PLACE)
        __atomic_store_n(&s->marks.watches[stream->place].n_works, stream->n_works,
                         __ATOMIC_RELAXED);
}

void session_marks_before_use(Session *s, SessionStream *stream, SessionStreamUse use)
{
    s->marks.n_given++;
    marks_close_others(s, stream);
    if (use == SESSION_USE_WORK)
        marks_before_work(s, stream);
    else if (use == SESSION_USE_WAIT)
        marks_close_open(s, stream);
    s->marks.last = stream;
}

static uint64_t marks_word(const Session *s, uint32_t place)
{
    return __atomic_load_n(&s->marks.words[place], __ATOMIC_ACQUIRE);
}

bool session_marks_is_reached(const Session *s, const SessionStream *stream)
{
    return stream->place == SESSION_NO_PLACE || session_marks_has_reached(s, stream, stream->mark);
}

bool session_marks_has_reached(const Session *s, const SessionStream *stream, uint64_t mark)
{
    return marks_word(s, stream->place) >> MARK_SPAN_BITS >= mark >> MARK_SPAN_BITS;
}

/* How many works follow the mark in the word. What was behind it may have ended without another
 * one: what is next may wait. */
static uint64_t marks_span_now(const SessionWatch *w, uint64_t word)
{
    if (__atomic_load_n(&w->ended, __ATOMIC_ACQUIRE) >> MARK_SPAN_BITS >= word >> MARK_SPAN_BITS)
        return 0;
    return word & ((1u << MARK_SPAN_BITS) - 1);
}

bool session_marks_is_at_work(const Session *s, const SessionStream *stream)
{
    return stream->place != SESSION_NO_PLACE &&
           marks_span_now(&s->marks.watches[stream->place], marks_word(s, stream->place)) > 0;
}

void session_marks_ended(Session *s, SessionStream *stream)
{
    stream->is_open = false;
    if (stream->place == SESSION_NO_PLACE)
        return;
    __atomic_store_n(&s->marks.watches[stream->place].ended, stream->mark, __ATOMIC_RELEASE);
}

void session_marks_idle(Session *s)
{
    s->marks.n_given = 0;
    s->marks.last = NULL;
}

/* ---- Looking at them, on the first thread -----------------------------------------------------
 */

static bool watch_is_overdue(SessionWatch *w, uint64_t word, uint64_t limit, uint64_t now)
{
    uint64_t given = __atomic_load_n(&w->given, __ATOMIC_ACQUIRE);
    uint64_t span = marks_span_now(w, word);

    if (word != w->seen || span == 0) {
        w->seen = word;
        w->since_nsec = now;
        return false;
    }
    if (word == given) {
        uint32_t n = __atomic_load_n(&w->n_works, __ATOMIC_RELAXED);

        span = n > 0 ? n : 1;
    }
    return now - w->since_nsec >= span * limit;
}

bool session_marks_is_overdue(Session *s, uint64_t now)
{
    SessionMarks *m = &s->marks;

    if (!session_marks_are_timed(s))
        return false;
    for (uint32_t i = 0; i < m->n; i++)
        if (__atomic_load_n(&m->watches[i].given, __ATOMIC_RELAXED) != 0 &&
            watch_is_overdue(&m->watches[i], marks_word(s, i), m->limit_nsec, now))
            return true;
    return false;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Marks: numbers that the device writes into a word of the executor's between the works of
 * a stream (cuStreamWriteValue64). The word says how far the device is, to a thread that must not
 * call the driver.
 *
 * That is how a kernel that never ends is found. A mark that works follow directly has their number
 * in it, its span: once the device has written it, the stream waits for nothing but these works,
 * and each may take the time limit. A mark that nothing or a wait follows has span 0: for that no
 * time counts. So before works there is a mark with a span, after at most so many works or 10 ms
 * the next, and before a wait one with span 0: for an event or a word of the guest's, for a
 * function of the host's, for the legacy default stream.
 *
 * The span grows from 1 to 32 while the device keeps up with what it is given, and shrinks while it
 * does not: so marks cost little where the processor is the limit, and the time limit is exact
 * where the device is. What is found is a kernel, a copy or a graph that takes longer than the
 * limit; at worst only after 32 times the limit, where 31 short works follow it under one mark.
 *
 * A graph that may wait counts as a wait: it has no limit.
 *
 * A kernel that finds these words and writes to them itself can hide that it never ends. The limit
 * is for programs that hang; who lets others share a device with a hostile one can end that
 * session.
 *
 * Time is the clock's while the device has the work, also where other sessions share the device.
 *
 * By the same marks the executor sees how much of what it has given is done, where it may give so
 * much ahead (session-ahead.h); the span is at most what that says, and just that without a limit.
 * Without either a stream gets marks only where the driver cannot be asked (session-meter.h).
 */
#ifndef VGPU_SESSION_MARKS_H
#define VGPU_SESSION_MARKS_H

#include "session-ahead.h"

#define SESSION_MARK_SPAN_MAX 32u

/* session_marks_open() - room for @n streams. Returns 0 or -ENOMEM. Before any thread starts */
int session_marks_open(Session *s, uint32_t n);

/* session_marks_register() - tell CUDA of the words, unless it knows; on the SLOW thread, where
 * @context is current */
CUresult session_marks_register(Session *s, CUcontext context);

/* session_marks_forget() - as session_window_forget() */
void session_marks_forget(Session *s, CUcontext context, bool is_last);

/* session_marks_take_place(), session_marks_give_place() - a word, or SESSION_NO_PLACE; from either
 * thread */
uint32_t session_marks_take_place(Session *s);
void session_marks_give_place(Session *s, uint32_t place);

/* session_marks_are_timed() - is there a limit? */
static inline bool session_marks_are_timed(const Session *s)
{
    return s->marks.limit_nsec != UINT64_MAX;
}

/* What session_marks_before() does when there is a limit, or a bound */
void session_marks_before_use(Session *s, SessionStream *stream, SessionStreamUse use);

/* session_marks_before() - a stream is about to get that */
static inline void session_marks_before(Session *s, SessionStream *stream, SessionStreamUse use)
{
    if ((session_marks_are_timed(s) || session_ahead_is_bound(s)) && use != SESSION_USE_ASK)
        session_marks_before_use(s, stream, use);
}

/* session_marks_close() - a mark with span 0 behind all that a stream has */
void session_marks_close(Session *s, SessionStream *stream);

/* session_marks_is_reached() - has the device written the stream's last mark? */
bool session_marks_is_reached(const Session *s, const SessionStream *stream);

/* session_marks_has_reached() - has it written that one, or a later one? */
bool session_marks_has_reached(const Session *s, const SessionStream *stream, uint64_t mark);

/* session_marks_is_at_work() - does a busy stream wait for nothing but works? */
bool session_marks_is_at_work(const Session *s, const SessionStream *stream);

/* session_marks_ended() - all that a stream has got has ended */
void session_marks_ended(Session *s, SessionStream *stream);

/* session_marks_idle() - the device has nothing */
void session_marks_idle(Session *s);

/* session_marks_is_overdue() - does the device work longer than the limit at one thing? On the
 * first thread; to be asked ten times in the time of the limit, or more often */
bool session_marks_is_overdue(Session *s, uint64_t now);

#endif

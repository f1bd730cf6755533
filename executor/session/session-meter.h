/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the device has had work of a session.
 *
 * Each stream that gets work is busy until the driver says that it has none (cuStreamQuery); the
 * session runs while a stream is busy. What the guest waits for costs nothing here: the question is
 * asked on the ring's thread when a moment for it has come, 20 µs after work began, then after each
 * eighth of the time that has passed, and at least each millisecond; while operations follow each
 * other without a pause, each millisecond. So a time of running
 * is counted too long by an eighth of it, by 20 µs if that is more, and by a millisecond at most;
 * never too short. Times in between that are shorter than the next moment are counted as running.
 *
 * While the gate is closed, another session waits for the end: the eighth is one of the time since
 * that was seen.
 *
 * While each busy stream waits for a function of the guest's (session-hosts.h), no time is counted:
 * what passes between two looks that find the same functions called, and all streams waiting.
 *
 * Work that is captured is none for the device. While a capture is under way, the driver forbids to
 * ask certain streams: those that capture, and legacy default streams. They were given a
 * mark (session-marks.h) when the capture began, and are judged by it.
 *
 * All on the ring's thread.
 */
#ifndef VGPU_SESSION_METER_H
#define VGPU_SESSION_METER_H

#include "session-core.h"

/* What session_meter_give() does for a stream or a device that had none */
void session_meter_give_first(Session *s, SessionStream *stream);

/* session_meter_give() - a stream is about to get work that is not captured */
static inline void session_meter_give(Session *s, SessionStream *stream)
{
    stream->unsure = true;
    s->meter.waits = false;
    if (!stream->is_busy || !s->meter.is_running)
        session_meter_give_first(s, stream);
}

/* session_meter_look() - ask, if it is time to, and tell the mediator what it is due. Returns when
 * it is time again (now_nsec()), or UINT64_MAX */
uint64_t session_meter_look(Session *s, uint64_t now);

/* session_meter_hurry() - it is time to */
static inline void session_meter_hurry(Session *s)
{
    s->meter.look_nsec = 0;
}

/* session_meter_ask() - has a busy stream done all that it was given? If so, it is not busy any
 * more */
bool session_meter_ask(Session *s, SessionStream *stream);

/* session_meter_ask_all() - the same of all busy streams; frees those that are gone and have ended
 */
void session_meter_ask_all(Session *s);

/* session_meter_before(), session_meter_after() - around each CAPTURE_BEGIN and CAPTURE_END */
void session_meter_before(Session *s, const SessionCall *call);
void session_meter_after(Session *s, const SessionCall *call, CUresult result);

#endif

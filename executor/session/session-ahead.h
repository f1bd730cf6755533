/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much a session gives to the device ahead of what that has done (ahead_usec in the control
 * page): what is ahead when the turn ends, the next session waits for.
 *
 * Counted are works: launches, copies, and so on, captured ones not. That one is done is seen by
 * the mark behind it (session-marks.h), or when its stream has ended (session-meter.h). How many
 * may be ahead follows from the device time that they take, on average.
 *
 * It never holds a session up for ever: what is ahead may wait for what is held back. When nothing
 * has been done for a while, one work more is let through, and may be ahead from then on, until few
 * are. The while is ahead_usec when each stream stands at something to wait for, so that the device
 * does nothing. Else works are on the device, which may take long, but may also be kernels that
 * wait for the guest: then it is eight times as long, and twice as long each time.
 *
 * All on the ring's thread.
 */
#ifndef VGPU_SESSION_AHEAD_H
#define VGPU_SESSION_AHEAD_H

#include "session-streams.h"

/* What session_hold_back() asks, while the operation waits */
typedef struct SessionAheadWait {
    uint64_t since_nsec; /* of the last progress */
    uint64_t n_done;
} SessionAheadWait;

/* session_ahead_open() - before any thread starts */
void session_ahead_open(Session *s);

/* session_ahead_is_full() - must this operation wait? Looks at the control page and the marks */
bool session_ahead_is_full(Session *s, const SessionRingRecord *record);

/* session_ahead_begin_wait() - it waits from now on */
void session_ahead_begin_wait(Session *s, SessionAheadWait *wait);

/* session_ahead_go_on_waiting() - asked from time to time; false when it is to be let through.
 * @ret_next: when to ask again, as now_nsec() has it */
bool session_ahead_go_on_waiting(Session *s, SessionAheadWait *wait, uint64_t *ret_next);

/* session_ahead_is_bound() - is there a bound? */
static inline bool session_ahead_is_bound(const Session *s)
{
    return s->ahead.usec != 0;
}

/* session_ahead_may_be_full() - worth a look? For all operations that give work */
static inline bool session_ahead_may_be_full(const Session *s)
{
    return __atomic_load_n(&s->control->ahead_usec, __ATOMIC_RELAXED) != s->ahead.usec ||
           s->ahead.n >= s->ahead.bound;
}

/* session_ahead_give() - a stream is about to get a work that is not captured */
static inline void session_ahead_give(Session *s, SessionStream *stream)
{
    if (!session_ahead_is_bound(s))
        return;
    s->ahead.n++;
    stream->n_ahead++;
    stream->n_unmarked++;
}

/* session_ahead_mark() - a stream has got a mark */
void session_ahead_mark(Session *s, SessionStream *stream);

/* session_ahead_ended() - all that a stream has got has ended */
void session_ahead_ended(Session *s, SessionStream *stream);

/* session_ahead_measure() - so much device time has been counted; @is_end: the device has nothing
 */
void session_ahead_measure(Session *s, uint64_t device_nsec, bool is_end);

#endif

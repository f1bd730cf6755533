/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring's thread: it takes operations, sleeps where there are none, and stops at the gate. */
#ifndef VGPU_SESSION_LOOP_H
#define VGPU_SESSION_LOOP_H

#include "session-ahead.h"

/* What session_pass_gate() does when the gate is closed */
void session_wait_at_gate(Session *s);

/* What session_pass_ahead() does when the bound may be reached */
void session_hold_back(Session *s, const SessionRingRecord *record);

/* session_loop_open() - make what it waits on; returns 0 or a negative errno */
int session_loop_open(Session *s);

/* session_loop_run() - the thread's function, of a Session; does not return */
void *session_loop_run(void *data);

/*
 * session_pass_gate() - wait until the session may give work to the device
 *
 * Says in the control page that it waits, and tells the mediator. On the ring's thread.
 */
static inline void session_pass_gate(Session *s)
{
    if (__atomic_load_n(&s->control->gate, __ATOMIC_ACQUIRE) == 0)
        session_wait_at_gate(s);
}

/* session_pass_ahead() - behind session_pass_gate(): wait until the device has done enough of what
 * it was given before. When the gate closes meanwhile, wait there, too */
static inline void session_pass_ahead(Session *s, const SessionRingRecord *record)
{
    if (session_ahead_may_be_full(s))
        session_hold_back(s, record);
}

/* session_tell() - the control page has changed: tell the mediator, if it wants to know. If it does
 * not read now, it is told later. On the ring's thread. */
void session_tell(Session *s);

#endif

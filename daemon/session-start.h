/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session and its executor share: what goes along with START, and the gate. */
#ifndef VGPU_SESSION_START_H
#define VGPU_SESSION_START_H

#include "session-parts.h"

/*
 * session_start() - make the pages, and send START
 * @s: its VM, pool, window and device are set
 *
 * What another executor would need is kept where the process is a spare. Returns 0 or a negative
 * errno; session_close_pages() in either case.
 */
int session_start(Session *s, const SessionOptions *options, SessionProcess *process);

/* session_send_start() - START once more, for another process, with what is kept. Returns 0 or a
 * negative errno */
int session_send_start(Session *s, SessionProcess *process);

/*
 * session_update_gate() - the VM is paused, goes on, or has other settings; or the pool
 *
 * Where the pool has turns since, it takes part in them, and no more where it has none. Returns 0,
 * or a negative errno when it cannot take part: its gate is as it was.
 */
int session_update_gate(Session *s);

/* session_close_kept() - no other executor is wanted */
void session_close_kept(Session *s);

/* session_reset_pages() - the executor is gone, and another one gets the same pages: forget what it
 * wrote */
void session_reset_pages(Session *s);

/* session_close_account() - the executor is gone: what it had is the VM's again */
void session_close_account(Session *s);

/* session_close_pages() - all of it */
void session_close_pages(Session *s);

#endif

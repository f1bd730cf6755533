/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thread for operations that may take long in the driver. */
#ifndef VGPU_SESSION_SLOW_H
#define VGPU_SESSION_SLOW_H

#include "session-core.h"

/* session_slow_start() - start the thread; returns 0 or a negative errno */
int session_slow_start(Session *s);

/*
 * session_slow_push() - let the thread carry an operation out, behind the earlier ones
 * @record: need not outlive the call
 * @context: the record's, as the ring's thread sees it; if NULL, it is looked for once more when
 * the operation's turn comes
 *
 * Waits while SESSION_SLOW_MAX operations wait.
 */
void session_slow_push(Session *s, const SessionRingRecord *record, SessionContext *context);

/* session_slow_end() - answer all that waits with @result; the process is about to end */
void session_slow_end(Session *s, CUresult result);

#endif

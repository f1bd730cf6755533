/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a record to the function that carries it out, on the thread and in the context that its
 * operation needs. */
#ifndef VGPU_SESSION_DISPATCH_H
#define VGPU_SESSION_DISPATCH_H

#include "session-core.h"

/*
 * session_dispatch() - carry an operation out, or hand it to the SLOW thread
 * @record: from session_ring_take(); need not outlive the call
 *
 * On the ring's thread. Waits at the gate before an operation that gives work to the device.
 */
void session_dispatch(Session *s, const SessionRingRecord *record);

/*
 * session_carry_out() - call the operation's function, and tell the guest
 * @context: the record's, or NULL when there is none
 *
 * On either of the two threads.
 */
void session_carry_out(Session *s, SessionContext *context, SessionCall *call);

/* session_make_current() - for the calls into the driver that follow on this thread */
CUresult session_make_current(Session *s, CUcontext context);

/* session_set_capture_mode() - likewise; one of CUstreamCaptureMode */
CUresult session_set_capture_mode(Session *s, int mode);

#endif

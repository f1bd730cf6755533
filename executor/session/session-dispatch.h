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

/* What the two below do when it is not so already */
CUresult session_change_current(Session *s, CUcontext context);
CUresult session_change_capture_mode(Session *s, int mode);

/* session_make_current() - for the calls into the driver that follow on this thread */
static inline CUresult session_make_current(Session *s, CUcontext context)
{
    return session_thread()->current == context ? CUDA_SUCCESS : session_change_current(s, context);
}

/* session_set_capture_mode() - likewise; one of CUstreamCaptureMode */
static inline CUresult session_set_capture_mode(Session *s, int mode)
{
    return session_thread()->capture_mode == mode ? CUDA_SUCCESS
                                                  : session_change_capture_mode(s, mode);
}

#endif

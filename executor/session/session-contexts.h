/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a context ends: in two steps, as two threads know it. */
#ifndef VGPU_SESSION_CONTEXTS_H
#define VGPU_SESSION_CONTEXTS_H

#include "session-core.h"

/*
 * session_context_leave() - before the SLOW thread destroys a context: take its number away, and
 *     those of its streams and events
 * @record: a CONTEXT_DESTROY
 *
 * On the ring's thread. Returns the context, or NULL when there is none of that number.
 */
SessionContext *session_context_leave(Session *s, const SessionRingRecord *record);

/* session_contexts_reap() - free what the SLOW thread has destroyed. On the ring's thread */
void session_contexts_reap(Session *s);

/* session_any_context() - one that the guest has now, or the warm one; NULL when there is none */
CUcontext session_any_context(Session *s);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CUDA session of a VM's guest: a ring of its device, and the executor process that serves it.
 * The mediator is on no call's way. It has started the executor, opens and closes its gate, reads
 * what it counts, and ends it.
 *
 * A session is over when its executor is gone, and not before: until then it counts, and nobody is
 * told that the window is free. Its VM may go earlier.
 */
#ifndef VGPU_VM_SESSION_H
#define VGPU_VM_SESSION_H

#include "session-parts.h"

/*
 * session_new() - hand a ring to an executor
 * @vm: connected
 * @process: taken over on 0
 * @window: a reference, taken over on 0
 * @owner: where the VM's device has it; set now, and to NULL when the session is over
 *
 * Answers SESSION_READY when the executor has. Returns 0 or a negative errno.
 */
int session_new(const SessionOptions *options, VM *vm, Pool *pool, SessionProcess *process,
                Window *window, const SessionOps *ops, void *userdata, Session **owner,
                Session **ret);

/* session_end() - the executor is to end. Does nothing for one that is ending */
void session_end(Session *s, SessionReason reason);

/* session_close() - SESSION_CLOSE; answers SESSION_CLOSED when the executor is gone */
void session_close(Session *s, uint32_t request_id);

/* session_abandon() - the device is gone: nobody is answered any more. NULL is fine */
void session_abandon(Session *s);

/* session_executor() - its process; 0: not known, or gone */
pid_t session_executor(const Session *s);

/* session_figures() - as they are now */
const SessionFigures *session_figures(Session *s);

/* session_free() - kill its executor; nobody is told but the journal. NULL is fine */
Session *session_free(Session *s);

#endif

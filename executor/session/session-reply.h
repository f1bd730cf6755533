/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guest is told: replies, the latched error, the sticky one, and the interrupt. */
#ifndef VGPU_SESSION_REPLY_H
#define VGPU_SESSION_REPLY_H

#include "session-core.h"

/* What session_reply() and session_note() do when there is something to do */
void session_reply_or_latch(Session *s, const SessionCall *call, CUresult result);
CUresult session_note_error(Session *s, CUresult result);

/*
 * session_reply() - how an operation ended
 * @call: its record says where; its values go along
 *
 * Into its reply slot; without one an error is latched, if none is yet. Wakes the guest, where it
 * waits. From any thread.
 */
static inline void session_reply(Session *s, const SessionCall *call, CUresult result)
{
    if (call->record.reply != 0 || result != CUDA_SUCCESS)
        session_reply_or_latch(s, call, result);
}

/* session_take_error() - the latched error or CUDA_SUCCESS; none is latched any more */
CUresult session_take_error(Session *s, uint64_t *ret_position);

/*
 * session_note() - look at what the driver returned
 *
 * If the context does not survive it, it is sticky from now on: each later operation ends with it,
 * and the guest is woken. From any thread. Returns @result.
 */
static inline CUresult session_note(Session *s, CUresult result)
{
    return result == CUDA_SUCCESS ? CUDA_SUCCESS : session_note_error(s, result);
}

/* session_stick() - an error is sticky from now on, unless one is already */
void session_stick(Session *s, CUresult error);

/* session_sticky() - the sticky error, or CUDA_SUCCESS */
static inline CUresult session_sticky(const Session *s)
{
    return (CUresult) __atomic_load_n(&s->sticky, __ATOMIC_ACQUIRE);
}

/* session_set_state() - VGPU_SESSION_STATE_* in the header */
void session_set_state(Session *s, uint32_t state);

/* session_signal() - wake the guest, whether it waits or not */
void session_signal(const Session *s);

#endif

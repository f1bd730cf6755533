/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a graph names, and what ends before it may: modules, whose functions it launches, arrays
 * and mipmaps, with which it copies, and events. A graph names at least what is here; what was in
 * it once stays here.
 *
 * Under the handles' lock.
 */
#ifndef VGPU_SESSION_SESSION_USES_H
#define VGPU_SESSION_SESSION_USES_H

#include "session.h"

/* Of each graph */
#define SESSION_USED_EVENTS_MAX 4096u

typedef struct SessionUsedEvent {
    CUevent handle;
    uint32_t id; /* which it had */
} SessionUsedEvent;

typedef struct SessionUses {
    const void **objects; /* SessionModule, SessionArray, SessionMipmap; by address */
    uint32_t n_objects;
    SessionUsedEvent *events;
    uint32_t n_events;
} SessionUses;

/* session_uses_add_object(), session_uses_add_event() - nothing when it is there. Return
 * CUDA_SUCCESS or _OUT_OF_MEMORY */
CUresult session_uses_add_object(SessionUses *u, const void *object);
CUresult session_uses_add_event(SessionUses *u, CUevent event, uint32_t id);

/* session_uses_add() - all of @from */
CUresult session_uses_add(SessionUses *u, const SessionUses *from);

bool session_uses_has_object(const SessionUses *u, const void *object);

/* session_uses_event() - what is known of that event, or NULL */
const SessionUsedEvent *session_uses_event(const SessionUses *u, CUevent event);

/* session_uses_forget_event() - returns whether it was there */
bool session_uses_forget_event(SessionUses *u, CUevent event);

/* session_uses_clear() - of all */
void session_uses_clear(SessionUses *u);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of a session's objects, beside what session.h has of them for the operations. */
#ifndef VGPU_SESSION_OBJECTS_H
#define VGPU_SESSION_OBJECTS_H

#include "session-core.h"

/* session_objects_init() - @limit: the highest number of each kind */
void session_objects_init(Session *s, uint32_t limit);

/* session_take_of() - as session_table_take_of(), of that kind */
void *session_take_of(Session *s, SessionKind kind, uint32_t context, uint32_t *id);

/* session_context() - the context of that number, or NULL */
static inline SessionContext *session_context(Session *s, uint32_t id)
{
    return session_table_find(&s->tables[SESSION_CONTEXT], id);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-uses.h"

#include <stdlib.h>

/* Room for one more: arrays grow when their number is a power of two. */
static bool uses_grow(void **array, uint32_t n, size_t size)
{
    void *more;

    if ((n & (n - 1)) != 0)
        return true;
    more = realloc(*array, (n > 0 ? 2 * (size_t) n : 1) * size);
    if (!more)
        return false;
    *array = more;
    return true;
}

CUresult session_uses_add_object(SessionUses *u, const void *object)
{
    void *objects = u->objects;

    if (session_uses_has_object(u, object))
        return CUDA_SUCCESS;
    if (!uses_grow(&objects, u->n_objects, sizeof(*u->objects)))
        return CUDA_ERROR_OUT_OF_MEMORY;
    u->objects = objects;
    u->objects[u->n_objects++] = object;
    return CUDA_SUCCESS;
}

CUresult session_uses_add_event(SessionUses *u, CUevent event, uint32_t id)
{
    void *events = u->events;

    for (uint32_t i = 0; i < u->n_events; i++)
        if (u->events[i].handle == event)
            return CUDA_SUCCESS;
    if (u->n_events >= SESSION_USED_EVENTS_MAX ||
        !uses_grow(&events, u->n_events, sizeof(*u->events)))
        return CUDA_ERROR_OUT_OF_MEMORY;
    u->events = events;
    u->events[u->n_events++] = (SessionUsedEvent){event, id};
    return CUDA_SUCCESS;
}

CUresult session_uses_add(SessionUses *u, const SessionUses *from)
{
    CUresult r = CUDA_SUCCESS;

    for (uint32_t i = 0; r == CUDA_SUCCESS && i < from->n_objects; i++)
        r = session_uses_add_object(u, from->objects[i]);
    for (uint32_t i = 0; r == CUDA_SUCCESS && i < from->n_events; i++)
        r = session_uses_add_event(u, from->events[i].handle, from->events[i].id);
    return r;
}

bool session_uses_has_object(const SessionUses *u, const void *object)
{
    for (uint32_t i = u->n_objects; i > 0; i--)
        if (u->objects[i - 1] == object)
            return true;
    return false;
}

const SessionUsedEvent *session_uses_event(const SessionUses *u, CUevent event)
{
    for (uint32_t i = 0; i < u->n_events; i++)
        if (u->events[i].handle == event)
            return &u->events[i];
    return NULL;
}

/* In its place stays one that is none, which no event equals: the array keeps its size. */
bool session_uses_forget_event(SessionUses *u, CUevent event)
{
    for (uint32_t i = 0; i < u->n_events; i++) {
        if (u->events[i].handle != event)
            continue;
        u->events[i] = (SessionUsedEvent){0};
        return true;
    }
    return false;
}

void session_uses_clear(SessionUses *u)
{
    free(u->objects);
    free(u->events);
    *u = (SessionUses){0};
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-slow.h"

#include <stdlib.h>
#include <string.h>

#include "session-dispatch.h"
#include "session-log.h"
#include "session-objects.h"
#include "session-reply.h"

/* The next one; @done, NULL at first, is freed. */
static SessionSlowCall *slow_take(SessionSlow *slow, SessionSlowCall *done)
{
    SessionSlowCall *c;

    pthread_mutex_lock(&slow->lock);
    slow->now = NULL;
    free(done);
    while (!(c = STAILQ_FIRST(&slow->calls)))
        pthread_cond_wait(&slow->more, &slow->lock);
    STAILQ_REMOVE_HEAD(&slow->calls, link);
    slow->now = c;
    if (slow->n-- == SESSION_SLOW_MAX)
        pthread_cond_signal(&slow->room);
    pthread_mutex_unlock(&slow->lock);
    return c;
}

static void *slow_run(void *data)
{
    Session *s = data;
    SessionSlowCall *c = NULL;

    session_thread_set(&s->slow_thread);
    for (;;) {
        c = slow_take(&s->slow, c);
        if (!c->context && c->in_context)
            c->context = session_context(s, c->call.record.context);
        session_carry_out(s, c->context, &c->call);
    }
    return NULL;
}

int session_slow_start(Session *s)
{
    SessionSlow *slow = &s->slow;

    STAILQ_INIT(&slow->calls);
    pthread_mutex_init(&slow->lock, NULL);
    pthread_cond_init(&slow->more, NULL);
    pthread_cond_init(&slow->room, NULL);
    return -pthread_create(&slow->thread, NULL, slow_run, s);
}

static SessionSlowCall *slow_copy(const SessionRingRecord *record, SessionContext *context)
{
    size_t size = record->record->size - sizeof(*record->record);
    SessionSlowCall *c = malloc(sizeof(*c) + size);

    if (!c)
        return NULL;
    memset(c, 0, sizeof(*c));
    memcpy(c->bytes, record->parameters, size);
    c->context = context;
    c->in_context = record->properties & VGPU_SESSION_IN_CONTEXT;
    c->call.record = *record->record;
    c->call.position = record->position;
    c->call.parameters = c->bytes;
    if (record->more)
        c->call.more = c->bytes + (record->more - (const unsigned char *) record->parameters);
    c->call.more_size = record->more_size;
    return c;
}

void session_slow_push(Session *s, const SessionRingRecord *record, SessionContext *context)
{
    SessionSlow *slow = &s->slow;
    SessionSlowCall *c = slow_copy(record, context);

    if (!c) {
        /* Without it the guest's order of operations is lost. */
        session_log("%s: no memory for an operation", s->start.name);
        session_end(s, SESSION_END_FAILURE, CUDA_ERROR_OUT_OF_MEMORY);
    }
    pthread_mutex_lock(&slow->lock);
    while (slow->n == SESSION_SLOW_MAX)
        pthread_cond_wait(&slow->room, &slow->lock);
    STAILQ_INSERT_TAIL(&slow->calls, c, link);
    slow->n++;
    pthread_cond_signal(&slow->more);
    pthread_mutex_unlock(&slow->lock);
}

void session_slow_end(Session *s, CUresult result)
{
    const SessionSlowCall *c;

    pthread_mutex_lock(&s->slow.lock);
    if (s->slow.now)
        session_reply(s, &s->slow.now->call, result);
    STAILQ_FOREACH(c, &s->slow.calls, link)
    session_reply(s, &c->call, result);
}

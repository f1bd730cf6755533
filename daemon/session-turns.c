/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-turns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "container-of.h"
#include "log.h"
#include "session-gate.h"

/* Lines in half a minute of each device */
#define TURNS_LINES 5u

static Session *session_of(Turn *t)
{
    return CONTAINER_OF(t, Session, turn);
}

static TurnsVM *share_of(const Session *s)
{
    return (TurnsVM *) s->turn.client;
}

/* ---- What the turns call ------------------------------------------------------------------------
 */

static void turns_on_open(Turn *t, bool open, void *userdata)
{
    Session *s = session_of(t);

    (void) userdata;

    /* Before the gate closes: whoever finds it closed tells what follows. */
    __atomic_store_n(&s->control->tell, !open, __ATOMIC_SEQ_CST);
    session_set_gate(s, open);
}

static void turns_on_watch(Turn *t, bool watched, void *userdata)
{
    (void) userdata;

    __atomic_store_n(&session_of(t)->control->tell, watched, __ATOMIC_SEQ_CST);
}

static uint64_t turns_on_look(Turn *t, void *userdata)
{
    const SessionControl *page = session_of(t)->control;

    (void) userdata;

    if (__atomic_load_n(&page->running, __ATOMIC_SEQ_CST) != 0)
        return UINT64_MAX;
    return __atomic_load_n(&page->idle_usec, __ATOMIC_RELAXED);
}

static bool turns_on_waits(Turn *t, void *userdata)
{
    (void) userdata;

    return __atomic_load_n(&session_of(t)->control->waiting, __ATOMIC_SEQ_CST) != 0;
}

static void turns_on_lost_patience(Turn *leaver, Turn *next, void *userdata)
{
    const Session *late = session_of(leaver), *s = session_of(next);
    TurnsDevice *d = userdata;
    LogContext context = {.pool = d->pool->name, .vm = late->vm ? late->vm->name : NULL};

    switch (log_limit_take(&d->log)) {
    case LOG_VERDICT_LINE:
        log_context(LOG_INFO, &context,
                    "session %u still has work on device %s of pool %c, %llu us after its turn; "
                    "session %u begins beside it",
                    late->id, d->name, d->pool->name,
                    (unsigned long long) (now_usec() - leaver->closed_usec), s->id);
        break;
    case LOG_VERDICT_LAST:
        log_context(LOG_INFO, &context,
                    "more sessions have work on device %s of pool %c after their turns; they are "
                    "left out here for half a minute",
                    d->name, d->pool->name);
        break;
    case LOG_VERDICT_NOTHING:
        break;
    }
}

static const TurnsOps turns_ops = {
    .set_open = turns_on_open,
    .watch = turns_on_watch,
    .look = turns_on_look,
    .waits = turns_on_waits,
    .lost_patience = turns_on_lost_patience,
};

/* ---- A device -----------------------------------------------------------------------------------
 */

static void turns_device_arm(TurnsDevice *d)
{
    uint64_t next = turns_next_tick(&d->turns);

    if (next != UINT64_MAX)
        (void) sd_event_source_set_time(d->timer, next);
    (void) sd_event_source_set_enabled(d->timer,
                                       next == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int turns_device_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    TurnsDevice *d = userdata;

    (void) source, (void) usec;

    turns_tick(&d->turns, now_usec());
    turns_device_arm(d);
    return 0;
}

static void turns_device_configure(TurnsDevice *d)
{
    const PoolConfig *config = &d->pool->config;
    Scheduler *scheduler = &d->turns.scheduler;

    scheduler_set_policy(scheduler, config->policy);
    scheduler_set_starvation_limit(scheduler, config->starvation_limit_usec);
    turns_set_times(&d->turns, config->turn_usec, config->patience_usec, now_usec());
    turns_hold_all(&d->turns, d->pool->queue.scheduler.held, now_usec());
    turns_device_arm(d);
}

static void turns_device_free(SessionTurns *all, TurnsDevice *d)
{
    TAILQ_REMOVE(&all->devices, d, link);
    sd_event_source_disable_unref(d->timer);
    free(d);
}

static int turns_device_new(SessionTurns *all, Pool *pool, const char *name, TurnsDevice **ret)
{
    TurnsDevice *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->pool = pool;
    snprintf(d->name, sizeof(d->name), "%s", name);
    TAILQ_INIT(&d->vms);
    log_limit_init(&d->log, TURNS_LINES, NULL);
    turns_init(&d->turns, &turns_ops, d, pool->config.turn_usec, pool->config.patience_usec,
               SESSION_IDLE_USEC);
    /* Its accuracy is that of the turns. */
    r = sd_event_add_time(all->event, &d->timer, CLOCK_MONOTONIC, UINT64_MAX / 2, 1,
                          turns_device_on_timer, d);
    if (r < 0) {
        free(d);
        return r;
    }
    TAILQ_INSERT_TAIL(&all->devices, d, link);
    turns_device_configure(d);
    *ret = d;
    return 0;
}

static int turns_device_get(SessionTurns *all, Pool *pool, const char *name, TurnsDevice **ret)
{
    TAILQ_FOREACH(*ret, &all->devices, link)
    {
        if ((*ret)->pool == pool && strcmp((*ret)->name, name) == 0)
            return 0;
    }
    return turns_device_new(all, pool, name, ret);
}

/* ---- A VM on it ---------------------------------------------------------------------------------
 */

static TurnsVM *turns_vm_get(TurnsDevice *d, const VM *vm)
{
    TurnsVM *share;

    TAILQ_FOREACH(share, &d->vms, link)
    {
        if (share->vm == vm)
            return share;
    }
    share = calloc(1, sizeof(*share));
    if (!share)
        return NULL;
    share->vm = vm;
    turn_client_init(&share->client, vm->settings.priority);
    sched_client_set_weight(&share->client.sched, vm->settings.weight);
    sched_client_hold(&share->client.sched, vm->paused);
    TAILQ_INSERT_TAIL(&d->vms, share, link);
    return share;
}

static void turns_vm_put(TurnsDevice *d, TurnsVM *share)
{
    if (share->n > 0)
        return;
    TAILQ_REMOVE(&d->vms, share, link);
    free(share);
}

/* ---- A session ----------------------------------------------------------------------------------
 */

int session_turns_enter(SessionTurns *all, Session *s)
{
    TurnsDevice *d;
    TurnsVM *share;
    int r = turns_device_get(all, s->pool, s->device, &d);

    if (r < 0)
        return r;
    share = turns_vm_get(d, s->vm);
    if (!share)
        return -ENOMEM;
    share->n++;
    turn_init(&s->turn, &share->client);
    s->turns_device = d;
    __atomic_store_n(&s->control->tell, 1, __ATOMIC_SEQ_CST);
    session_set_gate(s, false);
    session_turns_update(s);
    session_turns_see(s);
    return 0;
}

void session_turns_leave(Session *s)
{
    TurnsDevice *d = s->turns_device;
    TurnsVM *share = share_of(s);

    if (!d)
        return;
    turns_remove(&d->turns, &s->turn, now_usec());
    turns_device_arm(d);
    s->turns_device = NULL;
    share->n--;
    turns_vm_put(d, share);
}

void session_turns_see(Session *s)
{
    const SessionControl *page = s->control;
    TurnsDevice *d = s->turns_device;

    if (!d)
        return;
    turns_see(&d->turns, &s->turn, __atomic_load_n(&page->waiting, __ATOMIC_SEQ_CST) != 0,
              __atomic_load_n(&page->running, __ATOMIC_SEQ_CST) != 0, now_usec());
    turns_device_arm(d);
}

void session_turns_update(Session *s)
{
    TurnsDevice *d = s->turns_device;
    TurnClient *client;

    if (!d)
        return;
    client = s->turn.client;
    share_of(s)->vm = s->vm;
    __atomic_store_n(&s->control->ahead_usec, s->pool->config.ahead_usec, __ATOMIC_RELAXED);
    if (!s->vm)
        return;
    sched_client_set_weight(&client->sched, s->vm->settings.weight);
    if (client->priority != s->vm->settings.priority)
        turns_set_priority(&d->turns, client, s->vm->settings.priority, now_usec());
    turns_hold(&d->turns, client, s->vm->paused, now_usec());
    turns_device_arm(d);
}

/* ---- All ----------------------------------------------------------------------------------------
 */

void session_turns_init(SessionTurns *all, sd_event *event)
{
    all->event = event;
    TAILQ_INIT(&all->devices);
}

void session_turns_configure(SessionTurns *all, const Pool *p)
{
    TurnsDevice *d;

    TAILQ_FOREACH(d, &all->devices, link)
    {
        if (d->pool == p)
            turns_device_configure(d);
    }
}

void session_turns_clear(SessionTurns *all)
{
    while (!TAILQ_EMPTY(&all->devices))
        turns_device_free(all, TAILQ_FIRST(&all->devices));
}

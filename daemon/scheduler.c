/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scheduler.h"

void scheduler_init(Scheduler *s, uint64_t *next_arrival, unsigned max_running, unsigned limit)
{
    *s = (Scheduler){
        .max_running = max_running,
        .limit = limit,
        .next_arrival = next_arrival,
    };
    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++)
        TAILQ_INIT(&s->level[p]);
}

void sched_client_init(SchedClient *c, unsigned limit)
{
    *c = (SchedClient){.limit = limit};
    TAILQ_INIT(&c->queued);
}

/* Links @r into its level behind @after, or at the head. */
static void level_insert(SchedRequest *r, SchedRequest *after)
{
    SchedQueue *level = &r->scheduler->level[r->priority];

    if (after)
        TAILQ_INSERT_AFTER(level, after, r, level_link);
    else
        TAILQ_INSERT_HEAD(level, r, level_link);
    r->held = false;
}

static void level_remove(SchedRequest *r)
{
    if (!r->held)
        TAILQ_REMOVE(&r->scheduler->level[r->priority], r, level_link);
    r->held = true;
}

static SchedRequest *level_last(const Scheduler *s, unsigned priority)
{
    return TAILQ_LAST(&s->level[priority], SchedQueue);
}

int scheduler_push(Scheduler *s, SchedClient *c, SchedRequest *r, unsigned priority,
                   uint64_t now_usec)
{
    if (scheduler_queued(s) >= s->limit)
        return SCHED_POOL_FULL;
    if (c->n_queued >= c->limit)
        return SCHED_CLIENT_FULL;

    r->scheduler = s;
    r->client = c;
    r->arrival = (*s->next_arrival)++;
    r->queued_at_usec = now_usec;
    r->priority = (uint8_t) priority;
    r->state = SCHED_QUEUED;
    r->held = true;

    if (!c->held)
        level_insert(r, level_last(s, priority));
    s->depth[priority]++;
    TAILQ_INSERT_TAIL(&c->queued, r, client_link);
    c->n_queued++;

    return 0;
}

static void unqueue(SchedRequest *r)
{
    level_remove(r);
    r->scheduler->depth[r->priority]--;
    TAILQ_REMOVE(&r->client->queued, r, client_link);
    r->client->n_queued--;
}

SchedRequest *scheduler_pick(Scheduler *s, uint64_t now_usec)
{
    if (s->held || s->n_running >= s->max_running)
        return NULL;

    for (unsigned p = VGPU_N_PRIORITIES; p-- > 0;) {
        SchedRequest *r = TAILQ_FIRST(&s->level[p]);

        if (!r)
            continue;

        unqueue(r);
        r->state = SCHED_RUNNING;
        r->picked_at_usec = now_usec;
        r->client->n_running++;
        s->n_running++;
        return r;
    }

    return NULL;
}

void sched_request_complete(SchedRequest *r)
{
    r->scheduler->n_running--;
    r->client->n_running--;
    r->state = SCHED_IDLE;
}

void sched_request_remove(SchedRequest *r)
{
    unqueue(r);
    r->state = SCHED_IDLE;
}

/* Takes every queued request out of its level, gives it @priority (unless
 * negative) and @to (unless NULL), and puts it in again, unless held.
 *
 * Both lists are in order of arrival, so one walk from the youngest to the oldest
 * of each merges them. A client seldom has requests at more than one place; the
 * walk along the target starts anew where that changes. */
static void relocate(SchedClient *c, Scheduler *to, int priority)
{
    SchedRequest *r, *after = NULL;
    SchedQueue *level = NULL;

    TAILQ_FOREACH_REVERSE(r, &c->queued, SchedQueue, client_link)
    {
        if (after == r)
            after = TAILQ_PREV(r, SchedQueue, level_link);
        level_remove(r);
        r->scheduler->depth[r->priority]--;
        if (to)
            r->scheduler = to;
        if (priority >= 0)
            r->priority = (uint8_t) priority;
        r->scheduler->depth[r->priority]++;
        if (c->held)
            continue;

        if (level != &r->scheduler->level[r->priority]) {
            level = &r->scheduler->level[r->priority];
            after = level_last(r->scheduler, r->priority);
        }
        while (after && after->arrival > r->arrival)
            after = TAILQ_PREV(after, SchedQueue, level_link);
        level_insert(r, after);
    }
}

void sched_client_set_priority(SchedClient *c, unsigned priority)
{
    relocate(c, NULL, (int) priority);
}

void sched_client_move(SchedClient *c, Scheduler *to)
{
    relocate(c, to, -1);
}

void sched_client_hold(SchedClient *c, bool held)
{
    c->held = held;
    relocate(c, NULL, -1);
}

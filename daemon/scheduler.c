/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "container-of.h"
#include "scheduler.h"
#include "vm-settings.h"

void scheduler_init(Scheduler *s, uint64_t *next_arrival, unsigned max_running, unsigned limit)
{
    *s = (Scheduler){
        .max_running = max_running,
        .limit = limit,
        .next_arrival = next_arrival,
        .starvation_limit_usec = UINT64_MAX,
    };
    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++)
        TAILQ_INIT(&s->level[p]);
}

void sched_client_init(SchedClient *c, unsigned limit)
{
    *c = (SchedClient){.limit = limit, .account.weight = VM_WEIGHT_DEFAULT};
    TAILQ_INIT(&c->queued);
    TAILQ_INIT(&c->running);
}

/* ---- A level by arrival ---------------------------------------------------------------- */

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

/* ---- A level by shares ----------------------------------------------------------------- */

/* Under SCHED_FAIR the first that each client has at a level stands in the level's heap too. */

static SchedRequest *request_of_node(HeapNode *n)
{
    return n ? CONTAINER_OF(n, SchedRequest, node) : NULL;
}

static FairLevel *fair_level(const SchedRequest *r)
{
    return &r->scheduler->fair[r->priority];
}

static bool is_same_place(const SchedRequest *a, const SchedRequest *b)
{
    return a->scheduler == b->scheduler && a->priority == b->priority;
}

/* The next of its client's at the same level, seldom any but the next of all. */
static SchedRequest *following(const SchedRequest *r)
{
    SchedRequest *other = TAILQ_NEXT(r, client_link);

    while (other && !is_same_place(other, r))
        other = TAILQ_NEXT(other, client_link);
    return other;
}

static bool is_first_of_client(const SchedRequest *r)
{
    const SchedRequest *other = TAILQ_PREV(r, SchedQueue, client_link);

    while (other && !is_same_place(other, r))
        other = TAILQ_PREV(other, SchedQueue, client_link);
    return !other;
}

static void fair_insert(SchedRequest *r, uint64_t tag)
{
    r->node.key = tag;
    r->node.order = r->arrival;
    r->next = true;
    heap_insert(&fair_level(r)->waiting, &r->node);
}

static void fair_remove(SchedRequest *r)
{
    if (r->next)
        heap_remove(&fair_level(r)->waiting, &r->node);
    r->next = false;
}

/* To be called for what was just put into a level, in a client's order. */
static void fair_add(SchedRequest *r)
{
    if (r->scheduler->policy == SCHED_FAIR && is_first_of_client(r))
        fair_insert(r, fair_begin(&r->client->account, fair_level(r)));
}

/* The account has changed: so does the place of what waits on it. */
static void fair_update(const SchedClient *c)
{
    const FairAccount *a = &c->account;
    SchedRequest *r = c->held ? NULL : TAILQ_FIRST(&c->queued);

    while (r && !(r->next && fair_level(r) == a->level))
        r = TAILQ_NEXT(r, client_link);
    if (!r || r->node.key == a->used)
        return;

    fair_remove(r);
    fair_insert(r, a->used);
}

static void fair_pick(SchedRequest *r)
{
    FairLevel *level = fair_level(r);

    if (r->scheduler->policy == SCHED_FAIR)
        r->charged = fair_charge(&r->client->account, level, r->node.key, &r->scheduler->estimate);
    level->n_running++;
}

static void fair_complete(SchedRequest *r, uint64_t usec)
{
    FairLevel *level = fair_level(r);

    fair_estimate_add(&r->client->account.estimate, usec);
    fair_estimate_add(&r->scheduler->estimate, usec);
    if (r->charged > 0) {
        fair_correct(&r->client->account, r->charged, usec);
        fair_update(r->client);
    }

    level->n_running--;
    if (level->n_running == 0 && !level->waiting)
        fair_idle(level);
}

/* As fair_complete(), for a request that is to be picked again. */
static void fair_undo(SchedRequest *r)
{
    if (r->charged > 0) {
        fair_refund(&r->client->account, r->charged);
        fair_update(r->client);
    }
    r->charged = 0;
    fair_level(r)->n_running--;
}

/* To be called for what came back into a level: it may stand before what its client has there. */
static void fair_put_first(SchedRequest *r)
{
    SchedRequest *was_first = following(r);

    if (r->scheduler->policy != SCHED_FAIR || !is_first_of_client(r))
        return;
    if (was_first)
        fair_remove(was_first);
    fair_insert(r, was_first ? fair_next(&r->client->account, fair_level(r))
                             : fair_begin(&r->client->account, fair_level(r)));
}

void scheduler_set_policy(Scheduler *s, SchedPolicy policy)
{
    SchedRequest *r;

    if (s->policy == policy)
        return;

    s->policy = policy;
    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++)
        TAILQ_FOREACH(r, &s->level[p], level_link)
        {
            fair_remove(r);
            fair_add(r);
        }
}

/* ---- Requests ------------------------------------------------------------------------------ */

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
    r->charged = 0;
    r->priority = (uint8_t) priority;
    r->state = SCHED_QUEUED;
    r->held = true;

    s->depth[priority]++;
    TAILQ_INSERT_TAIL(&c->queued, r, client_link);
    c->n_queued++;
    if (!c->held) {
        level_insert(r, level_last(s, priority));
        fair_add(r);
    }

    return 0;
}

/* Out of all lists; its client's next one takes its place in the heap. */
static void unqueue(SchedRequest *r)
{
    SchedRequest *next = r->next ? following(r) : NULL;

    fair_remove(r);
    level_remove(r);
    r->scheduler->depth[r->priority]--;
    TAILQ_REMOVE(&r->client->queued, r, client_link);
    r->client->n_queued--;
    if (next)
        fair_insert(next, fair_next(&r->client->account, fair_level(next)));
}

/* ---- Places ------------------------------------------------------------------------------- */

/* The most that may run at this priority and those below it together. */
static unsigned places_up_to(const Scheduler *s, unsigned priority)
{
    unsigned kept = VGPU_PRIORITY_HIGH - priority;

    return s->max_running > kept ? s->max_running - kept : 1;
}

static bool level_has_place(const Scheduler *s, unsigned priority)
{
    unsigned n = 0;

    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++) {
        n += s->fair[p].n_running;
        if (p >= priority && n >= places_up_to(s, p))
            return false;
    }
    return true;
}

/* Only of one that has as many running altogether it matters where. */
static bool client_has_place(const Scheduler *s, const SchedClient *c)
{
    unsigned places = s->max_running > 1 ? s->max_running - 1 : 1, n = 0;
    const SchedRequest *r;

    if (c->n_running < places)
        return true;
    TAILQ_FOREACH(r, &c->running, client_link)
    {
        n += r->scheduler == s;
    }
    return n < places;
}

/* The oldest at a priority for which there is a place, or NULL. Where a place is free, only one
 * client can have all that it may take, so only what that one has is passed by. */
static SchedRequest *level_first(const Scheduler *s, unsigned priority)
{
    SchedRequest *r = TAILQ_FIRST(&s->level[priority]);

    if (!r || !level_has_place(s, priority))
        return NULL;
    if (r->client->n_queued == scheduler_queued(s) && !client_has_place(s, r->client))
        return NULL;
    while (r && !client_has_place(s, r->client))
        r = TAILQ_NEXT(r, level_link);
    return r;
}

/* The same by shares: a client is in the heap once, so what comes after it is below it. */
static SchedRequest *level_least(const Scheduler *s, unsigned priority)
{
    HeapNode *n = s->fair[priority].waiting;

    return client_has_place(s, request_of_node(n)->client) ? request_of_node(n)
                                                           : request_of_node(heap_second(n));
}

static void client_take_place(SchedClient *c, SchedRequest *r)
{
    TAILQ_INSERT_TAIL(&c->running, r, client_link);
    c->n_running++;
}

static void client_leave_place(SchedClient *c, SchedRequest *r)
{
    TAILQ_REMOVE(&c->running, r, client_link);
    c->n_running--;
}

/* ---- Picking ------------------------------------------------------------------------------- */

static bool is_due(const Scheduler *s, unsigned priority, uint64_t now_usec)
{
    const SchedRequest *oldest;

    if (s->starvation_limit_usec == UINT64_MAX)
        return false;
    oldest = level_first(s, priority);
    return oldest && now_usec >= oldest->queued_at_usec + s->starvation_limit_usec;
}

/* Of low and medium the one that is due, or if both are, whose turn it is; or -1. */
static int due_priority(const Scheduler *s, uint64_t now_usec)
{
    bool low = is_due(s, VGPU_PRIORITY_LOW, now_usec),
         medium = is_due(s, VGPU_PRIORITY_MEDIUM, now_usec);

    if (low && (!medium || s->last_below_high == VGPU_PRIORITY_MEDIUM))
        return VGPU_PRIORITY_LOW;
    return medium ? VGPU_PRIORITY_MEDIUM : -1;
}

/* Where to pick from, or -1 when nothing waits for which there is a place. */
static int next_priority(Scheduler *s, uint64_t now_usec)
{
    int highest = VGPU_PRIORITY_HIGH, next;

    while (highest >= 0 && !level_first(s, (unsigned) highest))
        highest--;
    if (highest < 0)
        return -1;

    next = s->overtook ? -1 : due_priority(s, now_usec);
    if (next < 0)
        next = highest;
    s->overtook = next < highest;
    if (next < VGPU_PRIORITY_HIGH)
        s->last_below_high = next;
    return next;
}

SchedRequest *scheduler_pick(Scheduler *s, uint64_t now_usec)
{
    SchedRequest *r;
    int priority;

    if (s->held || s->n_running >= s->max_running)
        return NULL;
    priority = next_priority(s, now_usec);
    if (priority < 0)
        return NULL;

    r = s->policy == SCHED_FAIR ? level_least(s, (unsigned) priority)
                                : level_first(s, (unsigned) priority);
    fair_pick(r);
    unqueue(r);
    r->state = SCHED_RUNNING;
    r->picked_at_usec = now_usec;
    client_take_place(r->client, r);
    s->n_running++;
    return r;
}

void sched_request_complete(SchedRequest *r, uint64_t usec)
{
    fair_complete(r, usec);
    r->scheduler->n_running--;
    client_leave_place(r->client, r);
    r->state = SCHED_IDLE;
}

/* It is among the oldest, so both walks are short. */
void sched_request_put_back(SchedRequest *r)
{
    SchedRequest *after = NULL, *next;
    SchedClient *c = r->client;
    Scheduler *s = r->scheduler;

    fair_undo(r);
    s->n_running--;
    client_leave_place(c, r);
    r->state = SCHED_QUEUED;

    TAILQ_FOREACH(next, &c->queued, client_link)
    {
        if (next->arrival > r->arrival)
            break;
        after = next;
    }
    if (after)
        TAILQ_INSERT_AFTER(&c->queued, after, r, client_link);
    else
        TAILQ_INSERT_HEAD(&c->queued, r, client_link);
    c->n_queued++;
    s->depth[r->priority]++;
    r->held = true;
    if (c->held)
        return;

    after = NULL;
    TAILQ_FOREACH(next, &s->level[r->priority], level_link)
    {
        if (next->arrival > r->arrival)
            break;
        after = next;
    }
    level_insert(r, after);
    fair_put_first(r);
}

void sched_request_remove(SchedRequest *r)
{
    unqueue(r);
    r->state = SCHED_IDLE;
}

/* ---- Clients ------------------------------------------------------------------------------- */

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
        fair_remove(r);
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

    if (c->held)
        return;
    TAILQ_FOREACH(r, &c->queued, client_link)
    {
        fair_add(r);
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

void sched_client_set_weight(SchedClient *c, uint32_t weight)
{
    c->account.weight = weight;
}

void sched_client_charge(SchedClient *c, const Scheduler *s, uint64_t usec)
{
    if (s->policy != SCHED_FAIR || !c->account.level)
        return;
    fair_correct(&c->account, 0, usec);
    fair_update(c);
}

void sched_client_hold(SchedClient *c, bool held)
{
    c->held = held;
    relocate(c, NULL, -1);
}

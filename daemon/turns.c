/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "turns.h"

#include "container-of.h"

#define NO_RIVALS UINT64_MAX

/* Whose turn has just begun may have to wait for a processor first: so many times idle_usec. */
#define WAKING_IDLES 10u

/* So many times patience_usec has who is not of higher priority. Without an end, it would wait for
 * ever for work that waits for what its giver does in its next turn. */
#define PATIENCE_OF_EQUALS 10u

static Turn *turn_of(SchedRequest *r)
{
    return r ? CONTAINER_OF(r, Turn, request) : NULL;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t after(uint64_t time, uint64_t usec)
{
    return time > UINT64_MAX - usec ? UINT64_MAX : time + usec;
}

void turns_init(Turns *turns, const TurnsOps *ops, void *userdata, uint64_t turn_usec,
                uint64_t patience_usec, uint64_t idle_usec)
{
    *turns = (Turns){
        .turn_usec = turn_usec,
        .patience_usec = patience_usec,
        .idle_usec = idle_usec,
        .rivals_usec = NO_RIVALS,
        .ops = ops,
        .userdata = userdata,
    };
    scheduler_init(&turns->scheduler, &turns->next_arrival, 1, UINT32_MAX);
    TAILQ_INIT(&turns->leavers);
}

/* ---- Who waits ------------------------------------------------------------------------------- */

/* The highest priority at which one waits that may be picked, or -1. */
static int turns_highest(const Turns *turns)
{
    if (turns->scheduler.held)
        return -1;
    for (int p = VGPU_PRIORITY_HIGH; p >= 0; p--)
        if (scheduler_oldest(&turns->scheduler, (unsigned) p))
            return p;
    return -1;
}

/* When somebody below @priority has waited for the starvation limit; UINT64_MAX: never. */
static uint64_t turns_due(const Turns *turns, unsigned priority)
{
    uint64_t due = UINT64_MAX;

    for (unsigned p = 0; p < priority; p++) {
        const SchedRequest *oldest = scheduler_oldest(&turns->scheduler, p);
        uint64_t at = oldest ? after(oldest->queued_at_usec, turns->scheduler.starvation_limit_usec)
                             : UINT64_MAX;

        if (at < due)
            due = at;
    }
    return due;
}

static void turns_push(Turns *turns, Turn *t, uint64_t now)
{
    /* Neither the scheduler nor the client has a limit that so many could reach. */
    (void) scheduler_push(&turns->scheduler, &t->client->sched, &t->request, t->client->priority,
                          now);
    t->state = TURN_WAITS;
}

static Turn *turns_pick(Turns *turns, uint64_t now)
{
    Turn *t = turn_of(scheduler_pick(&turns->scheduler, now));

    turns->overtakes = turns->scheduler.overtook;
    return t;
}

/* ---- The end of a turn ----------------------------------------------------------------------- */

static bool turn_runs(const Turn *t)
{
    return t->idle_usec == UINT64_MAX;
}

static void turn_begin_leaving(Turns *turns, Turn *t, uint64_t now)
{
    t->leaves = true;
    t->closed_usec = now;
    t->left_priority = t->client->priority;
    TAILQ_INSERT_TAIL(&turns->leavers, t, leaver_link);
}

static void turn_end_leaving(Turns *turns, Turn *t, uint64_t now)
{
    if (!t->leaves)
        return;
    t->leaves = false;
    TAILQ_REMOVE(&turns->leavers, t, leaver_link);
    t->held_usec += now - t->closed_usec;
    sched_client_charge(&t->client->sched, &turns->scheduler, now - t->closed_usec);
}

/* When the holder has had nothing on the device for so long that its turn is over. */
static uint64_t turns_idle_end(const Turns *turns)
{
    const Turn *t = turns->holder;

    return t->idle_usec > t->begin_usec ? after(t->idle_usec, turns->idle_usec)
                                        : after(t->begin_usec, turns->idle_usec * WAKING_IDLES);
}

/* When the holder's turn is over, as far as time says; UINT64_MAX: it is nobody's but its. */
static uint64_t turns_end(const Turns *turns)
{
    const Turn *t = turns->holder;
    uint64_t end = after(t->begin_usec, turns->turn_usec), idle;
    int highest = turns_highest(turns);

    if (highest < 0)
        return UINT64_MAX;
    if (highest > t->client->priority && !turns->overtakes)
        return 0;
    if (highest < t->client->priority)
        end = later(end, turns_due(turns, t->client->priority));
    idle = turns_idle_end(turns);
    return idle < end ? idle : end;
}

/* Counts the turn. What of it was before anybody else wanted the device is not charged. */
static void turns_complete(Turns *turns, Turn *t, uint64_t now)
{
    uint64_t from = later(t->begin_usec, turns->rivals_usec);

    t->held_usec += now - t->begin_usec;
    sched_request_complete(&t->request, from < now ? now - from : 0);
    t->state = TURN_RESTS;
}

/* The holder's turn begins anew where it would be the next. Then @turns has no next. */
static bool turns_extend(Turns *turns, Turn *t, uint64_t now)
{
    turns_push(turns, t, now);
    turns->next = turns_pick(turns, now);
    if (turns->next != t) {
        sched_request_remove(&t->request);
        t->state = TURN_RESTS;
        if (turns->next)
            turns->next->state = TURN_NEXT;
        return false;
    }
    turns->next = NULL;
    t->state = TURN_HOLDS;
    t->begin_usec = now;
    turns->rivals_usec = now;
    return true;
}

/*
 * @may_go_on: it only ends because others want the device
 *
 * What it has there is looked at once more when it may give nothing any more: what ends from then
 * on is told.
 */
static void turns_close(Turns *turns, uint64_t now, bool may_go_on)
{
    Turn *t = turns->holder;

    t->idle_usec = turns->ops->look(t, turns->userdata);
    turns_complete(turns, t, now);
    if (may_go_on && turns_idle_end(turns) > now && turns_extend(turns, t, now))
        return;
    turns->holder = NULL;
    turns->rivals_usec = NO_RIVALS;
    turns->ops->set_open(t, false, turns->userdata);
    t->idle_usec = turns->ops->look(t, turns->userdata);
    if (turn_runs(t))
        turn_begin_leaving(turns, t, now);
}

/* Who was too slow to see that it had a turn waits all the while, and says nothing again. */
static void turns_wait_on(Turns *turns, Turn *t, uint64_t now)
{
    if (t->state == TURN_RESTS && turns->ops->waits(t, turns->userdata))
        turns_push(turns, t, now);
}

/* ---- The beginning of one ---------------------------------------------------------------------
 */

/* How long the next one waits for the end of what another has left. */
static uint64_t turns_patience(const Turns *turns, const Turn *leaver)
{
    if (turns->next->client->priority > leaver->left_priority)
        return turns->patience_usec;
    return turns->patience_usec > UINT64_MAX / PATIENCE_OF_EQUALS
               ? UINT64_MAX
               : turns->patience_usec * PATIENCE_OF_EQUALS;
}

/* When the next one may begin, as far as time says. */
static uint64_t turns_begin(const Turns *turns)
{
    uint64_t begin = 0;
    const Turn *t;

    TAILQ_FOREACH(t, &turns->leavers, leaver_link)
    {
        if (t == turns->next)
            continue;
        begin = later(begin, after(t->closed_usec, turns_patience(turns, t)));
    }
    return begin;
}

static void turns_open(Turns *turns, uint64_t now)
{
    Turn *t = turns->next, *leaver;
    uint64_t waited = now - t->request.queued_at_usec;

    turn_end_leaving(turns, t, now);
    TAILQ_FOREACH(leaver, &turns->leavers, leaver_link)
    {
        turns->ops->lost_patience(leaver, t, turns->userdata);
    }
    turns->next = NULL;
    turns->holder = t;
    turns->watched = false;
    turns->n_turns++;
    t->state = TURN_HOLDS;
    t->begin_usec = now;
    t->n_turns++;
    t->waited_usec += waited;
    t->longest_wait_usec = later(t->longest_wait_usec, waited);
    turns->ops->set_open(t, true, turns->userdata);
}

static void turns_put_back(Turns *turns, Turn *t)
{
    turns->next = NULL;
    sched_request_put_back(&t->request);
    t->state = TURN_WAITS;
}

/* Who came after the next was found may stand before it. */
static void turns_find_next(Turns *turns, uint64_t now)
{
    Turn *t = turns->next;

    if (t && (turns->overtakes || turns_highest(turns) <= t->client->priority))
        return;
    if (t)
        turns_put_back(turns, t);
    turns->next = turns_pick(turns, now);
    if (turns->next)
        turns->next->state = TURN_NEXT;
}

static void turns_watch(Turns *turns, uint64_t now)
{
    bool has_rivals = turns_highest(turns) >= 0;

    if (!has_rivals)
        turns->rivals_usec = NO_RIVALS;
    else if (turns->rivals_usec == NO_RIVALS)
        turns->rivals_usec = now;
    if (has_rivals != turns->watched)
        turns->ops->watch(turns->holder, has_rivals, turns->userdata);
    turns->watched = has_rivals;
}

/* With the holder as it is now. */
static void turns_look(Turns *turns, uint64_t now)
{
    turns_watch(turns, now);
    turns->holder->idle_usec = turns->ops->look(turns->holder, turns->userdata);
}

void turns_tick(Turns *turns, uint64_t now)
{
    Turn *t = turns->holder;

    if (t) {
        turns_look(turns, now);
        if (turns_end(turns) > now)
            return;
        turns_close(turns, now, true);
        turns_wait_on(turns, t, now);
    }
    if (turns->holder)
        return;
    turns_find_next(turns, now);
    if (turns->next && turns_begin(turns) <= now) {
        turns_open(turns, now);
        turns_look(turns, now);
    }
}

uint64_t turns_next_tick(const Turns *turns)
{
    if (turns->holder)
        return turns_end(turns);
    return turns->next ? turns_begin(turns) : UINT64_MAX;
}

/* ---- What its users say ------------------------------------------------------------------------
 */

void turn_client_init(TurnClient *c, unsigned priority)
{
    sched_client_init(&c->sched, UINT32_MAX);
    c->priority = (uint8_t) priority;
}

void turn_init(Turn *t, TurnClient *client)
{
    *t = (Turn){.client = client};
}

/* Out of whatever it is in; the others are not looked at. */
static void turns_drop(Turns *turns, Turn *t, uint64_t now)
{
    switch (t->state) {
    case TURN_WAITS:
        sched_request_remove(&t->request);
        break;
    case TURN_NEXT:
        turns_put_back(turns, t);
        sched_request_remove(&t->request);
        break;
    case TURN_HOLDS:
        turns_close(turns, now, false);
        break;
    case TURN_RESTS:
        break;
    }
    t->state = TURN_RESTS;
}

void turns_remove(Turns *turns, Turn *t, uint64_t now)
{
    turns_drop(turns, t, now);
    turn_end_leaving(turns, t, now);
    turns_tick(turns, now);
}

void turns_see(Turns *turns, Turn *t, bool waits, bool runs, uint64_t now)
{
    if (!runs)
        turn_end_leaving(turns, t, now);
    else if (t->state != TURN_HOLDS && !t->leaves)
        turn_begin_leaving(turns, t, now);
    if (waits && t->state == TURN_RESTS)
        turns_push(turns, t, now);
    turns_tick(turns, now);
}

/* The holder or the next, if it is the client's. */
static Turn *turns_first_of(const Turns *turns, const TurnClient *client)
{
    Turn *t = turns->holder ? turns->holder : turns->next;

    return t && t->client == client ? t : NULL;
}

void turns_set_priority(Turns *turns, TurnClient *client, unsigned priority, uint64_t now)
{
    Turn *t = turns_first_of(turns, client);

    client->priority = (uint8_t) priority;
    if (t && t->state == TURN_NEXT)
        turns_put_back(turns, t);
    sched_client_set_priority(&client->sched, priority);
    turns_tick(turns, now);
}

void turns_hold(Turns *turns, TurnClient *client, bool held, uint64_t now)
{
    Turn *t = turns_first_of(turns, client);

    if (client->sched.held == held)
        return;
    if (held && t && t->state == TURN_NEXT)
        turns_put_back(turns, t);
    sched_client_hold(&client->sched, held);
    if (held && t && t->state == TURN_HOLDS) {
        turns_close(turns, now, false);
        turns_wait_on(turns, t, now);
    }
    turns_tick(turns, now);
}

void turns_hold_all(Turns *turns, bool held, uint64_t now)
{
    Turn *t = turns->holder ? turns->holder : turns->next;

    scheduler_hold(&turns->scheduler, held);
    if (held && t == turns->next && t)
        turns_put_back(turns, t);
    if (held && turns->holder) {
        turns_close(turns, now, false);
        turns_wait_on(turns, t, now);
    }
    turns_tick(turns, now);
}

void turns_set_times(Turns *turns, uint64_t turn_usec, uint64_t patience_usec, uint64_t now)
{
    turns->turn_usec = turn_usec;
    turns->patience_usec = patience_usec;
    turns_tick(turns, now);
}

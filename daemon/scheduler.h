/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which request of a pool runs next. Pure: no I/O, no clock of its own, no
 * allocation. The caller embeds SchedRequest in its request and SchedClient in
 * whatever submits (a VM), owns both, and passes the time in.
 *
 * Order: high before medium before low. At most max_running requests are out of the
 * queue at once, so a high request waits for no more than these. Inside a priority it is
 * by arrival (SCHED_FIFO), or clients share the device's time by weight, and only inside
 * a client it is by arrival (SCHED_FAIR; fair.h states the bound).
 *
 * Places: nobody has all of them. With D for max_running, requests of low priority take at most
 * D - 2 places, those of low and medium together at most D - 1, and those of one client at
 * most D - 1; where that would be none, it is one. So from D = 3 on a high request finds a place
 * free whatever those below it do, and a medium one where no other medium one runs. With D = 2
 * the two lower priorities share one place. With D = 1 there is nothing to divide.
 *
 * Ageing: a priority is due while the oldest request that may be picked there was queued
 * starvation_limit_usec ago or earlier. One that is due overtakes those above it, but
 * never at two picks in a row, and where two are due they take turns. So:
 *
 * - Of any 2 b picks in a row at which a priority is due and has a place, it gets at least one;
 *   b is 2 if low and medium are both due in the course of them, and else 1.
 * - Let a request be k-th in its priority's order, the next one being the first, when it
 *   has waited for the limit; let R be the longest that a request is out, and P be how many
 *   places its priority may take. As P places that it may take come free within R, it is picked
 *   at most ceil(2 b k / P) R later. If fair, k counts those that are picked before it, of which
 *   some may have come later.
 * - A request that is k-th at the highest waiting priority is picked with the 2 k-th pick
 *   at the latest that finds a place for it, where it would have been the k-th.
 * - While a client has all the places that one client may take, its requests are as if not there:
 *   they are not due, and are not counted in k.
 *
 * Time for which a client or the scheduler was held counts as waiting.
 *
 * Cost: push, pick, complete and remove are O(1) in the number of clients and of requests;
 * if fair, O(log n) in the n clients that wait at the priority. A client that has requests at
 * several priorities or schedulers at once pays for the search among its own as well. While a
 * client has all the places that it may take, a pick also counts what it has running, and passes
 * by what it has at the head of the queue, unless nobody else waits. A request that is put back
 * passes by what arrived before it. A change of priority or pool, and the end of a hold, is O(k +
 * m) for the client's own k queued requests and the m requests at the target that arrived after the
 * oldest of them, both bounded by the pool's queue limit; and O(log n) more if fair. A change of
 * policy looks at all that is queued, and is O(n log n) beside that. One list for a priority in
 * arrival order is what makes the frequent operations O(1).
 */
#ifndef VGPU_SCHEDULER_H
#define VGPU_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fair.h"
#include "vgpu-protocol.h"

typedef struct Scheduler Scheduler;
typedef struct SchedClient SchedClient;
typedef struct SchedRequest SchedRequest;

typedef TAILQ_HEAD(SchedQueue, SchedRequest) SchedQueue;

typedef enum SchedState {
    SCHED_IDLE, /* not known to any scheduler */
    SCHED_QUEUED,
    SCHED_RUNNING, /* picked, not complete */
} SchedState;

typedef enum SchedPolicy {
    SCHED_FIFO,
    SCHED_FAIR,
} SchedPolicy;

struct SchedRequest {
    TAILQ_ENTRY(SchedRequest) level_link;
    TAILQ_ENTRY(SchedRequest) client_link; /* in its client's queued, or running */
    HeapNode node;                         /* in its level's FairLevel, where it is next */
    Scheduler *scheduler;
    SchedClient *client;
    uint64_t arrival;        /* position in the order of all pushes */
    uint64_t queued_at_usec; /* as given to push */
    uint64_t picked_at_usec; /* as given to pick */
    uint64_t charged;        /* see fair_charge(); 0: nothing */
    SchedState state;
    uint8_t priority;
    bool held; /* queued, but in its client's list only */
    bool next; /* of its client's at this place it is the first, and the policy is fair */
};

struct SchedClient {
    SchedQueue queued;  /* by arrival, over all priorities and schedulers */
    SchedQueue running; /* over all of them, in any order */
    FairAccount account;
    unsigned n_queued;
    unsigned n_running;
    unsigned limit; /* the most requests queued at once */
    bool held;      /* none of its requests is picked */
};

struct Scheduler {
    SchedQueue level[VGPU_N_PRIORITIES]; /* what may be picked, by arrival */
    unsigned depth[VGPU_N_PRIORITIES];   /* queued, held ones included */
    SchedPolicy policy;
    FairLevel fair[VGPU_N_PRIORITIES];
    FairEstimate estimate;          /* over all clients */
    uint64_t starvation_limit_usec; /* at most 2^62; UINT64_MAX: strict priorities */
    bool overtook;                  /* the last pick did, one above it */
    int last_below_high;            /* the last priority below high that was picked from */
    unsigned n_running;             /* of which at each priority: fair[].n_running */
    unsigned max_running;           /* at least 1 */
    unsigned limit;                 /* the most requests queued at once, over all priorities */
    bool held;                      /* nothing is picked */
    uint64_t *next_arrival;
};

/* Outcomes of scheduler_push() beside 0. */
enum {
    SCHED_POOL_FULL = 1,
    SCHED_CLIENT_FULL = 2,
};

/*
 * scheduler_init() - an empty scheduler: fifo, and no ageing
 * @next_arrival: the counter that orders arrivals. Schedulers between which
 *     clients may move share one; it must outlive them.
 * @max_running: at least 1
 * @limit: at least 1
 */
void scheduler_init(Scheduler *s, uint64_t *next_arrival, unsigned max_running, unsigned limit);

/*
 * scheduler_set_policy() - what is queued stays, in the order of the other policy
 *
 * What runs is charged if it was picked under SCHED_FAIR.
 */
void scheduler_set_policy(Scheduler *s, SchedPolicy policy);

/* scheduler_set_max_running() - @max_running: at least 1. What runs already is not touched */
static inline void scheduler_set_max_running(Scheduler *s, unsigned max_running)
{
    s->max_running = max_running;
}

/* scheduler_set_limit() - @limit: at least 1. What is queued already stays */
static inline void scheduler_set_limit(Scheduler *s, unsigned limit)
{
    s->limit = limit;
}

/* scheduler_set_starvation_limit() - @usec: at most 2^62; UINT64_MAX: strict priorities */
static inline void scheduler_set_starvation_limit(Scheduler *s, uint64_t usec)
{
    s->starvation_limit_usec = usec;
}

/* scheduler_hold() - pick nothing until further notice; false ends it */
static inline void scheduler_hold(Scheduler *s, bool held)
{
    s->held = held;
}

/*
 * sched_client_init() - a client without requests that may queue @limit at once
 *
 * Its weight is VM_WEIGHT_DEFAULT.
 */
void sched_client_init(SchedClient *c, unsigned limit);

/*
 * scheduler_push() - queue an idle request
 * @r: in state SCHED_IDLE; stays the caller's
 * @priority: VGPU_PRIORITY_*
 * @now_usec: kept in queued_at_usec
 *
 * Returns 0, or SCHED_POOL_FULL or SCHED_CLIENT_FULL with nothing changed.
 */
int scheduler_push(Scheduler *s, SchedClient *c, SchedRequest *r, unsigned priority,
                   uint64_t now_usec);

/*
 * scheduler_pick() - take the next request out of the queue
 *
 * Returns it in state SCHED_RUNNING, or NULL when nothing is queued for which there is a place.
 */
SchedRequest *scheduler_pick(Scheduler *s, uint64_t now_usec);

/*
 * sched_request_complete() - a running request is over: back to SCHED_IDLE
 * @usec: what it took of the device
 */
void sched_request_complete(SchedRequest *r, uint64_t usec);

/*
 * sched_request_put_back() - queue a running request again, as if it had never been picked
 *
 * It stands among what is queued by arrival, so before what came later. The priority, the
 * scheduler and the time since when it waits are those of before; limits are not looked at. It is
 * not charged.
 */
void sched_request_put_back(SchedRequest *r);

/* sched_request_remove() - take a queued request out, unrun: back to SCHED_IDLE */
void sched_request_remove(SchedRequest *r);

/*
 * sched_client_set_priority() - move all that the client has queued
 * @priority: VGPU_PRIORITY_*
 *
 * What moved stands among the others of its new priority by arrival. Running
 * requests are not touched.
 */
void sched_client_set_priority(SchedClient *c, unsigned priority);

/*
 * sched_client_move() - move all that the client has queued to another scheduler
 * @to: shares its arrival counter with where the requests are now. Its limit is
 *     not looked at: nothing is lost by moving.
 */
void sched_client_move(SchedClient *c, Scheduler *to);

/*
 * sched_client_set_weight() - its part of the device's time, against others'
 * @weight: 1..VM_WEIGHT_MAX; for what is picked or ends from now on
 */
void sched_client_set_weight(SchedClient *c, uint32_t weight);

/* sched_client_charge() - what of the client is complete at @s has taken @usec more of the device
 */
void sched_client_charge(SchedClient *c, const Scheduler *s, uint64_t usec);

/* sched_client_set_limit() - the most requests queued at once. What is queued already stays */
static inline void sched_client_set_limit(SchedClient *c, unsigned limit)
{
    c->limit = limit;
}

/*
 * sched_client_hold() - pick nothing of this client until further notice
 * @held: false ends it, and what is queued stands by arrival as if never held
 */
void sched_client_hold(SchedClient *c, bool held);

/* scheduler_can_pick() - is there a request that nothing but the others' places holds up? */
static inline bool scheduler_can_pick(const Scheduler *s)
{
    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++)
        if (!TAILQ_EMPTY(&s->level[p]))
            return !s->held;
    return false;
}

/* scheduler_oldest() - of those that may be picked at a priority, or NULL */
static inline SchedRequest *scheduler_oldest(const Scheduler *s, unsigned priority)
{
    return TAILQ_FIRST(&s->level[priority]);
}

/* sched_client_oldest() - of all that the client has queued, or NULL */
static inline SchedRequest *sched_client_oldest(const SchedClient *c)
{
    return TAILQ_FIRST(&c->queued);
}

/* scheduler_queued() - requests queued over all priorities */
static inline unsigned scheduler_queued(const Scheduler *s)
{
    unsigned n = 0;

    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++)
        n += s->depth[p];
    return n;
}

#endif

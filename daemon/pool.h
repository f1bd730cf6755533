/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pool: one queue, and the executors that take from it. It decides which request runs next,
 * and on which executor.
 */
#ifndef VGPU_POOL_H
#define VGPU_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config.h"
#include "executor.h"
#include "request.h"

typedef struct Pool Pool;
typedef struct PoolWaiter PoolWaiter;

/* Whoever has requests for which the pool's queue had no room embeds one. The owner sets
 * has_room. The pool sets the rest. */
struct PoolWaiter {
    void (*has_room)(PoolWaiter *w);
    Pool *pool; /* NULL while it does not wait */
    TAILQ_ENTRY(PoolWaiter) link;
};

/* What all pools of a mediator have in common. Outlives them. */
typedef struct PoolContext {
    sd_event *event;
    const char *executor_path;
    uint64_t next_arrival; /* orders the requests of all pools */
    uint64_t queue_timeout_usec;
    uint64_t request_timeout_usec;

    /* Callbacks of the owner. Each may be NULL. */
    void (*changed)(Pool *p, const char *const *properties, void *userdata);
    /* The answers of an executor are handled. The owner may queue more at once. */
    void (*round)(Pool *p, void *userdata);
    /* Is there anything to do but wait for an executor? */
    bool (*has_work)(const Pool *p, void *userdata);
    /* The pool is paused, or goes on. */
    void (*paused)(Pool *p, void *userdata);
    /* A request of @client ran into the time limit, or took executors down. The client may be one
     * that ends with its last request. */
    void (*fault)(Pool *p, Client *client, void *userdata);
    void *changed_userdata, *userdata;
} PoolContext;

struct Pool {
    PoolContext *context;
    char name; /* 'A'..'Z' */
    PoolConfig config;
    RequestQueue queue;
    ExecutorList executors; /* one, so far */
    bool changing;          /* they are to be replaced when they have nothing in hand */
    bool unavailable;       /* none could start: requests fail until one does */
    TAILQ_HEAD(, PoolWaiter) waiters;
    sd_event_source *queue_timer; /* for what waits too long */
    bool queue_timer_armed;
};

/*
 * pool_new() - a pool whose executor is on its way
 * @config: copied
 *
 * Returns 0 or a negative errno.
 */
int pool_new(PoolContext *context, char name, const PoolConfig *config, Pool **ret);

/* pool_free() - ends the executor, and drops what it runs; nothing is queued. NULL is fine */
Pool *pool_free(Pool *p);

/*
 * pool_queue() - queue a request; pool_dispatch() runs it when there is room
 * @r: the pool's on 0
 * @priority: VGPU_PRIORITY_*
 * @now_usec: CLOCK_MONOTONIC, when it came
 *
 * Returns 0, or SCHED_POOL_FULL or SCHED_CLIENT_FULL.
 */
int pool_queue(Pool *p, Request *r, unsigned priority, uint64_t now_usec);

/* pool_is_full() - would pool_queue() say SCHED_POOL_FULL? */
bool pool_is_full(const Pool *p);

/* pool_wait_for_room() - call @w once, in its turn, when the queue has room */
void pool_wait_for_room(Pool *p, PoolWaiter *w);

/* pool_stop_waiting() - does nothing for one that does not wait */
void pool_stop_waiting(PoolWaiter *w);

/* pool_offer_room() - the waiter that was called last has left room: call the next one */
void pool_offer_room(Pool *p);

/* pool_dispatch() - run what there is room for; to be called when something no longer holds it */
void pool_dispatch(Pool *p);

/*
 * pool_begin_batch(), pool_end_batch() - show executors nothing in between
 *
 * For a caller that has several requests to queue. Each beginning needs its end.
 */
void pool_begin_batch(Pool *p);
void pool_end_batch(Pool *p);

/* pool_flush() - run what there is room for, and show it, in a batch or not */
void pool_flush(Pool *p);

/* pool_set_paused() - hold the queue, or let it go on */
void pool_set_paused(Pool *p, bool paused);

/*
 * pool_reconfigure() - take over a changed configuration, and changes in the context
 * @config: copied
 *
 * Where another backend or device is wanted, what runs is finished first; the
 * queue waits for the new executor.
 */
void pool_reconfigure(Pool *p, const PoolConfig *config);

/* pool_executor() - the first, which stands for the pool where one is shown */
Executor *pool_executor(const Pool *p);

/* pool_is_idle() - nothing queued, nothing running */
bool pool_is_idle(const Pool *p);

/* pool_is_at_rest() - nothing running, and nothing queued but what somebody has paused */
bool pool_is_at_rest(const Pool *p);

#endif

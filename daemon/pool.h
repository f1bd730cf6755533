/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pool: one queue, one executor, and the requests between the two.
 */
#ifndef VGPU_POOL_H
#define VGPU_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "executor-client.h"
#include "request.h"
#include "scheduler.h"

struct Pool {
    Manager *manager;
    char name; /* 'A'..'Z' */
    PoolConfig config;
    Scheduler scheduler;
    ExecutorClient *executor;
    bool changing;         /* the executor is to be replaced when it has nothing in hand */
    bool unavailable;      /* the executor could not start: requests fail until it does */
    VGPUDeviceInfo device; /* what it said last; all zero before */
    Request *slot[EXECUTOR_SLOTS_MAX]; /* on the executor, by tag */
    uint64_t free_slots;               /* bit i: slot[i] is NULL */
    LaneList lanes;                    /* that wait for a place in the queue */
    sd_event_source *timeout;
    bool timeout_armed;
    Statistics statistics;
};

/* request_pool() - where a request is queued or running, or was last */
static inline Pool *request_pool(const Request *r)
{
    return (Pool *) ((char *) r->sched.scheduler - offsetof(Pool, scheduler));
}

/*
 * pool_new() - a pool whose executor is on its way
 * @config: copied
 *
 * Returns 0 or a negative errno.
 */
int pool_new(Manager *manager, char name, const PoolConfig *config, Pool **ret);

/* pool_free() - drops what is queued and running, and ends the executor. NULL is fine */
Pool *pool_free(Pool *p);

/*
 * pool_queue() - queue a request; pool_dispatch() runs it when there is room
 * @r: taken over on 0
 * @priority: VGPU_PRIORITY_*
 * @now_usec: CLOCK_MONOTONIC, when it came
 *
 * Returns 0, or SCHED_POOL_FULL or SCHED_CLIENT_FULL.
 */
int pool_queue(Pool *p, Request *r, unsigned priority, uint64_t now_usec);

/* pool_push() - both */
int pool_push(Pool *p, Request *r, unsigned priority);

/* pool_forget_connection() - what @c has running will be answered to nobody */
void pool_forget_connection(Pool *p, const Connection *c);

/* pool_forget_lane() - the same of what @l has running */
void pool_forget_lane(Pool *p, const Lane *l);

/* pool_is_full() - would pool_queue() say SCHED_POOL_FULL? */
bool pool_is_full(const Pool *p);

/* pool_dispatch() - run what there is room for; to be called when something no longer holds it */
void pool_dispatch(Pool *p);

/* pool_set_paused() - hold the queue, or let it go on */
void pool_set_paused(Pool *p, bool paused);

/*
 * pool_reconfigure() - take over a changed configuration
 * @config: copied
 *
 * Where another backend or device is wanted, what runs is finished first; the
 * queue waits for the new executor.
 */
void pool_reconfigure(Pool *p, const PoolConfig *config);

/* pool_is_idle() - nothing queued, nothing running */
bool pool_is_idle(const Pool *p);

/* pool_is_at_rest() - nothing running, and nothing queued but what somebody has paused */
bool pool_is_at_rest(const Pool *p);

#endif

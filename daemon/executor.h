/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An executor with what it has in hand: its process, the requests that run on it, and the
 * windows that it has been handed. It ends each request that its process answers, and each that
 * runs too long. Its owner decides which request it gets next.
 */
#ifndef VGPU_EXECUTOR_H
#define VGPU_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "executor-client.h"
#include "request.h"

typedef struct Executor Executor;

/* Those of one owner. */
typedef TAILQ_HEAD(ExecutorList, Executor) ExecutorList;

/* What the owner of an executor is told. All of it comes from the event loop. */
typedef struct ExecutorOps {
    /* The process takes requests from now on. */
    void (*ready)(Executor *e, void *userdata);
    /* All answers that there were are handled, so there may be room. */
    void (*round)(Executor *e, void *userdata);
    /* Is there anything to do but wait for the executor? */
    bool (*has_work)(const Executor *e, void *userdata);
    /* The process is gone. What it had in hand is to be settled with executor_settle(). */
    void (*ended)(Executor *e, ExecutorEnd end, void *userdata);
    /* A request of @client ran into the time limit, or took executors down. The client may be one
     * that ends with its last request. */
    void (*fault)(Executor *e, Client *client, void *userdata);
} ExecutorOps;

/*
 * executor_new() - an executor whose process is on its way
 * @options: copied; the strings must outlive the executor
 * @ops: must outlive the executor
 *
 * Returns 0 or a negative errno.
 */
int executor_new(sd_event *event, const ExecutorOptions *options, const ExecutorOps *ops,
                 void *userdata, Executor **ret);

/* executor_free() - end the process, and drop what it has in hand. NULL is fine */
Executor *executor_free(Executor *e);

/* executor_insert(), executor_remove() - into, out of its owner's list */
void executor_insert(ExecutorList *list, Executor *e);
void executor_remove(ExecutorList *list, Executor *e);

/* executor_next() - the one behind it in its owner's list, or NULL */
Executor *executor_next(const Executor *e);

#define EXECUTORS_FOREACH(e, list) for (Executor *e = TAILQ_FIRST(list); e; e = executor_next(e))

/* executor_can_start() - does its process take one more request now? */
bool executor_can_start(const Executor *e);

/*
 * executor_start() - give it a request
 * @r: picked from its scheduler; the executor's on 0
 *
 * executor_can_start() must hold. Returns 0, or -ENOMEM with nothing changed.
 */
int executor_start(Executor *e, Request *r);

/*
 * executor_begin_batch(), executor_end_batch() - show the process nothing in between
 *
 * For a caller that has several requests to give. Each beginning needs its end. While the
 * executor handles an answer, there is a batch already.
 */
void executor_begin_batch(Executor *e);
void executor_end_batch(Executor *e);

/* executor_flush() - show the process what there is now, in a batch or not */
void executor_flush(Executor *e);

/*
 * executor_settle() - say what becomes of all that a process that is gone had in hand
 *
 * What ran too long ends with TIMEOUT. What was computed when several processes died by themselves,
 * one after the other, ends with CUDA_ERROR, and so does what was begun and cannot be computed
 * twice. All else goes back to where it stood in its queue, and nobody notices: a VM does not pay
 * for a neighbour. Returns how many went back.
 */
unsigned executor_settle(Executor *e);

/*
 * executor_set_time_limit() - how long a request may run
 * @usec: UINT64_MAX: for ever. Holds for what runs already, too
 *
 * A request that runs longer ends with TIMEOUT, and its process with it: a computation
 * cannot be stopped in another way. The time begins with the execution of the request, not while
 * it waits in the process for others. It is kept within a tenth of itself.
 */
void executor_set_time_limit(Executor *e, uint64_t usec);

/*
 * executor_replace() - end the process and start one with other options at once
 * @options: as in executor_new()
 *
 * Nothing may run.
 */
void executor_replace(Executor *e, const ExecutorOptions *options);

ExecutorState executor_state(const Executor *e);

/* executor_device() - what its last process said of its device; all zero before the first */
const VGPUDeviceInfo *executor_device(const Executor *e);

/* executor_pid() - of the process, or 0 without one */
pid_t executor_pid(const Executor *e);

/* executor_restarts() - how often a process that had been ready was replaced */
uint64_t executor_restarts(const Executor *e);

#endif

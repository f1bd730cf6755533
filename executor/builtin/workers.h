/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads for work that takes long. The CPU backend has one for each priority, as the CUDA
 * backend has a stream for each. A worker does its work in the order in which it came. The
 * kernel's scheduler prefers the worker of the higher priority (by nice values, if the
 * sandbox lets them be set).
 */
#ifndef VGPU_EXECUTOR_WORKERS_H
#define VGPU_EXECUTOR_WORKERS_H

#include "executor-protocol.h"

#include <pthread.h>

typedef void WorkerFunction(void *data, unsigned slot);

typedef struct Worker {
    pthread_t thread;
    bool started;
    int nice;
    WorkerFunction *function;
    void *data;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    unsigned head, tail;                /* queue[head..tail) waits, modulo the queue's size */
    unsigned queue[EXECUTOR_SLOTS_MAX]; /* a slot is in it at most once, so it never overflows */
} Worker;

/*
 * worker_start() - start a thread
 * @w: zeroed by the caller
 * @nice: added to the process's nice value
 * @function: called on the thread with @data and each slot that is pushed
 *
 * Returns 0 or negative errno.
 */
int worker_start(Worker *w, int nice, WorkerFunction *function, void *data);

/* worker_push() - let it do the work of a slot */
void worker_push(Worker *w, unsigned slot);

/* worker_stop() - end the thread when it has done what was pushed; also takes one that was never
 * started */
void worker_stop(Worker *w);

#endif

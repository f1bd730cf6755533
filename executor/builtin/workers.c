/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "workers.h"

#include <assert.h>
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

static void *worker_run(void *data)
{
    Worker *w = data;
    int old;

    /* Linux has a nice value for each thread. If it may not be set, the priorities differ only
     * in the order in which the mediator starts requests. */
    errno = 0;
    old = getpriority(PRIO_PROCESS, (id_t) gettid());
    if (w->nice != 0 && errno == 0)
        (void) setpriority(PRIO_PROCESS, (id_t) gettid(), old + w->nice);

    pthread_mutex_lock(&w->lock);
    while (w->head != w->tail || !w->stop) {
        unsigned slot;

        if (w->head == w->tail) {
            pthread_cond_wait(&w->wake, &w->lock);
            continue;
        }
        slot = w->queue[w->head++ % EXECUTOR_SLOTS_MAX];
        pthread_mutex_unlock(&w->lock);
        w->function(w->data, slot);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int worker_start(Worker *w, int nice, WorkerFunction *function, void *data)
{
    int r;

    w->nice = nice;
    w->function = function;
    w->data = data;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);

    r = pthread_create(&w->thread, NULL, worker_run, w);
    w->started = r == 0;
    return -r;
}

void worker_push(Worker *w, unsigned slot)
{
    pthread_mutex_lock(&w->lock);
    assert(w->tail - w->head < EXECUTOR_SLOTS_MAX);
    w->queue[w->tail++ % EXECUTOR_SLOTS_MAX] = slot;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void worker_stop(Worker *w)
{
    if (!w->started)
        return;

    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    w->started = false;
}

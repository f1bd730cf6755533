/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copier.h"

#include <sched.h>
#include <signal.h>
#include <string.h>

#include "client-internal.h"

#define PART ((size_t) 64 << 10)
#define LOOKS_BEFORE_YIELD 64u
void copier_init(copier *c, unsigned threads)
{
    *c = (copier){.wanted = threads > 1 ? threads - 1 : 0};
    if (c->wanted > COPIER_THREADS_MAX)
        c->wanted = COPIER_THREADS_MAX;
    pthread_mutex_init(&c->owner, NULL);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
}

void copier_destroy(copier *c)
{
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->owner);
}

/* ---- Parts ------------------------------------------------------------------------------------
 */

static void copy_parts(copier *c)
{
    size_t at;

    while ((at = __atomic_fetch_add(&c->next, PART, __ATOMIC_RELAXED)) < c->size)
        copy_out(c->way, c->to + at, c->from + at, c->size - at < PART ? c->size - at : PART);
}

/* ---- Helpers ----------------------------------------------------------------------------------
 */

/* Whoever goes in looks again: the job may have been closed just before, and then nobody waits. */
static void help(copier *c)
{
    __atomic_fetch_add(&c->n_in, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&c->job, __ATOMIC_SEQ_CST) % 2 == 1)
        copy_parts(c);
    __atomic_fetch_sub(&c->n_in, 1, __ATOMIC_RELEASE);
}

static void help_while_active(copier *c)
{
    uint64_t seen = 0;

    for (unsigned looks = 0; __atomic_load_n(&c->is_active, __ATOMIC_ACQUIRE); looks++) {
        uint64_t job = __atomic_load_n(&c->job, __ATOMIC_ACQUIRE);

        if (job % 2 == 1 && job != seen) {
            seen = job;
            help(c);
        } else if (looks % LOOKS_BEFORE_YIELD == 0) {
            sched_yield();
        } else {
            client_relax();
        }
    }
}

static void *copier_run(void *userdata)
{
    copier *c = userdata;

    pthread_mutex_lock(&c->lock);
    while (!c->must_stop) {
        if (!__atomic_load_n(&c->is_active, __ATOMIC_RELAXED)) {
            pthread_cond_wait(&c->wake, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        help_while_active(c);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* The program's handlers of signals run in its own threads. With fewer helpers, or none, it is
 * slower. */
static void copier_start(copier *c)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (c->n < c->wanted && pthread_create(&c->threads[c->n], NULL, copier_run, c) == 0)
        c->n++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void copier_stop(copier *c)
{
    pthread_mutex_lock(&c->owner);
    pthread_mutex_lock(&c->lock);
    c->must_stop = true;
    pthread_cond_broadcast(&c->wake);
    pthread_mutex_unlock(&c->lock);
    while (c->n > 0)
        pthread_join(c->threads[--c->n], NULL);
    c->must_stop = false;
    pthread_mutex_unlock(&c->owner);
}

/* ---- Whoever copies ---------------------------------------------------------------------------
 */

bool copier_begin(copier *c)
{
    if (c->wanted == 0 || pthread_mutex_trylock(&c->owner) != 0)
        return false;
    copier_start(c);
    pthread_mutex_lock(&c->lock);
    __atomic_store_n(&c->is_active, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&c->wake);
    pthread_mutex_unlock(&c->lock);
    return true;
}

void copier_copy(copier *c, copy_out_way way, void *to, const void *from, size_t size)
{
    c->way = way;
    c->to = to;
    c->from = from;
    c->size = size;
    __atomic_store_n(&c->next, 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&c->job, 1, __ATOMIC_SEQ_CST);
    copy_parts(c);
    __atomic_fetch_add(&c->job, 1, __ATOMIC_SEQ_CST);
    for (unsigned looks = 1; __atomic_load_n(&c->n_in, __ATOMIC_SEQ_CST) > 0; looks++)
        if (looks % LOOKS_BEFORE_YIELD == 0)
            sched_yield();
        else
            client_relax();
}

void copier_end(copier *c)
{
    __atomic_store_n(&c->is_active, false, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&c->owner);
}

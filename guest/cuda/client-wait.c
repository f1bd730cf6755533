/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for replies and fences: first by looking at memory, for as long as that has paid lately,
 * then asleep.
 *
 * Of the threads that sleep, one leads: it alone sleeps on the interrupt. The others follow: each
 * sleeps on a condition of its own. Whoever leads looks for all after each interrupt, and wakes
 * those whose wait is over. Nothing is lost, because:
 *
 *   guest_waits is set as long as a thread is in the list that waits for a reply or a fence. A
 * thread enters the list, has a full barrier, and looks once more before it sleeps. So what it
 * waits for has come before that look, or the executor sees guest_waits after it has written, and
 * signals.
 *
 *   While there are threads in the list whose wait is not over, one leads, or has been woken to
 * lead: a leader that goes wakes the first of the others.
 *
 * Nobody signals what the device writes. A thread that waits for a fence has put a WAKE behind it;
 * but other work may stand between the two. So while one waits for a fence, the leader also looks
 * from time to time.
 */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "client-internal.h"

#define SPIN_MIN_NSEC (2 * NSEC_PER_USEC)
#define SPIN_MAX_NSEC (10 * NSEC_PER_MSEC)
/* Who looks for longer lets others have the processor in between. */
#define SPIN_ALONE_NSEC (100 * NSEC_PER_USEC)
/* The longest sleep, after which the leader looks whether the session is over */
#define SLEEP_NSEC (250 * NSEC_PER_MSEC)
#define FENCE_SLEEP_MIN_NSEC (200 * NSEC_PER_USEC)
#define FENCE_SLEEP_MAX_NSEC (10 * NSEC_PER_MSEC)

static bool is_over(vgpu_session *s, const client_waiter *w)
{
    if (w->for_hosts)
        return client_hosts_come(s);
    if (w->reply_state)
        return __atomic_load_n(w->reply_state, __ATOMIC_ACQUIRE) == VGPU_SESSION_REPLY_DONE;
    return (int64_t) (__atomic_load_n(w->word, __ATOMIC_ACQUIRE) - w->number) >= 0;
}

/* Why it will not come, or 0. After an error that a context does not survive, its streams stand
 * still; operations are answered all the same. */
static int is_hopeless(const vgpu_session *s, const client_waiter *w)
{
    int r = client_usable(s);

    return r == 0 && w->word ? vgpu_session_get_sticky(s) : r;
}

/* ---- Looking ----------------------------------------------------------------------- */

/* A wait has taken so long. Where looking for longer would have seen its end, that is done from now
 * on; after a wait that is not worth it, less. */
static void spin_learn(vgpu_session *s, uint64_t nsec)
{
    uint64_t spin = __atomic_load_n(&s->spin_nsec, __ATOMIC_RELAXED);

    if (nsec > SPIN_MAX_NSEC)
        spin /= 2;
    else if (spin < 2 * nsec)
        spin = 2 * nsec;
    if (spin < SPIN_MIN_NSEC)
        spin = SPIN_MIN_NSEC;
    if (spin > SPIN_MAX_NSEC)
        spin = SPIN_MAX_NSEC;
    __atomic_store_n(&s->spin_nsec, spin, __ATOMIC_RELAXED);
}

bool client_wait_spin(vgpu_session *s, client_waiter *w)
{
    uint64_t until, now;

    if (is_over(s, w))
        return true;

    now = w->since = now_nsec();
    until = now + __atomic_load_n(&s->spin_nsec, __ATOMIC_RELAXED);
    do {
        if (now > w->since + SPIN_ALONE_NSEC)
            sched_yield();
        for (int i = 0; i < 16; i++) {
            client_relax();
            if (is_over(s, w))
                return true;
        }
        now = now_nsec();
    } while (now < until && is_hopeless(s, w) == 0);
    return false;
}

/* ---- Sleeping ---------------------------------------------------------------------- */

static void wake(vgpu_session *s, client_waiter *w)
{
    const uint64_t one = 1;

    if (s->leader != w)
        pthread_cond_signal(&w->cond);
    else if (write(s->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        client_check(s, false); /* cannot be: the leader looks by itself in time */
}

void client_wait_wake_all(vgpu_session *s)
{
    client_waiter *w;

    pthread_mutex_lock(&s->wait_lock);
    TAILQ_FOREACH(w, &s->waiters, link)
    wake(s, w);
    pthread_cond_broadcast(&s->reply_free);
    pthread_mutex_unlock(&s->wait_lock);
}

static void wake_those_over(vgpu_session *s, const client_waiter *self)
{
    client_waiter *w;

    TAILQ_FOREACH(w, &s->waiters, link)
    if (w != self && (is_over(s, w) || is_hopeless(s, w) != 0))
        pthread_cond_signal(&w->cond);
}

/* Sleep once, for all. @pause: the last one, for a leader that also has to look by itself. */
static int lead(vgpu_session *s, client_waiter *self, uint64_t *pause)
{
    uint64_t sleep = SLEEP_NSEC;
    int r;

    if (s->n_fence_waiters > 0)
        sleep = *pause;
    *pause = *pause * 2 < FENCE_SLEEP_MAX_NSEC ? *pause * 2 : FENCE_SLEEP_MAX_NSEC;

    s->leader = self;
    pthread_mutex_unlock(&s->wait_lock);
    r = s->transport->ops->sleep(s->transport, s->wake_fd, now_nsec() + sleep, *pause);
    client_check(s, false);
    pthread_mutex_lock(&s->wait_lock);
    s->leader = NULL;
    wake_those_over(s, self);
    return r;
}

/* A follower that finds no leader becomes it. */
static void follow(vgpu_session *s, client_waiter *self)
{
    (void) deadline_cond_wait(&self->cond, &s->wait_lock, now_nsec() + 4 * SLEEP_NSEC);
}

static bool is_for_fence(const client_waiter *w)
{
    return !w->reply_state && !w->for_hosts;
}

/* For a function the host signals in any case. */
static void enter_list(vgpu_session *s, client_waiter *w)
{
    TAILQ_INSERT_TAIL(&s->waiters, w, link);
    if (is_for_fence(w) && s->n_fence_waiters++ == 0 && s->leader)
        wake(s, s->leader); /* it sleeps for too long now */
    if (!w->for_hosts && s->n_asking++ == 0)
        __atomic_store_n(&s->header->guest_waits, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void leave_list(vgpu_session *s, client_waiter *w)
{
    TAILQ_REMOVE(&s->waiters, w, link);
    if (is_for_fence(w))
        s->n_fence_waiters--;
    if (!w->for_hosts && --s->n_asking == 0)
        __atomic_store_n(&s->header->guest_waits, 0, __ATOMIC_RELAXED);
    if (!TAILQ_EMPTY(&s->waiters) && !s->leader)
        pthread_cond_signal(&TAILQ_FIRST(&s->waiters)->cond);
}

int client_wait_sleep(vgpu_session *s, client_waiter *w)
{
    uint64_t pause = FENCE_SLEEP_MIN_NSEC;
    int r = 0;

    deadline_cond_init(&w->cond);
    pthread_mutex_lock(&s->wait_lock);
    enter_list(s, w);
    while (!is_over(s, w)) {
        r = is_hopeless(s, w);
        if (r != 0)
            break;
        if (s->leader)
            follow(s, w);
        else if (lead(s, w, &pause) < 0) {
            pthread_mutex_unlock(&s->wait_lock);
            client_fail(s, VGPU_CUDA_ERROR_UNKNOWN);
            pthread_mutex_lock(&s->wait_lock);
        }
    }
    leave_list(s, w);
    pthread_mutex_unlock(&s->wait_lock);
    pthread_cond_destroy(&w->cond);
    if (r == 0 && w->since != 0)
        spin_learn(s, now_nsec() - w->since);
    return r;
}

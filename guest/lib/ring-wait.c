/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for completions, in one thread or in several. ring.h explains the order of things. */
#include <assert.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "ring.h"
#include "shared.h"

#define PAUSE_MAX_NS 1000000u

/* The longest pause between two looks at memory. Only a long wait has such pauses: they add little
 * to it, and make it cheap. */
#define LOOK_PAUSE_MAX_NS 10000000u

/* A sleep ends after this time, to see whether the ring is still on. */
#define SLEEP_MAX_NS 250000000u

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static deadline earlier(deadline a, deadline b)
{
    return a < b ? a : b;
}

static bool pause_unlocked(vgpu_ring *ring, backoff *pause, deadline until, uint64_t max_ns)
{
    bool has_time;

    ring_unlock(ring);
    has_time = backoff_pause(pause, until, max_ns);
    ring_lock(ring);
    return has_time;
}

/* ---- Who waits ---------------------------------------------------------------- */

static bool sleeper_is_over(const ring_sleeper *s)
{
    return s->request ? !s->request->slot : s->woken;
}

/* Is there something else to do for the leader than to lead? */
static bool leader_is_over(const vgpu_ring *ring, const ring_sleeper *s)
{
    return sleeper_is_over(s) || ring_must_call(ring);
}

static bool ring_has_followers(const vgpu_ring *ring)
{
    const ring_sleeper *first = TAILQ_FIRST(&ring->sleepers);

    return first && TAILQ_NEXT(first, link);
}

/* Not inline: GCC 12 would warn that the address of a local variable is stored, as it does not see
 * that sleeper_remove() takes it out again. */
__attribute__((noinline)) static void sleeper_add(vgpu_ring *ring, ring_sleeper *s)
{
    TAILQ_INSERT_TAIL(&ring->sleepers, s, link);
    if (s->request) {
        assert(!s->request->sleeper);
        s->request->sleeper = s;
    } else {
        ring->n_any++;
    }
}

static void sleeper_remove(vgpu_ring *ring, ring_sleeper *s)
{
    TAILQ_REMOVE(&ring->sleepers, s, link);
    if (s->request)
        s->request->sleeper = NULL;
    else if (!s->woken)
        ring->n_any--;
}

void ring_wake(vgpu_ring *ring, ring_sleeper *s)
{
    const uint64_t one = 1;

    if (s != ring->leader) {
        pthread_cond_signal(&s->cond);
    } else if (ring->armed > 0) {
        ring->armed = 0;
        (void) !write(ring->wake_fd, &one,
                      sizeof(one)); /* this cannot fail, because the counter is far from full */
    }
}

void ring_wake_any(vgpu_ring *ring)
{
    ring_sleeper *s;

    if (ring->n_any == 0)
        return;

    TAILQ_FOREACH(s, &ring->sleepers, link)
    if (!s->request && !s->woken) {
        s->woken = true;
        ring->n_any--;
        ring_wake(ring, s);
    }
    assert(ring->n_any == 0);
}

/* The leader has gone. The next one is the thread that has waited longest and whose wait is not
 * over. */
static void ring_pass_on(vgpu_ring *ring)
{
    ring_sleeper *s;

    assert(!ring->leader);
    TAILQ_FOREACH(s, &ring->sleepers, link)
    if (!sleeper_is_over(s))
        break;
    if (s)
        ring_wake(ring, s);
    ring->leader = s;
}

/* ---- The leader, by interrupt ----------------------------------------------------- */

/* Sleep once. Returns how many requests have ended, -ETIMEDOUT at @until, or another negative
 * errno. */
static int leader_sleep_once(vgpu_ring *ring, size_t wanted, deadline until)
{
    size_t armed = ring_has_followers(ring) ? 1 : wanted;
    bool interrupted;
    uint32_t n;
    int r;

    ring_arm(ring, armed);
    n = ring_harvest(ring);
    if (n > 0)
        return (int) n;

    ring->armed = armed;
    ring_unlock(ring);
    r = interrupt_sleep(&ring->interrupt, ring->wake_fd, earlier(until, now_nsec() + SLEEP_MAX_NS));
    interrupted = r == 0;
    if (interrupted)
        r = ring_acknowledge(ring);
    ring_lock(ring);
    ring->armed = 0;
    ring->counters.interrupts += interrupted;
    if (r < 0 && r != -ETIMEDOUT)
        return r;

    /* A ring that fails causes an interrupt, too. */
    n = ring_harvest(ring);
    if (n == 0)
        n = ring_check(ring, interrupted);
    if (n == 0 && deadline_left(until, now_nsec()) == 0)
        return -ETIMEDOUT;
    return (int) n;
}

/* Other devices can interrupt on the same line, and a host can interrupt too often. That must not
 * take all of the processor's time: after many interrupts in a row that brought nothing, there are
 * pauses. */
static int leader_wait_sleeping(vgpu_ring *ring, const ring_sleeper *s, size_t wanted,
                                deadline until)
{
    uint64_t interrupts = ring->counters.interrupts;
    backoff pause = {0};
    int r;

    while ((r = leader_sleep_once(ring, wanted, until)) == 0 && !leader_is_over(ring, s)) {
        if (ring->counters.interrupts == interrupts)
            continue;
        interrupts = ring->counters.interrupts;
        pause_unlocked(ring, &pause, until, PAUSE_MAX_NS);
    }
    ring_disarm(ring);
    return r < 0 ? r : 0;
}

/* ---- The leader, by looking ---------------------------------------------------------- */

/* Returns whether something has ended. */
static bool leader_spin(vgpu_ring *ring, deadline until)
{
    const uint32_t *tail = &ring->header->cq_tail;
    uint32_t seen = ring->cq_head;
    bool is_new;
    deadline end;

    if (ring->spin_us == 0)
        return false;

    end = earlier(until, now_nsec() + (uint64_t) ring->spin_us * NSEC_PER_USEC);
    ring_unlock(ring);
    while (!(is_new = shared_load(tail) != seen)) {
        relax();
        if (now_nsec() >= end)
            break;
    }
    ring_lock(ring);
    return is_new && ring_harvest(ring) > 0;
}

static int leader_wait_polling(vgpu_ring *ring, const ring_sleeper *s, deadline until)
{
    backoff pause = {0};

    while (pause_unlocked(ring, &pause, until, LOOK_PAUSE_MAX_NS))
        if (ring_harvest(ring) > 0 || ring_check(ring, false) > 0 || leader_is_over(ring, s))
            return 0;
    return ring_harvest(ring) > 0 || ring_check(ring, until != 0) > 0 ? 0 : -ETIMEDOUT;
}

/* ---- Both ------------------------------------------------------------------------- */

static int leader_run(vgpu_ring *ring, const ring_sleeper *s, size_t wanted, deadline until)
{
    int r = 0;

    while (r == 0 && !leader_is_over(ring, s)) {
        if (leader_spin(ring, until) || leader_is_over(ring, s))
            continue;
        r = interrupt_is_open(&ring->interrupt) && until != 0
                ? leader_wait_sleeping(ring, s, wanted, until)
                : leader_wait_polling(ring, s, until);
    }
    return r;
}

/* Returns 0 when the wait is over or this thread is the leader now, else -ETIMEDOUT. */
static int ring_follow(vgpu_ring *ring, ring_sleeper *s, deadline until)
{
    int r = 0;

    if (ring->armed > 1)
        ring_wake(ring, ring->leader); /* from now on it must arm for the first completion */
    deadline_cond_init(&s->cond);
    while (r == 0 && !sleeper_is_over(s) && ring->leader != s)
        r = deadline_cond_wait(&s->cond, &ring->lock, until);
    pthread_cond_destroy(&s->cond);
    return r;
}

/*
 * Wait until @request has ended, or, where it is NULL, until anything has ended or made room; or
 * until there are callbacks to run. With interrupts, for one at the @wanted-th completion.
 *
 * Returns 0, also when nothing is outstanding; -ETIMEDOUT; or another negative errno.
 */
static int ring_sleep(vgpu_ring *ring, ring_request *request, size_t wanted, deadline until)
{
    ring_sleeper s = {.request = request};
    uint32_t n = ring_harvest(ring);
    bool leads;
    int r = 0;

    if (request ? !request->slot : n > 0 || ring->outstanding == 0)
        return 0;
    if (ring_must_call(ring))
        return 0;

    sleeper_add(ring, &s);
    leads = !ring->leader;
    if (!leads) {
        r = ring_follow(ring, &s, until);
        leads = ring->leader == &s;
    }
    if (leads) {
        ring->leader = &s;
        if (r == 0)
            r = leader_run(ring, &s, wanted, until);
        ring->leader = NULL;
    }
    sleeper_remove(ring, &s);
    if (leads)
        ring_pass_on(ring);
    return sleeper_is_over(&s) ? 0 : r;
}

/* Another thread is in a callback: wait until one more callback has returned. */
static int ring_wait_called(vgpu_ring *ring, deadline until)
{
    return deadline_cond_wait(&ring->called, &ring->lock, until);
}

/* ---- Waiting for so many, for one, for room ------------------------------------------------ */

static int ring_wait(vgpu_ring *ring, size_t n, deadline until)
{
    uint64_t before = ring->n_to_call - ring->to_call.n, ended_to_call;
    int r = 0;

    ring_harvest(ring);
    for (;;) {
        size_t ended;

        ring_call_back(ring);
        ended = ring->to_take.n + (size_t) (ring->n_to_call - before);
        if (ended >= n || ring->outstanding == 0)
            break;
        r = ring_sleep(ring, NULL, n - ended, until);
        if (r < 0)
            return r;
    }

    ended_to_call = ring->n_to_call;
    while (r == 0 && ring->n_called < ended_to_call)
        r = ring_wait_called(ring, until);
    return r;
}

int vgpu_ring_wait(vgpu_ring *ring, size_t n, int timeout_ms)
{
    deadline until = deadline_after(timeout_ms);
    int r;

    ring_lock(ring);
    r = ring_is_caller(ring) ? -EDEADLK : ring_wait(ring, n, until);
    ring_unlock(ring);
    return r;
}

int ring_await(vgpu_ring *ring, ring_request *request, deadline until)
{
    while (request->slot) {
        int r = ring_sleep(ring, request, 1, until);

        ring_call_back(ring);
        if (r < 0 && request->slot)
            return r;
    }
    return 0;
}

void ring_leave(ring_request *request, vgpu_callback callback, void *userdata)
{
    slot *s = request->slot;

    assert(s && s->request == request && !request->sleeper);
    s->request = NULL;
    s->callback = callback;
    if (callback)
        s->completion.userdata = userdata;
    request->slot = NULL;
}

/* Take a completion out of the queue of what has ended. */
static void take_one(vgpu_ring *ring, slot *wanted, vgpu_completion *ret)
{
    slot_queue rest = {0};
    slot *s;

    while ((s = slot_queue_pop(&ring->to_take)))
        if (s != wanted)
            slot_queue_push(&rest, s);
    ring->to_take = rest;

    *ret = wanted->completion;
    slot_release(ring, wanted);
}

static int ring_wait_for(vgpu_ring *ring, uint64_t id, deadline until, vgpu_completion *ret)
{
    uint32_t number = id & UINT16_MAX;
    ring_request request;
    slot *s;
    int r;

    if (number >= ring->entries)
        return -ENOENT;
    s = &ring->slots[number];
    if (s->state == SLOT_FREE || s->completion.id != id || s->callback || s->request)
        return -ENOENT;

    if (s->state == SLOT_ENDED) {
        take_one(ring, s, ret);
        return 0;
    }

    request = (ring_request){.slot = s};
    s->request = &request;
    r = ring_await(ring, &request, until);
    if (r < 0) {
        ring_leave(&request, NULL, NULL);
        return r;
    }
    *ret = request.completion;
    return 0;
}

int vgpu_ring_wait_for(vgpu_ring *ring, uint64_t id, int timeout_ms, vgpu_completion *ret)
{
    deadline until = deadline_after(timeout_ms);
    int r;

    ring_lock(ring);
    r = ring_is_caller(ring) ? -EDEADLK : ring_wait_for(ring, id, until, ret);
    ring_unlock(ring);
    return r;
}

static int ring_wait_room(vgpu_ring *ring, deadline until)
{
    backoff pause = {0};
    int r;

    for (;;) {
        ring_harvest(ring);
        ring_call_back(ring);
        if (ring_has_room(ring))
            return 0;
        if (ring->failure != 0)
            return ring->failure;

        /* A slot becomes free by a completion. An entry becomes free when sq_head moves. There is
         * no event for that, but it happens only right after a completion. */
        if (ring->n_free == 0) {
            if (ring->to_take.n > 0)
                return -EAGAIN;
            /* Another thread runs callbacks, and frees the slots of those that it has yet to run.
             */
            r = ring->to_call.n > 0 ? ring_wait_called(ring, until)
                                    : ring_sleep(ring, NULL, 1, until);
            if (r < 0)
                return r;
        } else if (!pause_unlocked(ring, &pause, until, PAUSE_MAX_NS)) {
            return -ETIMEDOUT;
        } else {
            ring_check(ring, false);
        }
    }
}

int vgpu_ring_wait_room(vgpu_ring *ring, int timeout_ms)
{
    deadline until = deadline_after(timeout_ms);
    int r;

    ring_lock(ring);
    r = ring_is_caller(ring) ? -EDEADLK : ring_wait_room(ring, until);
    ring_unlock(ring);
    return r;
}

int ring_start(vgpu_ring *ring, vgpu_job *job, ring_request *request, deadline until)
{
    int r;

    while ((r = ring_submit(ring, job, 1, request, NULL)) == -EAGAIN) {
        r = ring_wait_room(ring, until);
        if (r != 0)
            break;
    }
    return r;
}

static int ring_run(vgpu_ring *ring, vgpu_job *job, int timeout_ms, vgpu_completion *ret)
{
    ring_request request;
    int r;

    r = ring_start(ring, job, &request, deadline_after(timeout_ms));
    if (r != 0)
        return r;

    r = ring_await(ring, &request, deadline_after(timeout_ms));
    if (r < 0) {
        ring_leave(&request, NULL, NULL);
        return r;
    }
    if (ret)
        *ret = request.completion;
    return request.completion.result;
}

int vgpu_ring_run(vgpu_ring *ring, vgpu_job *job, int timeout_ms, vgpu_completion *ret)
{
    int r;

    ring_lock(ring);
    if (ring_is_caller(ring))
        r = -EDEADLK;
    else
        r = job->callback ? -EINVAL : ring_run(ring, job, timeout_ms, ret);
    ring_unlock(ring);
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "executor.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "container-of.h"

/* Limits are seconds: a timer that is this much late does no harm, and coincides with others. */
#define TIME_LIMIT_ACCURACY_USEC UINT64_C(250000)

/* A request that was computed when so many executors died is not given to another one. */
#define DEATHS_MAX 3u

struct Executor {
    TAILQ_ENTRY(Executor) link;
    const ExecutorOps *ops;
    void *userdata;
    ExecutorClient *client;
    VGPUDeviceInfo device;
    TAILQ_HEAD(, HeldWindow) windows; /* that the process has */

    Request *slot[EXECUTOR_SLOTS_MAX];
    uint64_t free_slots; /* bit i: slot[i] is NULL */
    RequestList running; /* the one that began first is first */
    unsigned n_running;

    uint64_t time_limit_usec;
    uint64_t answered_usec; /* when the last answers were handled */
    sd_event_source *timer; /* of the time limit */
    bool timer_armed;
};

static void executor_freep(Executor **e)
{
    executor_free(*e);
}

static_assert(EXECUTOR_SLOTS_MAX == 64, "a bit of free_slots for each");

/* ---- Slots ------------------------------------------------------------------------- */

/* The slot below and the arrival above, so that an answer given twice or too late matches
 * nothing. */
static uint64_t executor_tag(unsigned slot, const Request *r)
{
    return r->sched.arrival * EXECUTOR_SLOTS_MAX + slot;
}

static unsigned executor_slot_put(Executor *e, Request *r)
{
    unsigned slot;

    assert(e->free_slots != 0);
    slot = (unsigned) __builtin_ctzll(e->free_slots);
    assert(!e->slot[slot]);

    e->free_slots &= ~(UINT64_C(1) << slot);
    e->slot[slot] = r;
    TAILQ_INSERT_TAIL(&e->running, r, running_link);
    e->n_running++;
    return slot;
}

static unsigned executor_slot_of(const Executor *e, const Request *r)
{
    unsigned slot = 0;

    while (e->slot[slot] != r)
        slot++;
    return slot;
}

static void executor_slot_clear(Executor *e, unsigned slot)
{
    Request *r = e->slot[slot];

    assert(r && r->sched.state == SCHED_RUNNING);
    e->slot[slot] = NULL;
    e->free_slots |= UINT64_C(1) << slot;
    TAILQ_REMOVE(&e->running, r, running_link);
    e->n_running--;
    if (r->window)
        window_end(r->window);
}

/* @usec: what it took of the device */
static Request *executor_slot_take(Executor *e, unsigned slot, uint64_t usec)
{
    Request *r = e->slot[slot];

    executor_slot_clear(e, slot);
    request_stop(r, usec);
    sched_request_complete(&r->sched, usec);
    return r;
}

/* The executor measures nothing of a request that fails: its time is that since it began, where
 * that is known. */
static uint64_t time_since_begin(const Request *r)
{
    return now_usec() - (r->began_usec > 0 ? r->began_usec : r->sched.picked_at_usec);
}

/* Takes the request with that tag out of its slot; NULL when there is none, or one of the
 * other kind. */
static Request *executor_slot_take_by_tag(Executor *e, uint64_t tag, bool compute, uint32_t status,
                                          uint32_t exec_time_us)
{
    unsigned slot = (unsigned) (tag % EXECUTOR_SLOTS_MAX);
    const Request *r = e->slot[slot];

    if (!r || executor_tag(slot, r) != tag || (r->window != NULL) != compute)
        return NULL;
    return executor_slot_take(e, slot,
                              status == VGPU_ERROR_NONE ? exec_time_us : time_since_begin(r));
}

/* ---- Windows ------------------------------------------------------------------------- */

/* That the process has a window: made when the first request in it comes, and gone with the
 * window or the process. */
typedef struct HeldWindow {
    WindowHolder holder;
    TAILQ_ENTRY(HeldWindow) link;
} HeldWindow;

static void held_window_free(Executor *e, HeldWindow *w)
{
    TAILQ_REMOVE(&e->windows, w, link);
    free(w);
}

static void executor_drop_window(WindowHolder *h)
{
    Executor *e = h->owner;

    executor_client_remove_window(e->client, h->window->id);
    held_window_free(e, CONTAINER_OF(h, HeldWindow, holder));
}

/* What a process had is gone with it. */
static void executor_forget_windows(Executor *e)
{
    HeldWindow *w;

    while ((w = TAILQ_FIRST(&e->windows))) {
        window_release(&w->holder);
        held_window_free(e, w);
    }
}

/* Returns 0 or -ENOMEM. */
static int executor_hand_over_window(Executor *e, Window *window)
{
    CLEANUP_FREE HeldWindow *w = NULL;
    int r;

    if (window_is_held_by(window, e))
        return 0;

    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    r = executor_client_add_window(e->client, window->id, window->fd);
    if (r < 0)
        return r;

    w->holder = (WindowHolder){.drop = executor_drop_window, .owner = e};
    window_hold(window, &w->holder);
    TAILQ_INSERT_TAIL(&e->windows, w, link);
    (void) TAKE_PTR(w);
    return 0;
}

/* ---- When a request began ---------------------------------------------------------------- */

/* What its process says. A time that cannot be is brought into range, and does not change later. */
static uint64_t executor_look_at_begun(const Executor *e, Request *r, uint64_t now)
{
    uint64_t begun = executor_client_begun(e->client, executor_tag(executor_slot_of(e, r), r));

    if (r->began_usec == 0 && begun > EXECUTOR_BEGUN_PERHAPS)
        r->began_usec = begun < r->sched.picked_at_usec ? r->sched.picked_at_usec
                        : begun > now                   ? now
                                                        : begun;
    return begun;
}

/* ---- The time limit -------------------------------------------------------------------- */

/* Looks at all that runs, and notes which of it has run for too long. Returns when to look again.
 *
 * A request that waits in the process for others is not running. But where none runs, and no answer
 * came for as long as a request may take, the process is stuck with the first. And none waits for
 * longer than all the others that may be there can take, whatever the process says. */
static uint64_t executor_check_limit(Executor *e, uint64_t now)
{
    uint64_t limit = e->time_limit_usec, next = now + limit, since;
    Request *r, *first = TAILQ_FIRST(&e->running);
    bool any = false;

    TAILQ_FOREACH(r, &e->running, running_link)
    {
        (void) executor_look_at_begun(e, r, now);
        any |= r->began_usec > 0;
        if (r->began_usec > 0 && now < r->began_usec + limit)
            next = r->began_usec + limit < next ? r->began_usec + limit : next;
        else
            r->timed_out =
                r->began_usec > 0 || now >= r->sched.picked_at_usec + limit * EXECUTOR_SLOTS_MAX;
    }
    if (!first || any)
        return next;

    since = first->sched.picked_at_usec > e->answered_usec ? first->sched.picked_at_usec
                                                           : e->answered_usec;
    if (now < since + limit)
        return since + limit;
    first->timed_out = true;
    return next;
}

static bool executor_has_expired(const Executor *e)
{
    const Request *r;

    TAILQ_FOREACH(r, &e->running, running_link)
    {
        if (r->timed_out)
            return true;
    }
    return false;
}

/* The timer is set with the first request, and looked at only when it fires, so that a request that
 * ends in time costs nothing here. It fires within the limit after each hand-over: nothing that
 * began by then is over the limit. */
static void executor_arm_timer(Executor *e, uint64_t at)
{
    uint64_t accuracy = e->time_limit_usec / 20;

    (void) sd_event_source_set_time(e->timer, at);
    (void) sd_event_source_set_time_accuracy(
        e->timer, accuracy < TIME_LIMIT_ACCURACY_USEC ? accuracy : TIME_LIMIT_ACCURACY_USEC);
    (void) sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
    e->timer_armed = true;
}

static void executor_start_timer(Executor *e)
{
    const Request *first = TAILQ_FIRST(&e->running);

    if (!e->timer_armed && first && e->time_limit_usec != UINT64_MAX)
        executor_arm_timer(e, first->sched.picked_at_usec + e->time_limit_usec);
}

/* A computation cannot be stopped except by ending its process. Until that is gone it may
 * write into a window, so its requests are answered only then. */
static int executor_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    Executor *e = userdata;
    uint64_t next;

    (void) source;
    (void) usec;

    e->timer_armed = false;
    if (e->time_limit_usec == UINT64_MAX || TAILQ_EMPTY(&e->running) ||
        executor_state(e) != EXECUTOR_READY)
        return 0;

    next = executor_check_limit(e, now_usec());
    if (executor_has_expired(e))
        executor_client_kill(e->client);
    else
        executor_arm_timer(e, next);
    return 0;
}

void executor_set_time_limit(Executor *e, uint64_t usec)
{
    if (e->time_limit_usec == usec)
        return;

    e->time_limit_usec = usec;
    e->timer_armed = false;
    (void) sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
    executor_start_timer(e);
}

/* ---- What its process says --------------------------------------------------------------- */

static void executor_on_ready(void *userdata, const ExecutorHello *hello)
{
    Executor *e = userdata;

    e->device = hello->device;
    e->ops->ready(e, e->userdata);
}

static bool executor_on_response(void *userdata, uint64_t tag, const void *response, uint32_t size)
{
    Executor *e = userdata;
    VGPUResponse header;
    Request *r;

    memcpy(&header, response, sizeof(header));
    r = executor_slot_take_by_tag(e, tag, false, header.status, header.exec_time_us);
    if (!r)
        return false;

    request_end(r, &(const Outcome){
                       .status = header.status,
                       .exec_time_us = header.exec_time_us,
                       .response = response,
                       .response_size = size,
                   });
    return true;
}

static bool executor_on_result(void *userdata, uint64_t tag, const ExecutorResult *result)
{
    Executor *e = userdata;
    Request *r = executor_slot_take_by_tag(e, tag, true, result->status, result->exec_time_us);

    if (!r)
        return false;

    request_end(r, &(const Outcome){
                       .status = result->status,
                       .exec_time_us = result->exec_time_us,
                       .cuda_result = result->cuda_result,
                       .value = result->result,
                   });
    return true;
}

static void executor_on_round(void *userdata)
{
    Executor *e = userdata;

    e->answered_usec = now_usec();
    e->ops->round(e, e->userdata);
}

static bool executor_has_work(void *userdata)
{
    const Executor *e = userdata;

    return e->ops->has_work(e, e->userdata);
}

static void executor_on_end(void *userdata, ExecutorEnd end)
{
    Executor *e = userdata;

    executor_forget_windows(e);
    e->ops->ended(e, end, e->userdata);
    assert(e->n_running == 0);
}

static const ExecutorHandler executor_handler = {
    .on_ready = executor_on_ready,
    .on_response = executor_on_response,
    .on_result = executor_on_result,
    .on_round = executor_on_round,
    .has_work = executor_has_work,
    .on_end = executor_on_end,
};

/* ---- What is given to it ------------------------------------------------------------------- */

bool executor_can_start(const Executor *e)
{
    return executor_client_state(e->client) == EXECUTOR_READY && e->free_slots != 0;
}

/* Alone, it is sent at once. With others on the executor already, it waits for the
 * end of this round, to share a write. */
int executor_start(Executor *e, Request *r)
{
    uint64_t tag;
    bool urgent;
    int error;

    assert(executor_can_start(e));
    assert(r->sched.state == SCHED_RUNNING);

    error = r->window ? executor_hand_over_window(e, r->window) : 0;
    if (error < 0)
        return error;

    tag = executor_tag(executor_slot_put(e, r), r);
    urgent = e->n_running == 1;
    executor_start_timer(e);
    request_start(r);
    if (!r->window) {
        executor_client_submit(e->client, tag, r->sched.priority, r->payload, r->size, urgent);
    } else {
        window_begin(r->window);
        executor_client_compute(e->client, tag, r->sched.priority, r->window->id,
                                request_submission(r), urgent);
    }
    return 0;
}

void executor_begin_batch(Executor *e)
{
    executor_client_hold(e->client);
}

void executor_end_batch(Executor *e)
{
    executor_client_release(e->client);
}

void executor_flush(Executor *e)
{
    executor_client_flush(e->client);
}

/* Who is to blame for the end of the process, a bit for each slot, and what was begun. Where the
 * process was killed for a time limit, it is who ran into it. Else it is what was begun, for the
 * second, third … time; or if nothing was, the first. */
static uint64_t executor_find_guilty(Executor *e, uint64_t *ret_begun)
{
    bool expired = executor_has_expired(e);
    uint64_t now = now_usec(), begun = 0, guilty = 0;
    Request *r;

    TAILQ_FOREACH(r, &e->running, running_link)
    {
        if (executor_look_at_begun(e, r, now) != EXECUTOR_BEGUN_NOT)
            begun |= UINT64_C(1) << executor_slot_of(e, r);
    }
    TAILQ_FOREACH(r, &e->running, running_link)
    {
        unsigned slot = executor_slot_of(e, r);
        bool suspect = begun != 0 ? begun & UINT64_C(1) << slot : r == TAILQ_FIRST(&e->running);

        if (r->timed_out || (!expired && suspect && ++r->deaths >= DEATHS_MAX))
            guilty |= UINT64_C(1) << slot;
    }
    *ret_begun = begun;
    return guilty;
}

/* Of what is not to blame. Returns whether it went back to its queue. */
static bool executor_settle_innocent(Executor *e, unsigned slot, bool begun)
{
    Request *r = e->slot[slot];

    if (request_is_wanted(r) && (!begun || request_is_repeatable(r))) {
        executor_slot_clear(e, slot);
        request_stop(r, 0);
        request_put_back(r);
        return true;
    }

    r = executor_slot_take(e, slot, time_since_begin(r));
    if (request_is_wanted(r))
        request_fail(r, VGPU_ERROR_CUDA_ERROR, VGPU_CUDA_RESULT_LAUNCH_FAILED);
    else
        request_drop(r);
    return false;
}

/* It counts whether or not anybody still waits for the answer: who hangs up, or turns his ring off,
 * has cost the others an executor all the same. */
static void executor_settle_guilty(Executor *e, unsigned slot)
{
    Request *r = executor_slot_take(e, slot, time_since_begin(e->slot[slot]));
    Client *client = r->client;
    bool ends = client->idle != NULL; /* with its last request */

    if (ends)
        e->ops->fault(e, client, e->userdata);
    request_fail(r, r->timed_out ? VGPU_ERROR_TIMEOUT : VGPU_ERROR_CUDA_ERROR,
                 VGPU_CUDA_RESULT_LAUNCH_FAILED);
    if (!ends)
        e->ops->fault(e, client, e->userdata);
}

/* The guilty come last: their VM may lose what it has queued for that. */
unsigned executor_settle(Executor *e)
{
    uint64_t begun, guilty;
    unsigned n = 0;

    assert(executor_pid(e) == 0);

    guilty = executor_find_guilty(e, &begun);
    for (unsigned i = 0; i < EXECUTOR_SLOTS_MAX; i++)
        if (e->slot[i] && !(guilty & UINT64_C(1) << i))
            n += executor_settle_innocent(e, i, begun & UINT64_C(1) << i);
    for (; guilty != 0; guilty &= guilty - 1)
        executor_settle_guilty(e, (unsigned) __builtin_ctzll(guilty));
    return n;
}

void executor_replace(Executor *e, const ExecutorOptions *options)
{
    assert(e->n_running == 0);
    executor_client_replace(e->client, options);
}

/* ---- In a list ---------------------------------------------------------------------------- */

void executor_insert(ExecutorList *list, Executor *e)
{
    TAILQ_INSERT_TAIL(list, e, link);
}

void executor_remove(ExecutorList *list, Executor *e)
{
    TAILQ_REMOVE(list, e, link);
}

Executor *executor_next(const Executor *e)
{
    return TAILQ_NEXT(e, link);
}

/* ---- What it is ------------------------------------------------------------------------------ */

ExecutorState executor_state(const Executor *e)
{
    return executor_client_state(e->client);
}

const VGPUDeviceInfo *executor_device(const Executor *e)
{
    return &e->device;
}

pid_t executor_pid(const Executor *e)
{
    return executor_client_pid(e->client);
}

uint64_t executor_restarts(const Executor *e)
{
    return executor_client_restarts(e->client);
}

/* ---- Beginning and end --------------------------------------------------------------------- */

int executor_new(sd_event *event, const ExecutorOptions *options, const ExecutorOps *ops,
                 void *userdata, Executor **ret)
{
    CLEANUP(executor_freep) Executor *e = calloc(1, sizeof(*e));
    int r;

    if (!e)
        return -ENOMEM;

    e->ops = ops;
    e->userdata = userdata;
    e->free_slots = UINT64_MAX;
    e->time_limit_usec = UINT64_MAX;
    TAILQ_INIT(&e->running);
    TAILQ_INIT(&e->windows);

    r = sd_event_add_time_relative(event, &e->timer, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                   TIME_LIMIT_ACCURACY_USEC, executor_on_timer, e);
    if (r >= 0)
        r = sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
    if (r >= 0)
        r = executor_client_new(event, options, &executor_handler, e, &e->client);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(e);
    return 0;
}

Executor *executor_free(Executor *e)
{
    if (!e)
        return NULL;

    e->client = executor_client_free(e->client);
    sd_event_source_disable_unref(e->timer);
    for (unsigned i = 0; i < EXECUTOR_SLOTS_MAX; i++)
        if (e->slot[i])
            request_drop(executor_slot_take(e, i, time_since_begin(e->slot[i])));
    executor_forget_windows(e);
    free(e);
    return NULL;
}

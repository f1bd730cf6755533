/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "request-cost.h"

/* Limits are seconds: a timer that is this much late does no harm, and coincides with others. */
#define QUEUE_TIMER_ACCURACY_USEC UINT64_C(250000)

/* Defaults of RequestCostMax=: on either backend some seconds. */
#define COST_MAX_CPU UINT64_C(70000000000)
#define COST_MAX_CUDA UINT64_C(20000000000000)

#define pool_changed(p, ...) pool_properties_changed((p), (const char *const[]){__VA_ARGS__, NULL})

static void pool_properties_changed(Pool *p, const char *const *properties)
{
    if (p->context->changed)
        p->context->changed(p, properties, p->context->changed_userdata);
}

/* ---- From the queue to an executor ------------------------------------------------------ */

/* The executor that gets the pool's next request; NULL while none can. */
static Executor *pool_executor_for_next(const Pool *p)
{
    if (p->changing)
        return NULL;
    EXECUTORS_FOREACH(e, &p->executors)
    {
        if (executor_can_start(e))
            return e;
    }
    return NULL;
}

static void pool_count_wait(Pool *p, Request *r, uint64_t now)
{
    uint64_t wait = now - r->sched.queued_at_usec;

    histogram_add(&p->queue.statistics.wait, wait);
    histogram_add(&r->client->statistics.wait, wait);
}

/* The most that a request may cost on this executor. */
static uint64_t pool_cost_max(const Pool *p, const Executor *e)
{
    const VGPUDeviceInfo *device = executor_device(e);

    if (p->config.request_cost_max > 0)
        return p->config.request_cost_max;
    return strcmp(device->backend, "cpu") == 0 ? COST_MAX_CPU : COST_MAX_CUDA;
}

/* Returns whether the request costs too much, and was answered. */
static bool pool_refuse(const Pool *p, const Executor *e, Request *r)
{
    uint64_t cost = r->window ? request_cost(request_submission(r)) : 0, max = pool_cost_max(p, e);
    char reason[160];

    if (cost <= max)
        return false;

    snprintf(reason, sizeof(reason),
             "it costs %" PRIu64 " million operations, and RequestCostMax= of pool %c is %" PRIu64,
             cost / 1000000, p->name, max / 1000000);
    sched_request_complete(&r->sched, 0);
    request_refuse(r, reason);
    return true;
}

/* Without memory it is as if there had been no room for the request. */
static void pool_start(const Pool *p, Executor *e, Request *r)
{
    if (pool_refuse(p, e, r))
        return;
    if (executor_start(e, r) == 0)
        return;

    client_log_no_memory(r->client);
    sched_request_complete(&r->sched, 0);
    request_fail(r, VGPU_ERROR_QUEUE_FULL, 0);
}

void pool_dispatch(Pool *p)
{
    uint64_t now = now_usec();
    SchedRequest *s;
    Executor *e;

    /* What is counted as running is running, and everything that runs has a place. */
    assert(p->queue.busy.n <= p->queue.scheduler.n_running);
    while ((e = pool_executor_for_next(p)) && (s = scheduler_pick(&p->queue.scheduler, now))) {
        Request *r = request_from_sched(s);

        pool_count_wait(p, r, now);
        client_has_room(r->client);
        pool_start(p, e, r);
    }
    pool_offer_room(p);
}

void pool_begin_batch(Pool *p)
{
    EXECUTORS_FOREACH(e, &p->executors)
    {
        executor_begin_batch(e);
    }
}

void pool_end_batch(Pool *p)
{
    pool_dispatch(p);
    EXECUTORS_FOREACH(e, &p->executors)
    {
        executor_end_batch(e);
    }
}

void pool_flush(Pool *p)
{
    pool_dispatch(p);
    EXECUTORS_FOREACH(e, &p->executors)
    {
        executor_flush(e);
    }
}

/* ---- Room in the queue ------------------------------------------------------------------ */

bool pool_is_full(const Pool *p)
{
    return scheduler_queued(&p->queue.scheduler) >= p->queue.scheduler.limit;
}

void pool_wait_for_room(Pool *p, PoolWaiter *w)
{
    assert(w->has_room);
    pool_stop_waiting(w);
    w->pool = p;
    TAILQ_INSERT_TAIL(&p->waiters, w, link);
}

void pool_stop_waiting(PoolWaiter *w)
{
    if (!w->pool)
        return;

    TAILQ_REMOVE(&w->pool->waiters, w, link);
    w->pool = NULL;
}

/* Calls one waiter at a time, in turn. A waiter that does not fill the place offers it again. */
void pool_offer_room(Pool *p)
{
    PoolWaiter *w = TAILQ_FIRST(&p->waiters);

    if (!w || pool_is_full(p))
        return;
    pool_stop_waiting(w);
    w->has_room(w);
}

/* ---- What waits too long ---------------------------------------------------------------- */

/* Armed while there are requests, and looked at lazily: the timer is set anew only when it
 * fires, so a request costs nothing here. */
static void pool_arm_queue_timer(Pool *p)
{
    if (p->queue_timer_armed || p->context->queue_timeout_usec == UINT64_MAX)
        return;

    (void) sd_event_source_set_time_relative(p->queue_timer, p->context->queue_timeout_usec);
    (void) sd_event_source_set_enabled(p->queue_timer, SD_EVENT_ONESHOT);
    p->queue_timer_armed = true;
}

/* Fails all that has been queued at @before or earlier. */
static void pool_fail_queued(Pool *p, uint64_t before, uint32_t error, uint32_t cuda_result)
{
    for (unsigned priority = 0; priority < VGPU_N_PRIORITIES; priority++) {
        SchedRequest *s;

        while ((s = scheduler_oldest(&p->queue.scheduler, priority)) &&
               s->queued_at_usec <= before) {
            sched_request_remove(s);
            request_fail(request_from_sched(s), error, cuda_result);
        }
    }
}

static int pool_on_queue_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    Pool *p = userdata;
    uint64_t now = now_usec(), limit = p->context->queue_timeout_usec;

    (void) source;
    (void) usec;

    p->queue_timer_armed = false;
    if (now >= limit)
        pool_fail_queued(p, now - limit, VGPU_ERROR_TIMEOUT, 0);
    if (scheduler_queued(&p->queue.scheduler) > 0)
        pool_arm_queue_timer(p);
    return 0;
}

/* ---- Into the queue --------------------------------------------------------------------- */

static void statistics_count_queued(Statistics *s, uint64_t size, uint64_t realtime_usec)
{
    s->submitted++;
    s->bytes_in += size;
    s->last_request_usec = realtime_usec;
}

int pool_queue(Pool *p, Request *r, unsigned priority, uint64_t now)
{
    int outcome = scheduler_push(&p->queue.scheduler, &r->client->sched, &r->sched, priority, now);
    uint64_t realtime;

    if (outcome > 0)
        return outcome;

    realtime = clock_usec(CLOCK_REALTIME_COARSE);
    statistics_count_queued(&p->queue.statistics, r->bytes_in, realtime);
    statistics_count_queued(&r->client->statistics, r->bytes_in, realtime);

    if (p->unavailable) {
        sched_request_remove(&r->sched);
        request_fail(r, VGPU_ERROR_CUDA_ERROR, VGPU_CUDA_RESULT_NO_DEVICE);
        return 0;
    }

    pool_arm_queue_timer(p);
    return 0;
}

/* ---- What becomes of the executor -------------------------------------------------------- */

static ExecutorOptions pool_executor_options(const Pool *p)
{
    return (ExecutorOptions){
        .path = p->context->executor_path,
        .backend = pool_backend_to_string(p->config.backend),
        .device = p->config.devices.name[0],
        /* As many as there can be, so that a change of InFlight= needs no new process. */
        .slots = EXECUTOR_SLOTS_MAX,
        .busy_poll_usec = p->config.busy_poll_usec,
        .pool = p->name,
    };
}

/* Not before what runs is finished; what is queued waits for the next one. */
static void pool_replace_when_idle(Pool *p)
{
    ExecutorOptions options;

    if (!p->changing || p->queue.scheduler.n_running > 0)
        return;

    p->changing = false;
    options = pool_executor_options(p);
    EXECUTORS_FOREACH(e, &p->executors)
    {
        executor_replace(e, &options);
    }
}

static void pool_on_ready(Executor *e, void *userdata)
{
    const VGPUDeviceInfo *device = executor_device(e);
    Pool *p = userdata;
    LogContext context = {.pool = p->name};

    p->unavailable = false;
    pool_changed(p, "Backend", "Devices", "DeviceMemoryTotal", "ExecutorState", "ExecutorPID");
    log_context(LOG_INFO, &context, "pool %c: computing with backend %s on %s", p->name,
                device->backend, device->name);
    pool_dispatch(p);
}

static void pool_on_round(Executor *e, void *userdata)
{
    Pool *p = userdata;

    (void) e;

    pool_replace_when_idle(p);
    pool_dispatch(p);
    if (p->context->round)
        p->context->round(p, p->context->userdata);
}

static bool pool_has_work(const Executor *e, void *userdata)
{
    const Pool *p = userdata;

    (void) e;

    return p->context->has_work && p->context->has_work(p, p->context->userdata);
}

static bool pool_has_ready_executor(const Pool *p)
{
    EXECUTORS_FOREACH(e, &p->executors)
    {
        if (executor_state(e) == EXECUTOR_READY)
            return true;
    }
    return false;
}

static void pool_settle(Pool *p, Executor *e)
{
    LogContext context = {.pool = p->name};
    unsigned n = executor_settle(e);

    if (n == 0)
        return;
    log_context(LOG_INFO, &context, "pool %c: %u requests that the executor had go to the next one",
                p->name, n);
    pool_arm_queue_timer(p);
}

static void pool_on_fault(Executor *e, Client *client, void *userdata)
{
    Pool *p = userdata;

    (void) e;

    if (p->context->fault)
        p->context->fault(p, client, p->context->userdata);
}

/* What the executor had in hand goes back to the queue, unless that is to blame, and waits for the
 * next one. Where none can start here, the queue would wait for ever, so it fails. */
static void pool_on_ended(Executor *e, ExecutorEnd end, void *userdata)
{
    Pool *p = userdata;

    pool_changed(p, "ExecutorState", "ExecutorPID", "ExecutorRestarts");
    pool_settle(p, e);
    if (end == EXECUTOR_END_UNABLE && !pool_has_ready_executor(p)) {
        p->unavailable = true;
        pool_fail_queued(p, UINT64_MAX, VGPU_ERROR_CUDA_ERROR, VGPU_CUDA_RESULT_NO_DEVICE);
    }
}

static const ExecutorOps pool_executor_ops = {
    .ready = pool_on_ready,
    .round = pool_on_round,
    .has_work = pool_has_work,
    .ended = pool_on_ended,
    .fault = pool_on_fault,
};

/* ---- The pool ------------------------------------------------------------------------------ */

Executor *pool_executor(const Pool *p)
{
    return TAILQ_FIRST(&p->executors);
}

bool pool_is_idle(const Pool *p)
{
    return p->queue.scheduler.n_running == 0 && scheduler_queued(&p->queue.scheduler) == 0;
}

bool pool_is_at_rest(const Pool *p)
{
    return p->queue.scheduler.n_running == 0 && !scheduler_can_pick(&p->queue.scheduler);
}

void pool_set_paused(Pool *p, bool paused)
{
    if (p->queue.scheduler.held == paused)
        return;

    scheduler_hold(&p->queue.scheduler, paused);
    pool_changed(p, "Paused");
    if (p->context->paused)
        p->context->paused(p, p->context->userdata);
    pool_dispatch(p);
}

void pool_reconfigure(Pool *p, const PoolConfig *config)
{
    const PoolDevices *before = &p->config.devices, *now = &config->devices;
    bool replace = p->config.backend != config->backend ||
                   strcmp(before->name[0], now->name[0]) != 0 ||
                   p->config.busy_poll_usec != config->busy_poll_usec;
    bool devices_change = memcmp(before, now, sizeof(*now)) != 0;
    Scheduler *s = &p->queue.scheduler;

    p->config = *config;
    if (devices_change)
        pool_changed(p, "SessionDevices");
    if (s->limit != config->queue_limit) {
        scheduler_set_limit(s, config->queue_limit);
        pool_changed(p, "QueueLimit");
    }
    if (s->max_running != config->in_flight) {
        scheduler_set_max_running(s, config->in_flight);
        pool_changed(p, "InFlightLimit");
    }
    if (s->policy != config->policy) {
        scheduler_set_policy(s, config->policy);
        pool_changed(p, "Policy");
    }
    if (s->starvation_limit_usec != config->starvation_limit_usec) {
        scheduler_set_starvation_limit(s, config->starvation_limit_usec);
        pool_changed(p, "StarvationLimitUSec");
    }
    EXECUTORS_FOREACH(e, &p->executors)
    {
        executor_set_time_limit(e, p->context->request_timeout_usec);
    }

    if (replace) {
        p->changing = true;
        pool_replace_when_idle(p);
    }
    pool_dispatch(p);
}

static void pool_freep(Pool **p)
{
    pool_free(*p);
}

int pool_new(PoolContext *context, char name, const PoolConfig *config, Pool **ret)
{
    CLEANUP(pool_freep) Pool *p = calloc(1, sizeof(*p));
    ExecutorOptions options;
    Executor *e;
    int r;

    if (!p)
        return -ENOMEM;

    p->context = context;
    p->name = p->queue.pool = name;
    p->config = *config;
    TAILQ_INIT(&p->waiters);
    TAILQ_INIT(&p->executors);
    scheduler_init(&p->queue.scheduler, &context->next_arrival, config->in_flight,
                   config->queue_limit);
    scheduler_set_policy(&p->queue.scheduler, config->policy);
    scheduler_set_starvation_limit(&p->queue.scheduler, config->starvation_limit_usec);

    r = sd_event_add_time_relative(context->event, &p->queue_timer, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                   QUEUE_TIMER_ACCURACY_USEC, pool_on_queue_timer, p);
    if (r >= 0)
        r = sd_event_source_set_enabled(p->queue_timer, SD_EVENT_OFF);
    if (r < 0)
        return r;

    options = pool_executor_options(p);
    r = executor_new(context->event, &options, &pool_executor_ops, p, &e);
    if (r < 0)
        return r;
    executor_insert(&p->executors, e);
    executor_set_time_limit(e, context->request_timeout_usec);

    *ret = TAKE_PTR(p);
    return 0;
}

/* Those who would have been answered are gone: the connections end first. */
Pool *pool_free(Pool *p)
{
    Executor *e;

    if (!p)
        return NULL;

    while ((e = TAILQ_FIRST(&p->executors))) {
        executor_remove(&p->executors, e);
        executor_free(e);
    }
    assert(p->queue.busy.n == 0 && p->queue.scheduler.n_running == 0);
    sd_event_source_disable_unref(p->queue_timer);
    free(p);
    return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "manager.h"
#include "pool-bus.h"

/* Timeouts are seconds: this much late does not matter, and lets timers coincide. */
#define TIMEOUT_ACCURACY_USEC UINT64_C(250000)

/* ---- Running requests ----------------------------------------------------- */

/* A tag is the slot below and the arrival above, so that an answer given twice
 * or too late matches nothing. */
static uint64_t tag_of(unsigned slot, const Request *r)
{
    return r->sched.arrival * EXECUTOR_SLOTS_MAX + slot;
}

/* Of one that failed nothing was measured: its time is that since it was picked. */
static uint64_t time_since_pick(const Request *r)
{
    return now_usec() - r->sched.picked_at_usec;
}

static Request *slot_take(Pool *p, unsigned slot, uint64_t usec)
{
    Request *r = p->slot[slot];

    p->slot[slot] = NULL;
    p->free_slots |= UINT64_C(1) << slot;
    sched_request_complete(&r->sched, usec);
    if (r->window)
        window_end(r->window);
    return r;
}

static unsigned slot_put(Pool *p, Request *r)
{
    unsigned slot = (unsigned) __builtin_ctzll(p->free_slots);

    p->free_slots &= ~(UINT64_C(1) << slot);
    p->slot[slot] = r;
    return slot;
}

static void arm_timeout(Pool *p)
{
    uint64_t usec = p->manager->config.request_timeout_usec;

    if (p->manager->config.queue_timeout_usec < usec)
        usec = p->manager->config.queue_timeout_usec;
    if (usec == UINT64_MAX)
        return;

    (void) sd_event_source_set_time_relative(p->timeout, usec);
    (void) sd_event_source_set_enabled(p->timeout, SD_EVENT_ONESHOT);
    p->timeout_armed = true;
}

/* Armed while there are requests, and looked at lazily: the timer is set anew
 * only when it fires, so a request costs nothing here. */
static void ensure_timeout(Pool *p)
{
    if (!p->timeout_armed)
        arm_timeout(p);
}

/* Alone, it is sent at once. With others on the executor already, it waits for the
 * end of this round, to share a write. */
static void hand_over(Pool *p, Request *r)
{
    uint64_t tag = tag_of(slot_put(p, r), r);
    bool urgent = p->scheduler.n_running == 1;

    if (!r->window) {
        executor_client_submit(p->executor, tag, r->sched.priority, r->payload, r->size, urgent);
        return;
    }

    lane_start_request(r);
    window_begin(r->window, p->name, p->executor);
    executor_client_compute(p->executor, tag, r->sched.priority, r->window->id,
                            request_submission(r), urgent);
}

void pool_dispatch(Pool *p)
{
    SchedRequest *s;
    uint64_t now = now_usec();

    while (!p->changing && executor_client_state(p->executor) == EXECUTOR_READY &&
           (s = scheduler_pick(&p->scheduler, now))) {
        Request *r = request_from_sched(s);
        uint64_t wait = now - r->sched.queued_at_usec;

        histogram_add(&p->statistics.wait, wait);
        histogram_add(&r->vm->statistics.wait, wait);
        hand_over(p, r);
        lane_has_room(r->vm->lane);
    }
    lanes_have_room(p);
}

/* ---- What the executor says ------------------------------------------------ */

static void on_ready(void *userdata, const ExecutorHello *hello)
{
    Pool *p = userdata;
    LogContext context = {.pool = p->name};

    p->device = hello->device;
    p->unavailable = false;
    pool_bus_changed(p, "Backend", "Devices", "DeviceMemoryTotal", "ExecutorState", "ExecutorPID");
    log_context(LOG_INFO, &context, "pool %c: computing with backend %s on %s", p->name,
                p->device.backend, p->device.name);
    pool_dispatch(p);
}

static ExecutorOptions executor_options(const Pool *p)
{
    return (ExecutorOptions){
        .path = p->manager->executor_path,
        .backend = pool_backend_to_string(p->config.backend),
        .device = p->config.device,
        /* As many as there can be, so that a change of InFlight= needs no new process. */
        .slots = EXECUTOR_SLOTS_MAX,
        .busy_poll_usec = p->config.busy_poll_usec,
        .pool = p->name,
    };
}

/* Not before what runs is finished; what is queued waits for the next one. */
static void replace_when_idle(Pool *p)
{
    ExecutorOptions options;

    if (!p->changing || p->scheduler.n_running > 0)
        return;

    p->changing = false;
    options = executor_options(p);
    executor_client_replace(p->executor, &options);
}

/* Takes the request with that tag out of its slot; NULL when there is none, or one of the
 * other kind. */
static Request *slot_take_by_tag(Pool *p, uint64_t tag, bool compute, uint32_t status,
                                 uint32_t exec_time_us)
{
    unsigned slot = (unsigned) (tag % EXECUTOR_SLOTS_MAX);
    const Request *r = p->slot[slot];

    if (!r || tag_of(slot, r) != tag || (r->window != NULL) != compute)
        return NULL;
    return slot_take(p, slot, status == VGPU_ERROR_NONE ? exec_time_us : time_since_pick(r));
}

static bool on_response(void *userdata, uint64_t tag, const void *response, uint32_t size)
{
    Pool *p = userdata;
    VGPUResponse header;
    Request *r;

    memcpy(&header, response, sizeof(header));
    r = slot_take_by_tag(p, tag, false, header.status, header.exec_time_us);
    if (!r)
        return false;

    request_answer(r, response, size);
    return true;
}

static bool on_result(void *userdata, uint64_t tag, const ExecutorResult *result)
{
    Pool *p = userdata;
    Request *r = slot_take_by_tag(p, tag, true, result->status, result->exec_time_us);
    const RingResult ours = {
        .value = result->result,
        .status = result->status,
        .exec_time_us = result->exec_time_us,
        .cuda_result = result->cuda_result,
    };

    if (!r)
        return false;

    request_complete(r, &ours);
    return true;
}

static void on_round(void *userdata)
{
    Pool *p = userdata;

    replace_when_idle(p);
    pool_dispatch(p);
    lanes_run(p->manager);
}

static bool has_work(void *userdata)
{
    const Pool *p = userdata;

    return !TAILQ_EMPTY(&p->manager->lanes_kicked);
}

static void fail_running(Pool *p, uint32_t error, uint32_t cuda_result)
{
    for (unsigned i = 0; i < EXECUTOR_SLOTS_MAX; i++)
        if (p->slot[i]) {
            Request *r = slot_take(p, i, time_since_pick(p->slot[i]));

            request_fail(r, r->timed_out ? VGPU_ERROR_TIMEOUT : error, cuda_result);
        }
}

static void fail_queued(Pool *p, uint32_t error, uint32_t cuda_result)
{
    for (unsigned priority = 0; priority < VGPU_N_PRIORITIES; priority++) {
        SchedRequest *s;

        while ((s = TAILQ_FIRST(&p->scheduler.level[priority]))) {
            sched_request_remove(s);
            request_fail(request_from_sched(s), error, cuda_result);
        }
    }
}

/* An executor that was at work takes down what it had in hand; the queue waits
 * for the next one. One that cannot even start would let the queue wait for
 * ever, so that fails too. */
static void on_end(void *userdata, ExecutorEnd end)
{
    Pool *p = userdata;

    pool_bus_changed(p, "ExecutorState", "ExecutorPID", "ExecutorRestarts");
    window_forget_executor(p->manager, p->name);
    fail_running(p, VGPU_ERROR_CUDA_ERROR, VGPU_CUDA_RESULT_LAUNCH_FAILED);
    if (end == EXECUTOR_END_START) {
        p->unavailable = true;
        fail_queued(p, VGPU_ERROR_CUDA_ERROR, VGPU_CUDA_RESULT_NO_DEVICE);
    }
}

static const ExecutorHandler executor_handler = {
    .on_ready = on_ready,
    .on_response = on_response,
    .on_result = on_result,
    .on_round = on_round,
    .has_work = has_work,
    .on_end = on_end,
};

/* ---- Timeouts ---------------------------------------------------------------- */

static void expire_queued(Pool *p, uint64_t now)
{
    uint64_t limit = p->manager->config.queue_timeout_usec;

    for (unsigned priority = 0; priority < VGPU_N_PRIORITIES; priority++) {
        SchedRequest *s;

        while ((s = TAILQ_FIRST(&p->scheduler.level[priority])) &&
               now - s->queued_at_usec >= limit) {
            sched_request_remove(s);
            request_fail(request_from_sched(s), VGPU_ERROR_TIMEOUT, 0);
        }
    }
}

/* A computation cannot be stopped except by ending its process. Until that is gone it
 * may write into a window, so an entry of a ring is answered only then. */
static void expire_running(Pool *p, uint64_t now)
{
    uint64_t limit = p->manager->config.request_timeout_usec;
    bool expired = false;

    for (unsigned i = 0; i < EXECUTOR_SLOTS_MAX; i++) {
        Request *r = p->slot[i];

        if (!r || now - r->sched.picked_at_usec < limit)
            continue;
        if (r->window)
            r->timed_out = true;
        else
            request_fail(slot_take(p, i, time_since_pick(p->slot[i])), VGPU_ERROR_TIMEOUT, 0);
        expired = true;
    }

    if (expired)
        executor_client_kill(p->executor);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    Pool *p = userdata;
    uint64_t now = now_usec();

    (void) source;
    (void) usec;

    p->timeout_armed = false;
    expire_queued(p, now);
    expire_running(p, now);
    if (!pool_is_idle(p))
        arm_timeout(p);
    return 0;
}

/* ---- The pool ------------------------------------------------------------------ */

bool pool_is_idle(const Pool *p)
{
    return p->scheduler.n_running == 0 && scheduler_queued(&p->scheduler) == 0;
}

bool pool_is_at_rest(const Pool *p)
{
    return p->scheduler.n_running == 0 && !scheduler_can_pick(&p->scheduler);
}

void pool_forget_connection(Pool *p, const Connection *c)
{
    for (unsigned i = 0; i < EXECUTOR_SLOTS_MAX; i++)
        if (p->slot[i] && p->slot[i]->connection == c)
            p->slot[i]->connection = NULL;
}

void pool_forget_lane(Pool *p, const Lane *l)
{
    for (unsigned i = 0; i < EXECUTOR_SLOTS_MAX; i++)
        if (p->slot[i] && p->slot[i]->lane == l)
            p->slot[i]->lane = NULL;
}

bool pool_is_full(const Pool *p)
{
    return scheduler_queued(&p->scheduler) >= p->scheduler.limit;
}

static void count_queued(Statistics *s, uint64_t size, uint64_t realtime_usec)
{
    s->submitted++;
    s->bytes_in += size;
    s->last_request_usec = realtime_usec;
}

int pool_queue(Pool *p, Request *r, unsigned priority, uint64_t now)
{
    int outcome = scheduler_push(&p->scheduler, &r->vm->client, &r->sched, priority, now);
    uint64_t realtime;
    if (outcome > 0)
        return outcome;

    realtime = clock_usec(CLOCK_REALTIME_COARSE);
    count_queued(&p->statistics, r->bytes_in, realtime);
    count_queued(&r->vm->statistics, r->bytes_in, realtime);

    if (p->unavailable) {
        sched_request_remove(&r->sched);
        request_fail(r, VGPU_ERROR_CUDA_ERROR, VGPU_CUDA_RESULT_NO_DEVICE);
        return 0;
    }

    ensure_timeout(p);
    return 0;
}

int pool_push(Pool *p, Request *r, unsigned priority)
{
    int outcome = pool_queue(p, r, priority, now_usec());

    if (outcome == 0)
        pool_dispatch(p);
    return outcome;
}

void pool_set_paused(Pool *p, bool paused)
{
    if (p->scheduler.held == paused)
        return;

    p->scheduler.held = paused;
    pool_bus_changed(p, "Paused");
    pool_dispatch(p);
}

void pool_reconfigure(Pool *p, const PoolConfig *config)
{
    bool replace = p->config.backend != config->backend || p->config.device != config->device ||
                   p->config.busy_poll_usec != config->busy_poll_usec;

    p->config = *config;
    if (p->scheduler.limit != config->queue_limit) {
        p->scheduler.limit = config->queue_limit;
        pool_bus_changed(p, "QueueLimit");
    }
    if (p->scheduler.max_running != config->in_flight) {
        p->scheduler.max_running = config->in_flight;
        pool_bus_changed(p, "InFlightLimit");
    }

    if (p->scheduler.policy != config->policy) {
        scheduler_set_policy(&p->scheduler, config->policy);
        pool_bus_changed(p, "Policy");
    }
    if (p->scheduler.starvation_limit_usec != config->starvation_limit_usec) {
        p->scheduler.starvation_limit_usec = config->starvation_limit_usec;
        pool_bus_changed(p, "StarvationLimitUSec");
    }

    if (replace) {
        p->changing = true;
        replace_when_idle(p);
    }
    pool_dispatch(p);
}

int pool_new(Manager *manager, char name, const PoolConfig *config, Pool **ret)
{
    Pool *p = calloc(1, sizeof(*p));
    ExecutorOptions options;
    int r;

    if (!p)
        return -ENOMEM;

    p->manager = manager;
    p->name = name;
    p->config = *config;
    p->free_slots = UINT64_MAX;
    TAILQ_INIT(&p->lanes);
    scheduler_init(&p->scheduler, &manager->next_arrival, config->in_flight, config->queue_limit);
    scheduler_set_policy(&p->scheduler, config->policy);
    p->scheduler.starvation_limit_usec = config->starvation_limit_usec;

    options = executor_options(p);
    r = sd_event_add_time_relative(manager->event, &p->timeout, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                   TIMEOUT_ACCURACY_USEC, on_timeout, p);
    if (r >= 0)
        r = sd_event_source_set_enabled(p->timeout, SD_EVENT_OFF);
    if (r >= 0)
        r = executor_client_new(manager->event, &options, &executor_handler, p, &p->executor);
    if (r < 0) {
        pool_free(p);
        return r;
    }

    *ret = p;
    return 0;
}

Pool *pool_free(Pool *p)
{
    if (!p)
        return NULL;

    executor_client_free(p->executor);
    sd_event_source_disable_unref(p->timeout);
    /* Those who would have been answered are gone: the connections end first. */
    for (unsigned i = 0; i < EXECUTOR_SLOTS_MAX; i++)
        if (p->slot[i])
            request_discard(slot_take(p, i, time_since_pick(p->slot[i])));
    free(p);
    return NULL;
}

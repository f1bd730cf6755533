/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ring-source.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "closer.h"
#include "container-of.h"
#include "log.h"
#include "passed-fds.h"
#include "ring-host.h"

/* Entries taken from a ring in one round of the loop, and how many the executor is shown
 * together: it computes the first while the others are taken. */
#define BATCH 64
#define WRITE_BATCH 16

/* A token that comes a millisecond late is early enough. */
#define RATE_ACCURACY_USEC 1000

typedef enum RingSourceState {
    RING_SOURCE_STARTING, /* RING_READY waits for a quiet window */
    RING_SOURCE_ON,
    RING_SOURCE_STOPPING, /* so does RING_STOPPED */
    RING_SOURCE_FAILED,   /* nothing more is done; what runs is forgotten */
} RingSourceState;

struct RingSource {
    RequestSource source;
    RingSources *all;
    RingSource **owner; /* the pointer that leads here; NULL before there is one */
    VM *vm;
    Window *window;
    VGPURingSetup setup;
    RingSourceState state;
    RingHost ring; /* while is_open */
    bool is_open;  /* the ring may be written */
    uint32_t id;   /* of the message that waits for an answer */
    ClientWaiter client_room;
    PoolWaiter pool_room;
    WindowWaiter quiet; /* while STARTING or STOPPING */
    VMWatcher watcher;
    bool kicked;
    int completion;
    sd_event_source *doorbell; /* has the descriptor */
    sd_event_source *rate;     /* when there will be a token */
    TAILQ_ENTRY(RingSource) kicked_link;
};

/* ---- Being looked at ----------------------------------------------------------------- */

static void ring_source_kick(RingSource *s)
{
    if (s->kicked)
        return;

    s->kicked = true;
    TAILQ_INSERT_TAIL(&s->all->kicked, s, kicked_link);
    (void) sd_event_source_set_enabled(s->all->run, SD_EVENT_ONESHOT);
}

static void ring_source_unkick(RingSource *s)
{
    if (s->kicked)
        TAILQ_REMOVE(&s->all->kicked, s, kicked_link);
    s->kicked = false;
}

static void ring_source_on_client_room(ClientWaiter *w)
{
    ring_source_kick(CONTAINER_OF(w, RingSource, client_room));
}

static void ring_source_on_pool_room(PoolWaiter *w)
{
    ring_source_kick(CONTAINER_OF(w, RingSource, pool_room));
}

static void ring_source_on_quiet(WindowWaiter *w)
{
    ring_source_kick(CONTAINER_OF(w, RingSource, quiet));
}

static void ring_source_on_vm_changed(VMWatcher *w)
{
    ring_source_kick(CONTAINER_OF(w, RingSource, watcher));
}

/* ---- The end -------------------------------------------------------------------------- */

/* No more is written into the ring, and nobody listens for doorbells. */
static void ring_source_close(RingSource *s)
{
    s->is_open = false;
    request_source_end(&s->source);
    client_stop_waiting(&s->client_room);
    pool_stop_waiting(&s->pool_room);
    window_stop_waiting(&s->quiet);
    vm_unwatch(&s->watcher);

    s->doorbell = sd_event_source_disable_unref(s->doorbell);
    s->rate = sd_event_source_disable_unref(s->rate);
    closer_close(s->completion);
    s->completion = -1;
}

RingSource *ring_source_free(RingSource *s)
{
    if (!s)
        return NULL;

    ring_source_close(s);
    ring_source_unkick(s);
    if (s->owner)
        *s->owner = NULL;
    vm_set_ring(s->vm, 0, 0);
    window_unref(s->window);
    free(s);
    return NULL;
}

static void vm_send_ring_ready(VM *vm, uint32_t request_id, uint32_t error)
{
    const VGPURingReady ready = {.error = error};

    vm_send(vm, VGPU_MSG_RING_READY, request_id, &ready, sizeof(ready));
}

static void vm_log_ring_end(VM *vm, const char *reason)
{
    if (client_may_log(&vm->client))
        log_context(LOG_WARNING, &vm->client.log, "its ring ends: %s", reason);
}

static void ring_source_fail(RingSource *s, const char *reason)
{
    /* There are zeros instead, and those may make no sense. */
    if (window_is_lost(s->window))
        reason = "it took memory of its window away";
    vm_log_ring_end(s->vm, reason);
    ring_source_close(s);
    s->state = RING_SOURCE_FAILED;
    vm_set_ring(s->vm, 0, 0);
    vm_send_ring_ready(s->vm, s->id, VGPU_ERROR_INVALID_REQUEST);
}

/* ---- Entries --------------------------------------------------------------------------- */

static int ring_source_on_rate(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void) source;
    (void) usec;

    ring_source_kick(userdata);
    return 0;
}

static void ring_source_wait_for_token(RingSource *s)
{
    uint64_t delay = vm_token_delay_usec(s->vm);

    if (s->rate) {
        (void) sd_event_source_set_time_relative(s->rate, delay);
        (void) sd_event_source_set_enabled(s->rate, SD_EVENT_ONESHOT);
    } else {
        (void) sd_event_add_time_relative(s->all->event, &s->rate, CLOCK_MONOTONIC, delay,
                                          RATE_ACCURACY_USEC, ring_source_on_rate, s);
    }
}

/* One place in the VM's queue, where it has more, is left to requests by register. */
static bool queue_has_room(const SchedClient *c)
{
    return c->n_queued == 0 || c->n_queued + 1 < c->limit;
}

/* May an entry leave the ring now? If not, the obstacle has a waiter, which kicks the ring when
 * the obstacle is gone. */
static bool ring_source_may_take(RingSource *s, Pool *p)
{
    VM *vm = s->vm;

    if (vm->quarantined || !p)
        return true; /* to be answered at once */
    if (vm->paused || s->all->stopped)
        return false;
    if (!queue_has_room(&vm->client.sched)) {
        client_wait_for_room(&vm->client, &s->client_room);
        return false;
    }
    if (pool_is_full(p)) {
        pool_wait_for_room(p, &s->pool_room);
        return false;
    }
    if (!vm_take_token(vm)) {
        ring_source_wait_for_token(s);
        return false;
    }
    return true;
}

/* Ends an entry that does not reach the queue. */
static void ring_source_reject(RingSource *s, const RingEntry *e, uint32_t error)
{
    const RingResult result = {.status = error, .cuda_result = e->cuda_result};
    LogContext context = s->vm->client.log;

    context.error = error;
    if (client_may_log(&s->vm->client))
        log_context(LOG_INFO, &context, "entry %u of the ring rejected: %s", e->index,
                    vgpu_error_to_string(error));
    s->vm->client.statistics.rejected++;
    ring_host_complete(&s->ring, e->index, e->submission.tag, &result);
}

/* Returns what ring_host_take() does. */
static int ring_source_take_one(RingSource *s, Pool *p, uint64_t now)
{
    VM *vm = s->vm;
    Request *r;
    RingEntry e;
    int outcome = ring_host_take(&s->ring, &e);

    if (outcome != RING_ENTRY)
        return outcome;

    if (e.error == VGPU_ERROR_NONE)
        e.error = vm->quarantined ? VGPU_ERROR_VM_QUARANTINED
                  : !p            ? VGPU_ERROR_INVALID_POOL
                                  : VGPU_ERROR_NONE;
    if (e.error != VGPU_ERROR_NONE) {
        ring_source_reject(s, &e, e.error);
        return outcome;
    }

    /* Without memory, or over a limit that ring_source_may_take() did not see, it is as if
     * the queue were full. */
    r = request_new_entry(&s->all->request_cache, &vm->client, &s->source, s->window, e.index,
                          &e.submission);
    if (!r)
        client_log_no_memory(&vm->client);
    if (!r || pool_queue(p, r, vm->settings.priority, now) > 0) {
        if (r)
            request_free(r);
        ring_source_reject(s, &e, VGPU_ERROR_QUEUE_FULL);
    }
    return outcome;
}

/* Returns the last outcome of looking at the ring. */
static int ring_source_take_batch(RingSource *s, Pool *p)
{
    int outcome = RING_NOTHING;
    uint64_t now = 0;

    for (unsigned i = 0; i < BATCH; i++) {
        if (i % WRITE_BATCH == 0)
            now = now_usec();
        outcome = ring_host_look(&s->ring);
        if (outcome == RING_NOTHING)
            outcome = ring_host_sleep(&s->ring);
        if (outcome == RING_ENTRY && ring_source_may_take(s, p))
            outcome = ring_source_take_one(s, p, now);
        else
            break;
        if (outcome != RING_ENTRY)
            break;
        if (p && i % WRITE_BATCH == WRITE_BATCH - 1)
            pool_flush(p);
        if (i == BATCH - 1)
            ring_source_kick(s); /* after the others */
    }
    return outcome;
}

static int ring_source_take_entries(RingSource *s)
{
    Pool *p = pools_find(s->all->pools, (unsigned char) s->vm->settings.pool);
    int outcome;

    client_stop_waiting(&s->client_room);
    pool_stop_waiting(&s->pool_room);
    if (!p)
        return ring_source_take_batch(s, NULL);

    pool_begin_batch(p);
    outcome = ring_source_take_batch(s, p);
    pool_end_batch(p);
    if (!s->pool_room.pool)
        pool_offer_room(p);
    return outcome;
}

static void ring_source_on_started(RequestSource *source, const Request *r)
{
    RingSource *s = CONTAINER_OF(source, RingSource, source);

    ring_host_start(&s->ring, r->id);
}

/* An entry that is dropped stays NEW in the ring. */
static void ring_source_on_complete(RequestSource *source, const Request *r, const Outcome *outcome)
{
    RingSource *s = CONTAINER_OF(source, RingSource, source);
    const RingResult result = {
        .value = outcome->value,
        .status = outcome->status,
        .exec_time_us = outcome->exec_time_us,
        .cuda_result = outcome->cuda_result,
    };

    if (outcome->dropped)
        return;
    ring_host_complete(&s->ring, r->id, request_submission(r)->tag, &result);
    ring_source_kick(s);
}

static const RequestOps ring_source_request_ops = {
    .started = ring_source_on_started,
    .complete = ring_source_on_complete,
};

/* ---- Doorbell and completion --------------------------------------------------------------- */

static void ring_source_signal(const RingSource *s)
{
    EventfdSignaller *signaller = s->all->signaller;
    const uint64_t one = 1;

    /* EAGAIN: it has been told more often than it can count. */
    if (!signaller || eventfd_signaller_signal(signaller, s->completion) < 0)
        (void) !write(s->completion, &one, sizeof(one));
}

static void ring_source_start(RingSource *s)
{
    void *memory = (char *) s->window->memory + s->setup.offset;

    if (ring_host_open(&s->ring, memory, s->setup.entries, s->window->size) == RING_BROKEN) {
        ring_source_fail(s, "the indices in it make no sense");
        return;
    }

    s->is_open = true;
    s->state = RING_SOURCE_ON;
    vm_set_ring(s->vm, s->setup.entries, s->window->size);
    vm_send_ring_ready(s->vm, s->id, VGPU_ERROR_NONE);
    if (ring_host_has_completions(&s->ring))
        ring_source_signal(s);
}

static void ring_source_finish_stop(RingSource *s)
{
    vm_send(s->vm, VGPU_MSG_RING_STOPPED, s->id, NULL, 0);
    ring_source_free(s);
}

static void ring_source_run(RingSource *s)
{
    bool waits = s->state == RING_SOURCE_STARTING || s->state == RING_SOURCE_STOPPING;
    bool quiet = waits && window_is_quiet(s->window);

    if (waits && !quiet)
        window_when_quiet(s->window, &s->quiet);
    if (s->state == RING_SOURCE_STARTING && quiet)
        ring_source_start(s);
    if (s->state == RING_SOURCE_ON && ring_source_take_entries(s) == RING_BROKEN)
        ring_source_fail(s, "the guest wrote indices that make no sense");
    if (s->is_open && ring_host_must_signal(&s->ring))
        ring_source_signal(s);
    if (s->state == RING_SOURCE_ON && window_is_lost(s->window))
        ring_source_fail(s, NULL);
    if (s->state == RING_SOURCE_STOPPING && quiet)
        ring_source_finish_stop(s);
}

/* Never read: each write is an edge, and so an event. */
static int ring_source_on_doorbell(sd_event_source *source, int fd, uint32_t revents,
                                   void *userdata)
{
    (void) source;
    (void) fd;
    (void) revents;

    ring_source_run(userdata);
    return 0;
}

void ring_sources_run(RingSources *all)
{
    unsigned n = 0;
    RingSource *s;

    TAILQ_FOREACH(s, &all->kicked, kicked_link)
    {
        n++;
    }
    while (n-- > 0 && (s = TAILQ_FIRST(&all->kicked))) {
        ring_source_unkick(s);
        ring_source_run(s);
    }
    (void) sd_event_source_set_enabled(all->run,
                                       TAILQ_EMPTY(&all->kicked) ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

bool ring_sources_have_work(const RingSources *all)
{
    return !TAILQ_EMPTY(&all->kicked);
}

void ring_sources_stop(RingSources *all)
{
    all->stopped = true;
}

static int ring_sources_on_run(sd_event_source *source, void *userdata)
{
    (void) source;

    ring_sources_run(userdata);
    return 0;
}

int ring_sources_init(RingSources *all, sd_event *event, Pools *pools, const Config *config)
{
    int r;

    all->event = event;
    all->pools = pools;
    all->config = config;
    windows_init(&all->windows);
    TAILQ_INIT(&all->kicked);
    r = eventfd_signaller_new(&all->signaller);
    if (r < 0)
        log_warning("no asynchronous I/O to be had (%s): a QEMU that means harm could block this "
                    "service",
                    strerror(-r));
    r = sd_event_add_defer(event, &all->run, ring_sources_on_run, all);
    return r < 0 ? r : sd_event_source_set_enabled(all->run, SD_EVENT_OFF);
}

void ring_sources_clear(RingSources *all)
{
    assert(TAILQ_EMPTY(&all->kicked) && TAILQ_EMPTY(&all->windows.list));
    all->run = sd_event_source_disable_unref(all->run);
    all->signaller = eventfd_signaller_free(all->signaller);
    request_cache_clear(&all->request_cache);
}

/* ---- The beginning --------------------------------------------------------------------------- */

/*
 * Takes over window, doorbell and completion in any case. Returns 0; 1 when there cannot be such
 * a ring, with the reason; or a negative errno.
 */
static int ring_source_open(RingSource *s, Origin *process, int window, int doorbell,
                            int completion, const char **ret_reason)
{
    uint64_t size_max =
        s->vm->device.window_size ? s->vm->device.window_size : s->all->config->window_size_max;
    CLEANUP_CLOSER int doorbell_fd = doorbell;
    int r;

    s->completion = completion;
    r = window_open(&s->all->windows, window, process, size_max, &s->window, ret_reason);
    if (r != 0)
        return r;
    if (!passed_fd_is_eventfd(doorbell) || !passed_fd_is_eventfd(completion)) {
        *ret_reason = "doorbell and completion are no eventfds";
        return 1;
    }
    if (s->setup.flags != 0 ||
        !vgpu_ring_is_valid(s->window->size, s->setup.offset, s->setup.entries)) {
        *ret_reason = "it is not where, or not as large as, a ring can be";
        return 1;
    }

    r = sd_event_add_io(s->all->event, &s->doorbell, doorbell, EPOLLIN | EPOLLET,
                        ring_source_on_doorbell, s);
    if (r < 0)
        return r;
    r = sd_event_source_set_io_fd_own(s->doorbell, true);
    if (r < 0)
        return r;
    (void) TAKE_FD(doorbell_fd);
    return 0;
}

static RingSource *ring_source_new(RingSources *all, VM *vm, const VGPURingSetup *setup,
                                   uint32_t request_id)
{
    RingSource *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    *s = (RingSource){
        .all = all,
        .vm = vm,
        .setup = *setup,
        .id = request_id,
        .completion = -1,
        .state = RING_SOURCE_FAILED,
        .client_room.has_room = ring_source_on_client_room,
        .pool_room.has_room = ring_source_on_pool_room,
        .quiet.quiet = ring_source_on_quiet,
        .watcher.changed = ring_source_on_vm_changed,
    };
    request_source_init(&s->source, &ring_source_request_ops);
    vm_watch(vm, &s->watcher);
    return s;
}

static void close_all(const int *fds)
{
    for (unsigned i = 0; i < VGPU_RING_N_FDS; i++)
        closer_close(fds[i]);
}

int ring_source_setup(RingSources *all, VM *vm, Origin *process, const int *fds,
                      const VGPURingSetup *setup, uint32_t request_id, RingSource **ring)
{
    const char *reason = NULL;
    RingSource *s;
    int r;

    if (*ring && (*ring)->state != RING_SOURCE_FAILED) {
        close_all(fds);
        return RING_SOURCE_VIOLATION;
    }

    ring_source_free(*ring);
    s = ring_source_new(all, vm, setup, request_id);
    if (!s) {
        close_all(fds);
        vm_log_ring_end(vm, strerror(ENOMEM));
        vm_send_ring_ready(vm, request_id, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
        return 0;
    }

    r = ring_source_open(s, process, fds[0], fds[1], fds[2], &reason);
    if (r != 0) {
        vm_log_ring_end(vm, r < 0 ? strerror(-r) : reason);
        vm_send_ring_ready(vm, request_id,
                           r < 0 ? VGPU_ERROR_MEDIATOR_UNAVAILABLE : VGPU_ERROR_INVALID_REQUEST);
        ring_source_free(s);
        return 0;
    }

    s->owner = ring;
    *ring = s;
    s->state = RING_SOURCE_STARTING;
    ring_source_run(s);
    return 0;
}

int ring_source_stop(VM *vm, uint32_t request_id, RingSource **ring)
{
    RingSource *s = *ring;

    if (!s) {
        vm_send(vm, VGPU_MSG_RING_STOPPED, request_id, NULL, 0);
        return 0;
    }
    if (s->state == RING_SOURCE_STOPPING)
        return RING_SOURCE_VIOLATION;

    request_source_drop_queued(&s->source);
    client_stop_waiting(&s->client_room);
    pool_stop_waiting(&s->pool_room);
    s->id = request_id;
    s->state = RING_SOURCE_STOPPING;
    vm_set_ring(vm, 0, 0);
    ring_source_run(s);
    return 0;
}

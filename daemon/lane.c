/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "lane.h"
#include "manager.h"
#include "ring-host.h"
#include "vm-bus.h"

/* Entries taken from a ring in one round of the loop, and how many the executor is shown
 * together: it computes the first while the others are taken. */
#define BATCH 64
#define WRITE_BATCH 16

/* A token that comes a millisecond late is early enough. */
#define RATE_ACCURACY_USEC 1000

typedef enum LaneState {
    LANE_STARTING, /* RING_READY waits for a quiet window */
    LANE_ON,
    LANE_STOPPING, /* so does RING_STOPPED */
    LANE_FAILED,   /* nothing more is done; what runs is forgotten */
} LaneState;

struct Lane {
    RequestSource source;
    VM *vm;
    Window *window;
    VGPURingSetup setup;
    LaneState state;
    RingHost ring; /* while is_open */
    bool is_open;  /* the ring may be written */
    uint32_t id;   /* of the message that waits for an answer */
    ClientWaiter client_room;
    PoolWaiter pool_room;
    WindowWaiter quiet; /* while STARTING or STOPPING */
    bool kicked;
    int completion;
    sd_event_source *doorbell; /* has the descriptor */
    sd_event_source *rate;     /* when there will be a token */
    TAILQ_ENTRY(Lane) kicked_link;
};

uint32_t lane_entries(const Lane *l)
{
    return l && l->state == LANE_ON ? l->setup.entries : 0;
}

uint64_t lane_window_size(const Lane *l)
{
    return l && l->state == LANE_ON ? l->window->size : 0;
}

static void announce(VM *vm)
{
    vm_bus_changed(vm, "RingEntries", "WindowSize");
}

/* ---- Being looked at ----------------------------------------------------------------- */

void lane_kick(Lane *l)
{
    Manager *m;

    if (!l || l->kicked)
        return;

    m = l->vm->manager;
    l->kicked = true;
    TAILQ_INSERT_TAIL(&m->lanes_kicked, l, kicked_link);
    (void) sd_event_source_set_enabled(m->lanes_source, SD_EVENT_ONESHOT);
}

static void unkick(Lane *l)
{
    if (l->kicked)
        TAILQ_REMOVE(&l->vm->manager->lanes_kicked, l, kicked_link);
    l->kicked = false;
}

static void lane_on_client_room(ClientWaiter *w)
{
    lane_kick((Lane *) ((char *) w - offsetof(Lane, client_room)));
}

static void lane_on_pool_room(PoolWaiter *w)
{
    lane_kick((Lane *) ((char *) w - offsetof(Lane, pool_room)));
}

static void lane_on_quiet(WindowWaiter *w)
{
    lane_kick((Lane *) ((char *) w - offsetof(Lane, quiet)));
}

/* ---- The end -------------------------------------------------------------------------- */

/* No more is written into the ring, and nobody listens for doorbells. */
static void close_ring(Lane *l)
{
    l->is_open = false;
    request_source_end(&l->source);
    client_stop_waiting(&l->client_room);
    pool_stop_waiting(&l->pool_room);
    window_stop_waiting(&l->quiet);

    l->doorbell = sd_event_source_disable_unref(l->doorbell);
    l->rate = sd_event_source_disable_unref(l->rate);
    if (l->completion >= 0)
        close(l->completion);
    l->completion = -1;
}

Lane *lane_free(Lane *l)
{
    VM *vm;

    if (!l)
        return NULL;

    vm = l->vm;
    close_ring(l);
    l->state = LANE_FAILED;
    unkick(l);
    vm->lane = NULL;
    announce(vm);
    window_unref(l->window);
    free(l);
    return NULL;
}

static void send_ready(const Lane *l, uint32_t error)
{
    connection_ring_ready(l->vm->connection, l->id, error);
}

static void log_refusal(VM *vm, const char *reason)
{
    LogContext context = vm->client.log;

    if (client_may_log(&vm->client))
        log_context(LOG_WARNING, &context, "the ring of VM %s ends: %s", vm->name, reason);
}

static void fail(Lane *l, const char *reason)
{
    /* There are zeros instead, and those may make no sense. */
    if (window_is_lost(l->window))
        reason = "it took memory of its window away";
    log_refusal(l->vm, reason);
    close_ring(l);
    l->state = LANE_FAILED;
    announce(l->vm);
    send_ready(l, VGPU_ERROR_INVALID_REQUEST);
}

/* ---- Entries --------------------------------------------------------------------------- */

static int on_rate(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void) source;
    (void) usec;

    lane_kick(userdata);
    return 0;
}

static void wait_for_token(Lane *l)
{
    uint64_t delay = vm_token_delay_usec(l->vm);

    if (l->rate) {
        (void) sd_event_source_set_time_relative(l->rate, delay);
        (void) sd_event_source_set_enabled(l->rate, SD_EVENT_ONESHOT);
    } else {
        (void) sd_event_add_time_relative(l->vm->manager->event, &l->rate, CLOCK_MONOTONIC, delay,
                                          RATE_ACCURACY_USEC, on_rate, l);
    }
}

/* One place in the VM's queue, where it has more, is left to its slow lane. */
static bool queue_has_room(const SchedClient *c)
{
    return c->n_queued == 0 || c->n_queued + 1 < c->limit;
}

/* May an entry leave the ring now? If not, then whatever stands in the way kicks
 * the lane when it is gone. */
static bool may_take(Lane *l, Pool *p)
{
    VM *vm = l->vm;

    if (vm->quarantined || !p)
        return true; /* to be answered at once */
    if (vm->paused || vm->manager->draining)
        return false;
    if (!queue_has_room(&vm->client.sched)) {
        client_wait_for_room(&vm->client, &l->client_room);
        return false;
    }
    if (pool_is_full(p)) {
        pool_wait_for_room(p, &l->pool_room);
        return false;
    }
    if (!vm_take_token(vm)) {
        wait_for_token(l);
        return false;
    }
    return true;
}

/* Ends an entry that does not reach the queue. */
static void reject(Lane *l, const RingEntry *e, uint32_t error)
{
    const RingResult result = {.status = error, .cuda_result = e->cuda_result};
    LogContext context = l->vm->client.log;

    context.error = error;
    if (client_may_log(&l->vm->client))
        log_context(LOG_INFO, &context, "entry %u of the ring rejected: %s", e->index,
                    vgpu_error_to_string(error));
    l->vm->client.statistics.rejected++;
    ring_host_complete(&l->ring, e->index, e->submission.tag, &result);
}

/* Returns what ring_host_take() does. */
static int take_one(Lane *l, Pool *p, uint64_t now)
{
    VM *vm = l->vm;
    Request *r;
    RingEntry e;
    int outcome = ring_host_take(&l->ring, &e);

    if (outcome != RING_ENTRY)
        return outcome;

    if (e.error == VGPU_ERROR_NONE)
        e.error = vm->quarantined ? VGPU_ERROR_VM_QUARANTINED
                  : !p            ? VGPU_ERROR_INVALID_POOL
                                  : VGPU_ERROR_NONE;
    if (e.error != VGPU_ERROR_NONE) {
        reject(l, &e, e.error);
        return outcome;
    }

    /* Without memory, or over a limit that may_take() did not see, it is as if
     * the queue were full. */
    r = request_new_entry(&vm->manager->request_cache, &vm->client, &l->source, l->window, e.index,
                          &e.submission);
    if (!r || pool_queue(p, r, vm->settings.priority, now) > 0) {
        if (r)
            request_free(r);
        reject(l, &e, VGPU_ERROR_QUEUE_FULL);
    }
    return outcome;
}

/* Returns the last outcome of looking at the ring. */
static int take_batch(Lane *l, Pool *p)
{
    int outcome = RING_NOTHING;
    uint64_t now = 0;

    for (unsigned i = 0; i < BATCH; i++) {
        if (i % WRITE_BATCH == 0)
            now = now_usec();
        outcome = ring_host_look(&l->ring);
        if (outcome == RING_NOTHING)
            outcome = ring_host_sleep(&l->ring);
        if (outcome == RING_ENTRY && may_take(l, p))
            outcome = take_one(l, p, now);
        else
            break;
        if (outcome != RING_ENTRY)
            break;
        if (p && i % WRITE_BATCH == WRITE_BATCH - 1) {
            pool_flush(p);
        }
        if (i == BATCH - 1)
            lane_kick(l); /* after the others */
    }
    return outcome;
}

static int take_entries(Lane *l)
{
    Pool *p = manager_pool(l->vm->manager, (unsigned char) l->vm->settings.pool);
    int outcome;

    client_stop_waiting(&l->client_room);
    pool_stop_waiting(&l->pool_room);
    if (!p)
        return take_batch(l, NULL);

    pool_begin_batch(p);
    outcome = take_batch(l, p);
    pool_end_batch(p);
    if (!l->pool_room.pool)
        pool_offer_room(p);
    return outcome;
}

static void lane_on_started(RequestSource *source, const Request *r)
{
    Lane *l = (Lane *) ((char *) source - offsetof(Lane, source));

    ring_host_start(&l->ring, r->id);
}

/* An entry that is dropped stays NEW in the ring. */
static void lane_on_complete(RequestSource *source, const Request *r, const Outcome *outcome)
{
    Lane *l = (Lane *) ((char *) source - offsetof(Lane, source));
    const RingResult result = {
        .value = outcome->value,
        .status = outcome->status,
        .exec_time_us = outcome->exec_time_us,
        .cuda_result = outcome->cuda_result,
    };

    if (outcome->dropped)
        return;
    ring_host_complete(&l->ring, r->id, request_submission(r)->tag, &result);
    lane_kick(l);
}

static const RequestOps lane_request_ops = {
    .started = lane_on_started,
    .complete = lane_on_complete,
};

/* ---- Doorbell and completion --------------------------------------------------------------- */

static void signal_completion(const Lane *l)
{
    EventfdSignaller *signaller = l->vm->manager->signaller;
    const uint64_t one = 1;

    /* EAGAIN: it has been told more often than it can count. */
    if (!signaller || eventfd_signaller_signal(signaller, l->completion) < 0)
        (void) !write(l->completion, &one, sizeof(one));
}

static void start(Lane *l)
{
    void *memory = (char *) l->window->memory + l->setup.offset;

    if (ring_host_open(&l->ring, memory, l->setup.entries, l->window->size) == RING_BROKEN) {
        fail(l, "the indices in it make no sense");
        return;
    }

    l->is_open = true;
    l->state = LANE_ON;
    announce(l->vm);
    send_ready(l, VGPU_ERROR_NONE);
    if (ring_host_has_completions(&l->ring))
        signal_completion(l);
}

static void finish_stop(Lane *l)
{
    connection_ring_stopped(l->vm->connection, l->id);
    lane_free(l);
}

static void run(Lane *l)
{
    bool waits = l->state == LANE_STARTING || l->state == LANE_STOPPING;
    bool quiet = waits && window_is_quiet(l->window);

    if (waits && !quiet)
        window_when_quiet(l->window, &l->quiet);
    if (l->state == LANE_STARTING && quiet)
        start(l);
    if (l->state == LANE_ON && take_entries(l) == RING_BROKEN)
        fail(l, "the guest wrote indices that make no sense");
    if (l->is_open && ring_host_must_signal(&l->ring))
        signal_completion(l);
    if (l->state == LANE_ON && window_is_lost(l->window))
        fail(l, NULL);
    if (l->state == LANE_STOPPING && quiet)
        finish_stop(l);
}

/* Never read: each write is an edge, and so an event. */
static int on_doorbell(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    (void) source;
    (void) fd;
    (void) revents;

    run(userdata);
    return 0;
}

void lanes_run(Manager *manager)
{
    unsigned n = 0;
    Lane *l;

    TAILQ_FOREACH(l, &manager->lanes_kicked, kicked_link)
    {
        n++;
    }
    while (n-- > 0 && (l = TAILQ_FIRST(&manager->lanes_kicked))) {
        unkick(l);
        run(l);
    }
    (void) sd_event_source_set_enabled(manager->lanes_source, TAILQ_EMPTY(&manager->lanes_kicked)
                                                                  ? SD_EVENT_OFF
                                                                  : SD_EVENT_ONESHOT);
}

static int on_kicked(sd_event_source *source, void *userdata)
{
    (void) source;

    lanes_run(userdata);
    return 0;
}

int lanes_init(Manager *manager)
{
    int r;

    TAILQ_INIT(&manager->lanes_kicked);
    r = eventfd_signaller_new(&manager->signaller);
    if (r < 0)
        log_warning("no asynchronous I/O to be had (%s): a QEMU that means harm could block this "
                    "service",
                    strerror(-r));
    r = sd_event_add_defer(manager->event, &manager->lanes_source, on_kicked, manager);
    return r < 0 ? r : sd_event_source_set_enabled(manager->lanes_source, SD_EVENT_OFF);
}

/* ---- The beginning --------------------------------------------------------------------------- */

/* Anything else could block who writes it or waits for it. */
static bool is_eventfd(int fd)
{
    static const char expected[] = "anon_inode:[eventfd]";
    char path[40], target[sizeof(expected)];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target)) == sizeof(expected) - 1 &&
           memcmp(target, expected, sizeof(expected) - 1) == 0 &&
           fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0;
}

/* Takes the completion's descriptor over, and on success the doorbell's. */
static const char *add_eventfds(Lane *l, int doorbell, int completion)
{
    int r;

    l->completion = completion;
    if (!is_eventfd(doorbell) || !is_eventfd(completion)) {
        close(doorbell);
        return "doorbell and completion are no eventfds";
    }

    r = sd_event_add_io(l->vm->manager->event, &l->doorbell, doorbell, EPOLLIN | EPOLLET,
                        on_doorbell, l);
    if (r >= 0)
        r = sd_event_source_set_io_fd_own(l->doorbell, true);
    if (r < 0) {
        close(doorbell);
        return "its doorbell cannot be watched";
    }
    return NULL;
}

/* Returns why there cannot be such a ring, or NULL; all descriptors are taken over. */
static const char *open_lane(Lane *l, const int *fds)
{
    const char *wrong = NULL;
    int r = window_open(&l->vm->manager->windows, fds[0], &l->window, &wrong);

    if (r != 0) {
        if (r < 0)
            wrong = "the window cannot be mapped";
        close(fds[1]);
        close(fds[2]);
        return wrong;
    }
    wrong = add_eventfds(l, fds[1], fds[2]);
    if (wrong)
        return wrong;
    if (l->setup.flags != 0 ||
        !vgpu_ring_is_valid(l->window->size, l->setup.offset, l->setup.entries))
        return "it is not where, or not as large as, a ring can be";
    return NULL;
}

bool lane_setup(VM *vm, const int *fds, const VGPURingSetup *setup, uint32_t request_id)
{
    Lane *l = NULL;
    const char *wrong;

    if (!vm->lane || vm->lane->state == LANE_FAILED)
        l = calloc(1, sizeof(*l));
    if (!l) {
        for (unsigned i = 0; i < VGPU_RING_N_FDS; i++)
            close(fds[i]);
        return false;
    }

    lane_free(vm->lane);
    *l =
        (Lane){.vm = vm, .setup = *setup, .id = request_id, .completion = -1, .state = LANE_FAILED};
    request_source_init(&l->source, &lane_request_ops);
    l->client_room.has_room = lane_on_client_room;
    l->pool_room.has_room = lane_on_pool_room;
    l->quiet.quiet = lane_on_quiet;
    wrong = open_lane(l, fds);
    if (wrong) {
        log_refusal(vm, wrong);
        send_ready(l, VGPU_ERROR_INVALID_REQUEST);
        lane_free(l);
        return true;
    }

    vm->lane = l;
    l->state = LANE_STARTING;
    run(l);
    return true;
}

bool lane_stop(VM *vm, uint32_t request_id)
{
    Lane *l = vm->lane;

    if (!l) {
        connection_ring_stopped(vm->connection, request_id);
        return true;
    }
    if (l->state == LANE_STOPPING)
        return false;

    request_source_drop_queued(&l->source);
    client_stop_waiting(&l->client_room);
    pool_stop_waiting(&l->pool_room);
    l->id = request_id;
    l->state = LANE_STOPPING;
    announce(l->vm);
    run(l);
    return true;
}

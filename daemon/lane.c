/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "lane.h"
#include "manager.h"
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
    VM *vm;
    Window *window;
    VGPURingSetup setup;
    LaneState state;
    RingHost ring;   /* while is_open */
    bool is_open;    /* the ring may be written */
    uint32_t id;     /* of the message that waits for an answer */
    bool wants_room; /* in its VM's queue */
    bool kicked;
    Pool *wants_pool; /* in whose queue it waits for room */
    int completion;
    sd_event_source *doorbell; /* has the descriptor */
    sd_event_source *rate;     /* when there will be a token */
    TAILQ_ENTRY(Lane) kicked_link;
    TAILQ_ENTRY(Lane) pool_link;
    TAILQ_ENTRY(Lane) waiting_link; /* while STARTING or STOPPING */
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

void lane_has_room(Lane *l)
{
    if (l && l->wants_room)
        lane_kick(l);
}

static void want_pool(Lane *l, Pool *p)
{
    if (l->wants_pool)
        TAILQ_REMOVE(&l->wants_pool->lanes, l, pool_link);
    l->wants_pool = p;
    if (p)
        TAILQ_INSERT_TAIL(&p->lanes, l, pool_link);
}

/* One at a time, in turn: who does not fill the place calls this again. */
void lanes_have_room(Pool *p)
{
    Lane *l = TAILQ_FIRST(&p->lanes);

    if (!l || pool_is_full(p))
        return;
    want_pool(l, NULL);
    lane_kick(l);
}

static void set_state(Lane *l, LaneState state)
{
    LaneList *waiting = &l->vm->manager->lanes_waiting;
    bool waited = l->state == LANE_STARTING || l->state == LANE_STOPPING,
         waits = state == LANE_STARTING || state == LANE_STOPPING;

    if (waited && !waits)
        TAILQ_REMOVE(waiting, l, waiting_link);
    if (waits && !waited)
        TAILQ_INSERT_TAIL(waiting, l, waiting_link);
    l->state = state;
}

void lanes_kick_waiting(Manager *manager)
{
    Lane *l;

    TAILQ_FOREACH(l, &manager->lanes_waiting, waiting_link)
    {
        lane_kick(l);
    }
}

/* ---- The end -------------------------------------------------------------------------- */

/* What an executor has not begun stays NEW in the ring. */
static void drop_queued(Lane *l)
{
    SchedRequest *s = TAILQ_FIRST(&l->vm->client.queued);

    while (s) {
        SchedRequest *next = TAILQ_NEXT(s, client_link);
        Request *r = request_from_sched(s);

        if (r->lane == l) {
            sched_request_remove(s);
            request_discard(r);
        }
        s = next;
    }
}

/* No more is written into the ring, and nobody listens for doorbells. */
static void close_ring(Lane *l)
{
    Manager *m = l->vm->manager;

    l->is_open = false;
    drop_queued(l);
    for (unsigned i = 0; i < CONFIG_N_POOLS; i++)
        if (m->pools[i])
            pool_forget_lane(m->pools[i], l);
    want_pool(l, NULL);

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
    set_state(l, LANE_FAILED);
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
    LogContext context = vm_log_context(vm);

    if (vm_may_log(vm))
        log_context(LOG_WARNING, &context, "the ring of VM %s ends: %s", vm->name, reason);
}

static void fail(Lane *l, const char *reason)
{
    /* There are zeros instead, and those may make no sense. */
    if (window_is_lost(l->window))
        reason = "it took memory of its window away";
    log_refusal(l->vm, reason);
    close_ring(l);
    set_state(l, LANE_FAILED);
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
    if (!queue_has_room(&vm->client)) {
        l->wants_room = true;
        return false;
    }
    if (pool_is_full(p)) {
        want_pool(l, p);
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
    LogContext context = vm_log_context(l->vm);

    context.error = error;
    if (vm_may_log(l->vm))
        log_context(LOG_INFO, &context, "entry %u of the ring rejected: %s", e->index,
                    vgpu_error_to_string(error));
    l->vm->statistics.rejected++;
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
    r = request_new_compute(vm, l, l->window, e.index, &e.submission);
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
            pool_dispatch(p);
            executor_client_flush(p->executor);
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

    l->wants_room = false;
    want_pool(l, NULL);
    if (!p)
        return take_batch(l, NULL);

    executor_client_hold(p->executor);
    outcome = take_batch(l, p);
    pool_dispatch(p);
    executor_client_release(p->executor);
    if (!l->wants_pool)
        lanes_have_room(p);
    return outcome;
}

void lane_start_request(const Request *r)
{
    if (r->lane)
        ring_host_start(&r->lane->ring, r->id);
}

void lane_complete_request(const Request *r, const RingResult *result)
{
    ring_host_complete(&r->lane->ring, r->id, request_submission(r)->tag, result);
    lane_kick(r->lane);
}

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
    set_state(l, LANE_ON);
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
    bool quiet = l->state != LANE_ON && window_is_quiet(l->window);

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
    TAILQ_INIT(&manager->lanes_waiting);
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
    const char *wrong = window_open(l->vm->manager, fds[0], &l->window);

    if (wrong) {
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
    wrong = open_lane(l, fds);
    if (wrong) {
        log_refusal(vm, wrong);
        send_ready(l, VGPU_ERROR_INVALID_REQUEST);
        lane_free(l);
        return true;
    }

    vm->lane = l;
    set_state(l, LANE_STARTING);
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

    drop_queued(l);
    want_pool(l, NULL);
    l->id = request_id;
    set_state(l, LANE_STOPPING);
    announce(l->vm);
    run(l);
    return true;
}

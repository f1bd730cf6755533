/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-sessions.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "cleanup.h"
#include "closer.h"
#include "passed-fds.h"
#include "session-start.h"
#include "vgpu-session.h"

/* ---- Finding ------------------------------------------------------------------------------- */

Session *sessions_next(const Sessions *all, const Session *s)
{
    Session *next = s ? TAILQ_NEXT(s, link) : TAILQ_FIRST(&all->list);

    while (next && !next->vm)
        next = TAILQ_NEXT(next, link);
    return next;
}

Session *sessions_find(const Sessions *all, uint32_t id)
{
    Session *s = NULL;

    while ((s = sessions_next(all, s)))
        if (s->id == id)
            return s;
    return NULL;
}

static bool sessions_has_id(const Sessions *all, uint32_t id)
{
    const Session *s;

    TAILQ_FOREACH(s, &all->list, link)
    {
        if (s->id == id)
            return true;
    }
    return false;
}

/* After 2^32 sessions they are given again. */
static uint32_t sessions_next_id(Sessions *all)
{
    do
        all->last_id++;
    while (all->last_id == 0 || sessions_has_id(all, all->last_id));
    return all->last_id;
}

/* ---- What sessions tell ---------------------------------------------------------------------- */

static void sessions_announce(const Sessions *all, Session *s, bool added)
{
    if (all->observer.announce)
        all->observer.announce(s, added, all->observer.userdata);
}

static void sessions_on_changed(Session *s, void *userdata)
{
    const Sessions *all = userdata;

    if (s->vm && all->observer.changed)
        all->observer.changed(s, all->observer.userdata);
}

static void sessions_on_lost_vm(Session *s, void *userdata)
{
    sessions_announce(userdata, s, false);
}

static void sessions_on_fault(VM *vm, void *userdata)
{
    const Sessions *all = userdata;

    vm_quarantine_fault(all->quarantine, vm);
}

static void sessions_remove(Sessions *all, Session *s)
{
    TAILQ_REMOVE(&all->list, s, link);
    all->n--;
    session_free(s);
}

static void sessions_on_over(Session *s, void *userdata)
{
    Sessions *all = userdata;

    if (!s->lost_vm)
        sessions_announce(all, s, false);
    sessions_remove(all, s);
}

static SessionProcessOptions sessions_process_options(Sessions *all)
{
    return (SessionProcessOptions){
        .path = all->executor_path,
        .socket = all->config->executor_socket,
        .killer = &all->killer,
    };
}

static int sessions_on_start(SessionProcess **ret, void *userdata)
{
    Sessions *all = userdata;
    const SessionProcessOptions options = sessions_process_options(all);

    return session_process_new(all->event, &options, NULL, NULL, ret);
}

static const SessionOps sessions_ops = {
    .changed = sessions_on_changed,
    .lost_vm = sessions_on_lost_vm,
    .fault = sessions_on_fault,
    .start = sessions_on_start,
    .over = sessions_on_over,
};

/* ---- Opening ------------------------------------------------------------------------------- */

/* What is wanted, and why it cannot be. */
typedef struct Opening {
    VM *vm;
    Connection *connection;
    Pool *pool;
    const VGPUSessionOpen *open;
    uint32_t request_id;
    int window, doorbell, interrupt;
    uint32_t error, cuda_result;
    const char *reason;
} Opening;

static int opening_refuse(Opening *o, uint32_t error, const char *reason)
{
    o->error = error;
    o->reason = reason;
    return 1;
}

static int opening_refuse_errno(Opening *o, int r)
{
    return opening_refuse(o, VGPU_ERROR_MEDIATOR_UNAVAILABLE, strerror(-r));
}

static bool pool_computes_on_cpu(const Pool *p)
{
    return p->config.backend == POOL_BACKEND_CPU ||
           strcmp(executor_device(pool_executor(p))->backend, "cpu") == 0;
}

/* Returns 0, or 1 when there is none for it. */
static int sessions_check_place(const Sessions *all, Opening *o)
{
    VM *vm = o->vm;

    if (vm->quarantined)
        return opening_refuse(o, VGPU_ERROR_VM_QUARANTINED, "the VM is quarantined");
    o->pool = pools_find(all->pools, (unsigned char) vm->settings.pool);
    if (!o->pool)
        return opening_refuse(o, VGPU_ERROR_INVALID_POOL, "its pool is not configured");
    if (pool_computes_on_cpu(o->pool)) {
        o->cuda_result = VGPU_CUDA_RESULT_NO_DEVICE;
        return opening_refuse(o, VGPU_ERROR_CUDA_ERROR, "its pool has no GPU");
    }
    if (vm->n_users >= vm->settings.sessions_max)
        return opening_refuse(o, VGPU_ERROR_QUEUE_FULL, "it has as many as SessionsMax allows");
    if (all->n >= all->n_max)
        return opening_refuse(o, VGPU_ERROR_QUEUE_FULL, "there are as many as MaxSessions= allows");
    return 0;
}

/* Returns 0, or 1 when it cannot be. Takes the window's descriptor over. */
static int sessions_open_window(const Sessions *all, Opening *o, Origin *process, Window **ret)
{
    uint64_t size_max =
        o->vm->device.window_size ? o->vm->device.window_size : all->config->window_size_max;
    const char *reason;
    int r;

    r = window_open_for_others(&all->rings->windows, TAKE_FD(o->window), process, size_max, ret,
                               &reason);
    if (r != 0)
        return r < 0 ? opening_refuse_errno(o, r)
                     : opening_refuse(o, VGPU_ERROR_INVALID_REQUEST, reason);
    if (!passed_fd_is_eventfd(o->doorbell) || !passed_fd_is_eventfd(o->interrupt))
        return opening_refuse(o, VGPU_ERROR_INVALID_REQUEST,
                              "doorbell and interrupt are no eventfds");
    /* How large the ring is stands in the window, and is for the executor to read. */
    if (o->open->flags != 0 ||
        !vgpu_session_is_valid((*ret)->size, o->open->offset, VGPU_SESSION_RING_MIN))
        return opening_refuse(o, VGPU_ERROR_INVALID_REQUEST, "it is not where a session can be");
    return 0;
}

/* Sessions that end count, too: their memory is not free yet. */
static void sessions_measure(const Sessions *all, const char *device, unsigned *ret_n,
                             uint64_t *ret_memory)
{
    Session *s;

    *ret_n = 0;
    *ret_memory = 0;
    TAILQ_FOREACH(s, &all->list, link)
    {
        if (strcmp(s->device, device) != 0)
            continue;
        ++*ret_n;
        *ret_memory += session_figures(s)->memory;
    }
}

/* The one with the fewest sessions, of any pool; then the one with the least memory taken by them;
 * then the first. */
static const char *sessions_choose_device(const Sessions *all, const Pool *p)
{
    const PoolDevices *devices = &p->config.devices;
    unsigned best = 0, n_best = UINT_MAX;
    uint64_t memory_best = UINT64_MAX;

    for (unsigned i = 0; i < devices->n; i++) {
        uint64_t memory;
        unsigned n;

        sessions_measure(all, devices->name[i], &n, &memory);
        if (n > n_best || (n == n_best && memory >= memory_best))
            continue;
        best = i;
        n_best = n;
        memory_best = memory;
    }
    return devices->name[best];
}

/* A spare that died this moment is found out now, or later: then another is started. Returns 0 or a
 * negative errno. */
static int sessions_start(Sessions *all, Opening *o, Window *window, Session **slot, Session **ret)
{
    const char *device = sessions_choose_device(all, o->pool);
    SessionOptions options = {
        .signaller = all->rings->signaller,
        .turns = &all->turns,
        .ring = o->open->ring,
        .connection = o->connection,
        .request_id = o->request_id,
        .offset = o->open->offset,
        .device = device,
        .doorbell = o->doorbell,
        .interrupt = o->interrupt,
    };
    SessionProcess *process;
    int r;

    options.id = sessions_next_id(all);
    process = session_spares_take(&all->spares, o->pool, device);
    if (process) {
        options.is_spare = true;
        r = session_new(&options, o->vm, o->pool, process, window, &sessions_ops, all, slot, ret);
        if (r >= 0)
            return 0;
        session_process_free(process);
    }
    options.is_spare = false;
    r = sessions_on_start(&process, all);
    if (r < 0)
        return r;
    r = session_new(&options, o->vm, o->pool, process, window, &sessions_ops, all, slot, ret);
    if (r < 0)
        session_process_free(process);
    return r;
}

/* Returns 0, or 1 when it cannot be. */
static int sessions_add(Sessions *all, Opening *o, Origin *process, Session **slot)
{
    Window *window = NULL;
    Session *s;
    int r;

    r = sessions_check_place(all, o);
    if (r == 0)
        r = sessions_open_window(all, o, process, &window);
    if (r == 0) {
        r = sessions_start(all, o, window, slot, &s);
        r = r < 0 ? opening_refuse_errno(o, r) : 0;
    }
    if (r != 0) {
        window_unref(window);
        return r;
    }

    TAILQ_INSERT_TAIL(&all->list, s, link);
    all->n++;
    sessions_announce(all, s, true);
    return 0;
}

static void opening_answer_refused(const Opening *o)
{
    const VGPUSessionReady ready = {
        .ring = o->open->ring,
        .error = o->error,
        .cuda_result = o->cuda_result,
    };
    LogContext context = o->vm->client.log;

    context.error = o->error;
    if (client_may_log(&o->vm->client))
        log_context(LOG_WARNING, &context, "no CUDA session on ring %u: %s", o->open->ring,
                    o->reason);
    vm_send_by(o->vm, o->connection, VGPU_MSG_SESSION_READY, o->request_id, &ready, sizeof(ready));
}

int sessions_open(Sessions *all, VM *vm, Connection *connection, Origin *process, const int *fds,
                  const VGPUSessionOpen *open, uint32_t request_id, Session **slot)
{
    Opening o = {
        .vm = vm,
        .connection = connection,
        .open = open,
        .request_id = request_id,
        .window = fds[0],
        .doorbell = fds[1],
        .interrupt = fds[2],
    };
    int r = 0;

    if (*slot)
        r = SESSIONS_VIOLATION;
    else if (sessions_add(all, &o, process, slot) != 0)
        opening_answer_refused(&o);

    /* The executor has copies of its own. */
    closer_close(o.window);
    closer_close(o.doorbell);
    closer_close(o.interrupt);
    return r;
}

void sessions_close(VM *vm, Connection *connection, uint32_t ring, uint32_t request_id, Session *s)
{
    const VGPUSessionRing closed = {.ring = ring};

    if (s)
        session_close(s, request_id);
    else
        vm_send_by(vm, connection, VGPU_MSG_SESSION_CLOSED, request_id, &closed, sizeof(closed));
}

/* ---- All of them --------------------------------------------------------------------------- */

void sessions_update_gates(Sessions *all, const Pool *p)
{
    Session *s;

    TAILQ_FOREACH(s, &all->list, link)
    {
        if (s->pool == p)
            (void) session_update_gate(s);
    }
    session_turns_configure(&all->turns, p);
}

int sessions_init(Sessions *all, sd_event *event, const Pools *pools, RingSources *rings,
                  VMQuarantine *quarantine, const Config *config, const char *executor_path)
{
    all->event = event;
    all->pools = pools;
    all->rings = rings;
    all->quarantine = quarantine;
    all->config = config;
    all->executor_path = executor_path;
    TAILQ_INIT(&all->list);
    unit_killer_init(&all->killer, event);
    session_turns_init(&all->turns, event);
    return session_spares_init(&all->spares, event, pools);
}

void sessions_reload(Sessions *all)
{
    const SessionProcessOptions options = sessions_process_options(all);

    session_spares_configure(&all->spares, &options);
    POOLS_FOREACH(p, all->pools)
    {
        sessions_update_gates(all, p);
    }
}

void sessions_stop(Sessions *all)
{
    Session *s;

    if (!all->event)
        return;
    TAILQ_FOREACH(s, &all->list, link)
    {
        session_end(s, SESSION_SERVICE_ENDS);
    }
}

void sessions_clear(Sessions *all)
{
    if (!all->event)
        return;
    all->observer = (SessionsObserver){0};
    while (!TAILQ_EMPTY(&all->list))
        sessions_remove(all, TAILQ_FIRST(&all->list));
    session_turns_clear(&all->turns);
    session_spares_clear(&all->spares);
    unit_killer_clear(&all->killer);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"
#include "clock.h"
#include "container-of.h"
#include "names.h"

/* ---- What the world and the watchers hear ---------------------------------------------- */

#define vm_changed(vm, ...) vm_properties_changed((vm), (const char *const[]){__VA_ARGS__, NULL})

static void vm_properties_changed(VM *vm, const char *const *properties)
{
    if (vm->observer->changed)
        vm->observer->changed(vm, properties, vm->observer->userdata);
}

void vm_announce(VM *vm, bool added)
{
    if (vm->observer->announce)
        vm->observer->announce(vm, added, vm->observer->userdata);
}

void vm_watch(VM *vm, VMWatcher *w)
{
    assert(!w->vm && w->changed);
    w->vm = vm;
    TAILQ_INSERT_TAIL(&vm->watchers, w, link);
}

void vm_unwatch(VMWatcher *w)
{
    if (!w->vm)
        return;

    TAILQ_REMOVE(&w->vm->watchers, w, link);
    w->vm = NULL;
}

static void vm_tell_watchers(VM *vm)
{
    VMWatcher *w;

    TAILQ_FOREACH(w, &vm->watchers, link)
    {
        w->changed(w);
    }
}

/* ---- What is used of it ----------------------------------------------------------------- */

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void vm_usage_add(VMUsage *sum, const VMUsage *one)
{
    sum->memory = add_saturated(sum->memory, one->memory);
    sum->device_usec = add_saturated(sum->device_usec, one->device_usec);
    sum->launches = add_saturated(sum->launches, one->launches);
    sum->bytes_to_device = add_saturated(sum->bytes_to_device, one->bytes_to_device);
    sum->bytes_from_device = add_saturated(sum->bytes_from_device, one->bytes_from_device);
}

void vm_use(VM *vm, VMUser *u)
{
    assert(!u->vm && u->usage && u->gone);
    u->vm = vm;
    TAILQ_INSERT_TAIL(&vm->users, u, link);
    vm->n_users++;
}

void vm_end_use(VMUser *u)
{
    VMUsage last;

    if (!u->vm)
        return;

    u->usage(u, &last);
    last.memory = 0;
    vm_usage_add(&u->vm->used, &last);
    TAILQ_REMOVE(&u->vm->users, u, link);
    u->vm->n_users--;
    u->vm = NULL;
}

static void vm_usage_in_all(const VM *vm, VMUsage *ret)
{
    VMUser *u;

    *ret = vm->used;
    TAILQ_FOREACH(u, &vm->users, link)
    {
        VMUsage one;

        u->usage(u, &one);
        vm_usage_add(ret, &one);
    }
}

void vm_usage(const VM *vm, VMUsage *ret)
{
    vm_usage_in_all(vm, ret);
    ret->device_usec -= vm->used_before.device_usec;
    ret->launches -= vm->used_before.launches;
    ret->bytes_to_device -= vm->used_before.bytes_to_device;
    ret->bytes_from_device -= vm->used_before.bytes_from_device;
}

void vm_reset_usage(VM *vm)
{
    vm_usage_in_all(vm, &vm->used_before);
    vm->session_faults = 0;
}

static uint64_t vm_session_memory_max(const VM *vm)
{
    const uint64_t max = vm->settings.session_memory_max;

    return max ? max : UINT64_MAX;
}

int vm_account(VM *vm, MemoryAccount **ret)
{
    if (!vm->account) {
        int r = memory_account_new(vm_session_memory_max(vm), &vm->account);

        if (r < 0)
            return r;
    }
    *ret = vm->account;
    return 0;
}

/* ---- Beginning and end ------------------------------------------------------------------ */

int vm_new(const char *name, uint32_t id, const VMSettings *settings, const VMObserver *observer,
           VM **ret)
{
    VM *vm = calloc(1, sizeof(*vm));

    if (!vm)
        return -ENOMEM;
    vm->name = strdup(name);
    if (!vm->name) {
        free(vm);
        return -ENOMEM;
    }

    vm->observer = observer;
    vm->id = id;
    vm->configured = vm->settings = *settings;
    client_init(&vm->client, settings->queue_limit);
    sched_client_set_weight(&vm->client.sched, settings->weight);
    vm->client.log = (LogContext){.vm = vm->name, .vm_id = id, .vm_uuid = vm->uuid};
    TAILQ_INIT(&vm->watchers);
    TAILQ_INIT(&vm->users);
    TAILQ_INIT(&vm->members);

    *ret = vm;
    return 0;
}

static void vm_free_now(VM *vm)
{
    origin_unref(vm->process);
    memory_account_unref(vm->account);
    free(vm->name);
    free(vm->device_problem);
    free(vm);
}

static void vm_on_idle(Client *c)
{
    vm_free_now(CONTAINER_OF(c, VM, client));
}

void vm_free(VM *vm)
{
    VMUser *u;

    while ((u = TAILQ_FIRST(&vm->users)))
        u->gone(u);
    assert(!vm_is_connected(vm) && TAILQ_EMPTY(&vm->watchers));

    if (client_has_requests(&vm->client))
        vm->client.idle = vm_on_idle;
    else
        vm_free_now(vm);
}

/* ---- Its device ----------------------------------------------------------------------- */

/* One whose device connects has one. */
static void vm_clear_device_problem(VM *vm)
{
    if (!vm->device_problem)
        return;
    free(TAKE_PTR(vm->device_problem));
    vm_changed(vm, "DeviceProblem");
}

int vm_set_started(VM *vm, const Leader *leader, const char *problem)
{
    char *copy = problem && *problem ? strdup(problem) : NULL;

    if (problem && *problem && !copy)
        return -ENOMEM;

    if (problem) {
        free(vm->device_problem);
        vm->device_problem = copy;
        vm_changed(vm, "DeviceProblem");
    }
    if (leader->pid != 0 && !vm->connection) {
        vm->leader = *leader;
        vm_changed(vm, "LeaderPID");
    }
    return 0;
}

void vm_attach(VM *vm, Connection *connection, pid_t leader,
               void (*hang_up)(VM *vm, void *userdata), void *userdata)
{
    assert(!vm->connection);
    vm->connection = connection;
    vm->hang_up = hang_up;
    vm->hang_up_userdata = userdata;
    vm->leader = leader_of(leader);
    vm->client.log.peer_pid = leader;
    if (client_may_log(&vm->client))
        log_event(VGPU_MESSAGE_VM_CONNECTED, &vm->client.log, NULL, "connected from process %d%s",
                  (int) leader, vm->registered ? "" : ", not registered");
    vm_clear_device_problem(vm);

    if (vm->registered) {
        /* Never short for 16 bytes, and cannot fail once the pool is initialized. */
        vm->claimed = getrandom(vm->resume, sizeof(vm->resume), 0) == sizeof(vm->resume);
        vm_changed(vm, "Connected", "LeaderPID");
    }
}

void vm_detach(VM *vm)
{
    if (client_may_log(&vm->client))
        log_event(VGPU_MESSAGE_VM_DISCONNECTED, &vm->client.log, NULL, "disconnected");
    vm_drop_queued(vm, VGPU_ERROR_NONE);
    vm->connection = NULL;
    vm->hang_up = NULL;
    if (vm->registered)
        vm_changed(vm, "Connected");
}

void vm_hang_up(VM *vm)
{
    if (vm->hang_up)
        vm->hang_up(vm, vm->hang_up_userdata);
}

void vm_join(VM *vm, VMMember *m)
{
    bool is_first = !vm_is_connected(vm);

    assert(vm_is_place(vm) && !m->vm);
    m->vm = vm;
    TAILQ_INSERT_TAIL(&vm->members, m, link);
    vm->n_members++;
    if (is_first)
        vm_changed(vm, "Connected");
}

void vm_leave(VMMember *m)
{
    VM *vm = m->vm;

    TAILQ_REMOVE(&vm->members, m, link);
    vm->n_members--;
    m->vm = NULL;
    if (!vm_is_connected(vm))
        vm_changed(vm, "Connected");
}

void vm_dismiss(VM *vm)
{
    VMMember *m;

    while ((m = TAILQ_FIRST(&vm->members)))
        m->hang_up(m);
}

void vm_send(VM *vm, uint32_t type, uint32_t request_id, const void *payload, uint32_t size)
{
    assert(vm->connection);
    vm_send_by(vm, vm->connection, type, request_id, payload, size);
}

void vm_send_by(VM *vm, Connection *connection, uint32_t type, uint32_t request_id,
                const void *payload, uint32_t size)
{
    const VGPUSocketHeader header = {
        .msg_type = type,
        .vm_id = vm->id,
        .request_id = request_id,
        .pool_id = (uint8_t) vm->settings.pool,
        .priority = vm->settings.priority,
        .payload_len = size,
    };

    connection_send(connection, &header, payload);
}

void vm_set_ring(VM *vm, uint32_t entries, uint64_t window_size)
{
    vm->ring_entries = entries;
    vm->window_size = window_size;
    vm_changed(vm, "RingEntries", "WindowSize");
}

void vm_drop_queued(VM *vm, uint32_t error)
{
    SchedRequest *s;

    while ((s = sched_client_oldest(&vm->client.sched))) {
        sched_request_remove(s);
        if (error == VGPU_ERROR_NONE)
            request_drop(request_from_sched(s));
        else
            request_fail(request_from_sched(s), error, 0);
    }
}

/* ---- What it may ------------------------------------------------------------------------ */

void vm_apply(VM *vm, const VMSettings *settings, Pool *pool)
{
    unsigned changed = vm_settings_differ(&vm->settings, settings);

    assert(!pool || pool->name == settings->pool);
    vm->settings = *settings;
    sched_client_set_limit(&vm->client.sched, settings->queue_limit);
    if (changed & VM_SETTING_BIT(VM_SETTING_POOL) && pool)
        sched_client_move(&vm->client.sched, &pool->queue.scheduler);
    if (changed & VM_SETTING_BIT(VM_SETTING_PRIORITY))
        sched_client_set_priority(&vm->client.sched, settings->priority);
    if (changed & VM_SETTING_BIT(VM_SETTING_WEIGHT))
        sched_client_set_weight(&vm->client.sched, settings->weight);
    if (vm->account)
        memory_account_set_max(vm->account, vm_session_memory_max(vm));

    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (changed & VM_SETTING_BIT(i))
            vm_changed(vm, vm_settings[i].name);
    vm_tell_watchers(vm);
}

void vm_configure(VM *vm, const VMSettings *configured)
{
    unsigned changed = vm_settings_differ(&vm->configured, configured), n = 0;
    const char *names[VM_N_SETTINGS + 1] = {NULL};

    vm->configured = *configured;
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if ((changed & VM_SETTING_BIT(i)) && vm_settings[i].configured)
            names[n++] = vm_settings[i].configured;
    if (n > 0)
        vm_properties_changed(vm, names);
}

void vm_set_paused(VM *vm, bool paused)
{
    if (vm->paused == paused)
        return;

    vm->paused = paused;
    sched_client_hold(&vm->client.sched, paused);
    vm_changed(vm, "Paused");
    vm_tell_watchers(vm);
}

static void vm_change_quarantine(VM *vm, bool quarantined, uint64_t until_usec)
{
    bool until_changes = vm->quarantined_until_usec != until_usec;

    if (vm->quarantined == quarantined && !until_changes)
        return;

    vm->quarantined = quarantined;
    vm->quarantined_until_usec = until_usec;
    vm_changed(vm, "Quarantined", "QuarantineReason",
               until_changes ? "QuarantinedUntilUSec" : NULL);
    if (quarantined)
        vm_drop_queued(vm, VGPU_ERROR_VM_QUARANTINED);
    vm_tell_watchers(vm);
}

void vm_set_quarantined(VM *vm, bool quarantined)
{
    vm_change_quarantine(vm, quarantined, 0);
    if (!quarantined)
        *vm_faults(vm) = (FaultRecord){0};
    if (!vm->process)
        return;
    vm->process->quarantined_until_usec = 0;
    vm->process->quarantined = quarantined && origin_watch(vm->process);
}

void vm_quarantine_until(VM *vm, uint64_t usec)
{
    assert(!vm->quarantined && usec != 0);
    vm_change_quarantine(vm, true, usec);
}

void vm_end_quarantine(VM *vm)
{
    vm_change_quarantine(vm, false, 0);
}

const char *vm_quarantine_reason(const VM *vm)
{
    if (!vm->quarantined)
        return "";
    return vm->quarantined_until_usec == 0 ? "administrator" : "fault-limit";
}

/* A bucket that holds one second's worth and fills by the clock. */
bool vm_take_token(VM *vm)
{
    uint32_t rate = vm->settings.rate_limit;
    uint64_t now;

    if (rate == 0)
        return true;

    now = now_usec();
    vm->rate_tokens += (double) (now - vm->rate_usec) * rate / 1e6;
    if (vm->rate_tokens > rate)
        vm->rate_tokens = rate;
    vm->rate_usec = now;

    if (vm->rate_tokens < 1)
        return false;
    vm->rate_tokens -= 1;
    return true;
}

uint64_t vm_token_delay_usec(const VM *vm)
{
    return (uint64_t) ((1 - vm->rate_tokens) * 1e6 / vm->settings.rate_limit) + 1;
}

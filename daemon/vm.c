/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <search.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"
#include "manager.h"
#include "vm-bus.h"
#include "vm-state.h"

/* ---- Finding ------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const VM *) a)->name, ((const VM *) b)->name);
}

VM *vm_find(Manager *manager, const char *name)
{
    VM key = {.name = (char *) name};
    VM **found = tfind(&key, &manager->vms_by_name, compare_names);

    return found ? *found : NULL;
}

VM *vm_find_by_id(Manager *manager, uint32_t id)
{
    VM *vm;

    TAILQ_FOREACH(vm, &manager->vms, link)
    {
        if (vm->id == id)
            return vm;
    }
    return NULL;
}

VM *vm_find_by_pid(Manager *manager, pid_t pid)
{
    VM *vm;

    TAILQ_FOREACH(vm, &manager->vms, link)
    {
        if (pid > 0 && vm->leader == pid)
            return vm;
    }
    return NULL;
}

VM *vm_find_registered(Manager *manager, const uint8_t uuid[16])
{
    VM *vm;

    TAILQ_FOREACH(vm, &manager->vms, link)
    {
        if (vm->registered && memcmp(vm->uuid, uuid, sizeof(vm->uuid)) == 0)
            return vm;
    }
    return NULL;
}

/* ---- Beginning and end ----------------------------------------------------------------- */

static int vm_new(Manager *manager, const char *name, uint32_t id, const VMSettings *settings,
                  VM **ret)
{
    VM *vm = calloc(1, sizeof(*vm));

    if (!vm)
        return -ENOMEM;

    vm->manager = manager;
    vm->id = id;
    vm->configured = vm->settings = *settings;
    client_init(&vm->client, settings->queue_limit);
    sched_client_set_weight(&vm->client.sched, settings->weight);

    vm->name = strdup(name);
    if (!vm->name || !tsearch(vm, &manager->vms_by_name, compare_names)) {
        free(vm->name);
        free(vm);
        return -ENOMEM;
    }
    TAILQ_INSERT_TAIL(&manager->vms, vm, link);
    manager->n_vms++;
    vm->client.log = (LogContext){.vm = vm->name, .vm_id = id};

    *ret = vm;
    return 0;
}

int vm_new_unregistered(Manager *manager, uint32_t id, char pool, uint8_t priority, VM **ret)
{
    VMSettings settings;
    char name[40];
    int r;

    vm_settings_init(&settings);
    settings.pool = pool;
    settings.priority = priority;
    settings.queue_limit = manager->config.vm_queue_limit;

    snprintf(name, sizeof(name), "unregistered-%u", id);
    for (unsigned i = 2; vm_find(manager, name); i++)
        snprintf(name, sizeof(name), "unregistered-%u-%u", id, i);

    r = vm_new(manager, name, id, &settings, ret);
    if (r >= 0)
        vm_bus_announce(*ret, true);
    return r;
}

static void drop_queued(VM *vm, uint32_t error)
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

static uint32_t free_id(Manager *manager)
{
    uint32_t id = 1;

    while (vm_find_by_id(manager, id))
        id++;
    return id;
}

int vm_register(Manager *manager, const char *name, const uint8_t uuid[16],
                const VMSettings *settings, uint32_t id, VM **ret)
{
    VM *vm = vm_find(manager, name), *same_uuid = vm_find_registered(manager, uuid),
       *same_id = id ? vm_find_by_id(manager, id) : NULL;
    VMSettings wanted = *settings;
    int r;

    if (same_uuid != vm || (vm && !vm->registered))
        return VM_EXISTS;
    if (same_id && same_id != vm)
        return VM_ID_TAKEN;

    vm_override_load(manager, name, &wanted);
    if (vm) {
        vm->configured = *settings;
        vm_bus_configured_changed(vm);
        vm_apply(vm, &wanted);
    } else {
        r = vm_new(manager, name, id ? id : free_id(manager), &wanted, &vm);
        if (r < 0)
            return r;
        vm->registered = true;
        vm->configured = *settings;
        memcpy(vm->uuid, uuid, sizeof(vm->uuid));
        vm_bus_announce(vm, true);
    }
    vm_state_save(vm);

    *ret = vm;
    return 0;
}

static void vm_free(VM *vm)
{
    free(vm->name);
    free(vm);
}

static void vm_on_idle(Client *c)
{
    vm_free((VM *) ((char *) c - offsetof(VM, client)));
}

/* From here on nobody finds it; it is kept for what it has running. */
static void forget(VM *vm)
{
    Manager *manager = vm->manager;

    vm_bus_announce(vm, false);
    tdelete(vm, &manager->vms_by_name, compare_names);
    TAILQ_REMOVE(&manager->vms, vm, link);
    manager->n_vms--;
    if (client_has_requests(&vm->client))
        vm->client.idle = vm_on_idle;
    else
        vm_free(vm);
}

void vm_unregister(VM *vm)
{
    vm_state_remove(vm);
    vm->registered = false;
    if (vm->connection) {
        connection_free(vm->connection);
        return;
    }

    drop_queued(vm, VGPU_ERROR_NONE);
    forget(vm);
}

void vm_free_all(Manager *manager)
{
    VM *vm;

    while ((vm = TAILQ_FIRST(&manager->vms))) {
        forget(vm);
    }
}

/* Whatever comes over D-Bus is UTF-8 already. Control characters are the bytes
 * below 0x20, 0x7f, and U+0080 to U+009f, which are 0xc2 and one more byte. */
bool vm_name_is_valid(const char *name)
{
    size_t size = strlen(name);

    if (size == 0 || size > VM_NAME_MAX)
        return false;

    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char) name[i];

        if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char) name[i + 1] < 0xa0))
            return false;
    }
    return true;
}

/* ---- Its device ----------------------------------------------------------------------- */

void vm_attach(VM *vm, Connection *connection, pid_t leader)
{
    vm->connection = connection;
    vm->leader = vm->client.log.peer_pid = leader;

    if (vm->registered) {
        /* Never short for 16 bytes, and cannot fail once the pool is initialized. */
        vm->claimed = getrandom(vm->resume, sizeof(vm->resume), 0) == sizeof(vm->resume);
        vm_state_save(vm);
        vm_bus_changed(vm, "Connected", "LeaderPID");
    }
}

/* What waits is dropped with the device that asked; what runs is finished, and
 * nobody is told. */
void vm_detach(VM *vm)
{
    lane_free(vm->lane);
    drop_queued(vm, VGPU_ERROR_NONE);
    connection_forget_requests(vm->connection);
    vm->connection = NULL;
    if (vm->registered)
        vm_bus_changed(vm, "Connected");
    else
        forget(vm);
}

/* ---- What it may ------------------------------------------------------------------------ */

/* Where each setting has its effect. */
void vm_apply(VM *vm, const VMSettings *settings)
{
    unsigned changed = vm_settings_differ(&vm->settings, settings);

    vm->settings = *settings;
    sched_client_set_limit(&vm->client.sched, settings->queue_limit);
    sched_client_set_weight(&vm->client.sched, settings->weight);
    if (changed & VM_SETTING_BIT(VM_SETTING_POOL))
        sched_client_move(&vm->client.sched,
                          &manager_pool(vm->manager, settings->pool)->queue.scheduler);
    if (changed & VM_SETTING_BIT(VM_SETTING_PRIORITY))
        sched_client_set_priority(&vm->client.sched, settings->priority);
    vm_bus_settings_changed(vm, changed);

    if (changed & VM_SETTING_BIT(VM_SETTING_POOL))
        manager_dispatch(vm->manager);
    lane_kick(vm->lane);
}

void vm_change(VM *vm, const VMSettings *settings, unsigned which, bool runtime)
{
    VMSettings wanted = vm->settings;

    vm_settings_take(&wanted, settings, which);
    vm_apply(vm, &wanted);
    vm_state_save(vm);
    if (!runtime)
        vm_override_save(vm, which);
}

void vm_set_paused(VM *vm, bool paused)
{
    if (vm->paused == paused)
        return;

    vm->paused = paused;
    sched_client_hold(&vm->client.sched, paused);
    vm_state_save(vm);
    vm_bus_changed(vm, "Paused");
    if (!paused)
        manager_dispatch(vm->manager);
    lane_kick(vm->lane);
}

void vm_set_quarantined(VM *vm, bool quarantined)
{
    if (vm->quarantined == quarantined)
        return;

    vm->quarantined = quarantined;
    vm_state_save(vm);
    vm_bus_changed(vm, "Quarantined");
    if (quarantined)
        drop_queued(vm, VGPU_ERROR_VM_QUARANTINED);
    lane_kick(vm->lane);
}

/* A bucket that holds one second's worth and fills by the clock. */
bool vm_take_token(VM *vm)
{
    uint32_t rate = vm->settings.rate_limit;
    uint64_t now = 0;

    if (rate == 0)
        return true;

    (void) sd_event_now(vm->manager->event, CLOCK_MONOTONIC, &now);
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-registry.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "settings-file.h"
#include "vm-name.h"

/* ---- Finding ------------------------------------------------------------------------ */

/* FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/, public domain. */
static unsigned bucket_of(const void *key, size_t size)
{
    const unsigned char *bytes = key;
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return hash % VM_REGISTRY_BUCKETS;
}

static VMList *vm_registry_bucket(const VMRegistry *registry, unsigned index, const void *key,
                                  size_t size)
{
    return (VMList *) &registry->index[index][bucket_of(key, size)];
}

static VMList *vm_registry_bucket_of(const VMRegistry *registry, unsigned index, const VM *vm)
{
    switch (index) {
    case VM_BY_NAME:
        return vm_registry_bucket(registry, index, vm->name, strlen(vm->name));
    case VM_BY_ID:
        return vm_registry_bucket(registry, index, &vm->id, sizeof(vm->id));
    case VM_BY_UUID:
        return vm->registered ? vm_registry_bucket(registry, index, vm->uuid, sizeof(vm->uuid))
                              : NULL;
    case VM_BY_PID:
        return vm->leader.pid
                   ? vm_registry_bucket(registry, index, &vm->leader.pid, sizeof(vm->leader.pid))
                   : NULL;
    default:
        assert(false);
        return NULL;
    }
}

/* Both are called with the key as it is in the index. */
static void vm_registry_index(VMRegistry *registry, unsigned index, VM *vm)
{
    VMList *bucket = vm_registry_bucket_of(registry, index, vm);

    if (bucket)
        TAILQ_INSERT_TAIL(bucket, vm, index_link[index]);
}

static void vm_registry_unindex(VMRegistry *registry, unsigned index, VM *vm)
{
    VMList *bucket = vm_registry_bucket_of(registry, index, vm);

    if (bucket)
        TAILQ_REMOVE(bucket, vm, index_link[index]);
}

VM *vm_registry_find(const VMRegistry *registry, const char *name)
{
    VM *vm;

    TAILQ_FOREACH(vm, vm_registry_bucket(registry, VM_BY_NAME, name, strlen(name)),
                  index_link[VM_BY_NAME])
    {
        if (strcmp(vm->name, name) == 0)
            return vm;
    }
    return NULL;
}

VM *vm_registry_find_by_id(const VMRegistry *registry, uint32_t id)
{
    VM *vm;

    TAILQ_FOREACH(vm, vm_registry_bucket(registry, VM_BY_ID, &id, sizeof(id)), index_link[VM_BY_ID])
    {
        if (vm->id == id)
            return vm;
    }
    return NULL;
}

VM *vm_registry_find_by_pid(const VMRegistry *registry, pid_t pid)
{
    VM *vm;

    TAILQ_FOREACH(vm, vm_registry_bucket(registry, VM_BY_PID, &pid, sizeof(pid)),
                  index_link[VM_BY_PID])
    {
        if (vm->leader.pid == pid)
            return vm;
    }
    return NULL;
}

VM *vm_registry_find_by_uuid(const VMRegistry *registry, const uint8_t uuid[16])
{
    VM *vm;

    TAILQ_FOREACH(vm, vm_registry_bucket(registry, VM_BY_UUID, uuid, sizeof(vm->uuid)),
                  index_link[VM_BY_UUID])
    {
        if (memcmp(vm->uuid, uuid, sizeof(vm->uuid)) == 0)
            return vm;
    }
    return NULL;
}

VM *vm_registry_find_by_place(const VMRegistry *registry, const VMPlace *place)
{
    VM *vm;

    TAILQ_FOREACH(vm, &registry->list, link)
    {
        if (vm->registered && vm_place_is(&vm->device.place, place->kind, place->name))
            return vm;
    }
    return NULL;
}

bool vm_registry_has_place(const VMRegistry *registry, VMPlaceKind kind)
{
    const VM *vm;

    TAILQ_FOREACH(vm, &registry->list, link)
    {
        if (vm->registered && vm->device.place.kind == kind)
            return true;
    }
    return false;
}

/* ---- Coming and going ------------------------------------------------------------------- */

static void vm_registry_insert(VMRegistry *registry, VM *vm)
{
    TAILQ_INSERT_TAIL(&registry->list, vm, link);
    registry->n++;
    for (unsigned i = 0; i < VM_N_INDEXES; i++)
        vm_registry_index(registry, i, vm);
    vm_announce(vm, true);
}

/* From here on nobody finds it. */
static void vm_registry_forget(VMRegistry *registry, VM *vm)
{
    vm_announce(vm, false);
    for (unsigned i = 0; i < VM_N_INDEXES; i++)
        vm_registry_unindex(registry, i, vm);
    TAILQ_REMOVE(&registry->list, vm, link);
    registry->n--;
    vm_free(vm);
}

/* A pool that does not exist is that of a VM that was kept, whose pool is not configured now. */
static void vm_registry_apply(VMRegistry *registry, VM *vm, const VMSettings *settings)
{
    bool moves = vm->settings.pool != settings->pool;

    vm_apply(vm, settings, pools_find(registry->pools, (unsigned char) settings->pool));
    if (moves)
        pools_dispatch(registry->pools);
}

static uint32_t vm_registry_free_id(const VMRegistry *registry)
{
    uint32_t id = 1;

    while (vm_registry_find_by_id(registry, id))
        id++;
    return id;
}

/* What a VM gets that is registered with @configured. */
static VMSettings vm_registry_settings(VMRegistry *registry, const char *name,
                                       const uint8_t uuid[16], const VMSettings *configured)
{
    VMSettings wanted = *configured;

    (void) vm_overrides_apply(&registry->store.overrides, uuid, name, &wanted);
    if (!pools_find(registry->pools, (unsigned char) wanted.pool))
        wanted.pool = configured->pool;
    return wanted;
}

/* A VM that is not connected, and whose process has ended, is one whose end nobody has told of: it
 * does not keep another from its name or UUID. Returns what is left of @vm. */
static VM *vm_registry_make_way(VMRegistry *registry, VM *vm)
{
    if (!vm || !vm->registered || vm_is_connected(vm) || !leader_has_ended(&vm->leader))
        return vm;

    log_context(LOG_NOTICE, &vm->client.log,
                "forgotten for another VM with its name or UUID: its process %d has ended",
                (int) vm->leader.pid);
    (void) vm_registry_remove(registry, vm);
    return NULL;
}

bool vm_registry_may_be_gone(const VM *vm)
{
    return vm->registered && vm->device.require_machine && !vm->connection && vm->leader.inode == 0;
}

int vm_registry_add(VMRegistry *registry, const char *name, const uint8_t uuid[16],
                    const VMSettings *settings, const VMDevice *device, uint32_t id, VM **ret)
{
    VM *vm = vm_registry_find(registry, name),
       *same_uuid = vm_registry_find_by_uuid(registry, uuid), *same_id, *same_place;
    VMSettings wanted;
    int r;

    if (same_uuid != vm) {
        vm = vm_registry_make_way(registry, vm);
        same_uuid = vm_registry_make_way(registry, same_uuid);
    }
    same_id = id ? vm_registry_find_by_id(registry, id) : NULL;
    if (same_id != vm)
        same_id = vm_registry_make_way(registry, same_id);
    if (same_uuid != vm || (vm && !vm->registered))
        return VM_EXISTS;
    if (same_id && same_id != vm)
        return VM_ID_TAKEN;

    same_place = device->place.kind == VM_PLACE_NONE
                     ? NULL
                     : vm_registry_find_by_place(registry, &device->place);
    if ((same_place && same_place != vm) ||
        (vm && !vm_place_is(&vm->device.place, device->place.kind, device->place.name)))
        return VM_EXISTS;

    wanted = vm_registry_settings(registry, name, uuid, settings);
    if (vm) {
        vm_configure(vm, settings);
        vm_registry_apply(registry, vm, &wanted);
    } else {
        r = vm_new(name, id ? id : vm_registry_free_id(registry), &wanted, &registry->observer,
                   &vm);
        if (r < 0)
            return r;
        vm->registered = true;
        vm->configured = *settings;
        memcpy(vm->uuid, uuid, sizeof(vm->uuid));
        vm_registry_insert(registry, vm);
    }
    vm->device = *device;
    vm->registered_usec = now_usec();
    /* A failure is in the log. The VM is known all the same. */
    (void) vm_store_save(&registry->store, vm);

    *ret = vm;
    return 0;
}

int vm_registry_remove(VMRegistry *registry, VM *vm)
{
    int r = vm_store_remove(&registry->store, vm);

    vm_dismiss(vm);
    vm_registry_unindex(registry, VM_BY_UUID, vm);
    vm->registered = false;
    if (vm->connection) {
        vm_hang_up(vm); /* and this is the end of a VM that is not registered */
        return r;
    }

    vm_drop_queued(vm, VGPU_ERROR_NONE);
    vm_registry_forget(registry, vm);
    return r;
}

int vm_registry_add_unregistered(VMRegistry *registry, uint32_t id, char pool, uint8_t priority,
                                 Origin *process, VM **ret)
{
    VMSettings settings;
    char name[40];
    int r;

    vm_settings_init(&settings);
    settings.pool = pool;
    settings.priority = priority;
    settings.queue_limit = registry->config->vm_queue_limit;
    snprintf(name, sizeof(name), "unregistered-%u", id);
    /* The numbers go on, so that a free one is found at once whatever a peer's number is. */
    while (vm_registry_find(registry, name))
        snprintf(name, sizeof(name), "unregistered-%u-%u", id, registry->n_name_clashes++ + 2);

    r = vm_new(name, id, &settings, &registry->observer, ret);
    if (r < 0)
        return r;
    /* Several have the number 0. */
    (*ret)->process = process && process->pid > 0 ? origin_ref(process) : NULL;
    vm_registry_insert(registry, *ret);
    return 0;
}

void vm_registry_attach(VMRegistry *registry, VM *vm, Connection *connection, pid_t leader,
                        void (*hang_up)(VM *vm, void *userdata), void *userdata)
{
    vm_registry_unindex(registry, VM_BY_PID, vm);
    vm_attach(vm, connection, leader, hang_up, userdata);
    vm_registry_index(registry, VM_BY_PID, vm);
    (void) vm_store_save(&registry->store, vm);
}

int vm_registry_set_started(VMRegistry *registry, VM *vm, const Leader *leader, const char *problem)
{
    int r;

    vm_registry_unindex(registry, VM_BY_PID, vm);
    r = vm_set_started(vm, leader, problem);
    vm_registry_index(registry, VM_BY_PID, vm);
    if (r >= 0)
        (void) vm_store_save(&registry->store, vm);
    return r;
}

void vm_registry_detach(VMRegistry *registry, VM *vm)
{
    vm_detach(vm);
    if (!vm->registered)
        vm_registry_forget(registry, vm);
}

/* ---- An administrator's changes ------------------------------------------------------------ */

/* Gives a VM a set of settings, and keeps its registration. */
static int vm_registry_take(VMRegistry *registry, VM *vm, const VMSettings *settings,
                            unsigned which)
{
    VMSettings wanted = vm->settings;

    vm_settings_take(&wanted, settings, which);
    vm_registry_apply(registry, vm, &wanted);
    return vm_store_save(&registry->store, vm);
}

int vm_registry_change(VMRegistry *registry, VM *vm, const VMSettings *settings, unsigned which,
                       bool runtime)
{
    int r = vm_registry_take(registry, vm, settings, which),
        q = runtime ? 0 : vm_store_save_lasting(&registry->store, vm, which);

    return r < 0 ? r : q;
}

int vm_registry_configure(VMRegistry *registry, VM *vm, const VMSettings *configured,
                          unsigned which)
{
    VMSettings wanted = vm->configured;
    int r, q;

    vm_settings_take(&wanted, configured, which);
    vm_configure(vm, &wanted);
    r = vm_registry_take(registry, vm, configured, which);
    q = vm_store_save_lasting(&registry->store, vm, which); /* they are as configured */
    return r < 0 ? r : q;
}

int vm_registry_revert(VMRegistry *registry, VM *vm, unsigned which)
{
    return vm_registry_configure(registry, vm, &vm->configured, which);
}

int vm_registry_revert_absent(VMRegistry *registry, const char *text, unsigned which)
{
    VMOverride *o = vm_overrides_find_next(&registry->store.overrides, NULL, text), *next;
    int r = 1;

    for (; o; o = next) {
        int q;

        next = vm_overrides_find_next(&registry->store.overrides, o, text);
        /* A VM that is known by another name now has it. */
        if (!o->by_name && vm_registry_find_by_uuid(registry, o->uuid))
            continue;
        q = vm_overrides_drop(&registry->store.overrides, o, which);
        if (q < 0)
            log_errno(q, "cannot drop the settings that are kept for %s", text);
        r = r < 0 ? r : q;
    }
    return r;
}

int vm_registry_set_paused(VMRegistry *registry, VM *vm, bool paused)
{
    int r;

    if (vm->paused == paused)
        return 0;
    vm_set_paused(vm, paused);
    r = vm_store_save(&registry->store, vm);
    if (!paused)
        pools_dispatch(registry->pools);
    return r;
}

int vm_registry_set_quarantined(VMRegistry *registry, VM *vm, bool quarantined)
{
    bool changes = vm->quarantined != quarantined || vm->quarantined_until_usec != 0;

    vm_set_quarantined(vm, quarantined);
    return changes ? vm_store_save(&registry->store, vm) : 0;
}

int vm_registry_quarantine_until(VMRegistry *registry, VM *vm, uint64_t usec)
{
    vm_quarantine_until(vm, usec);
    return vm_store_save(&registry->store, vm);
}

int vm_registry_end_quarantine(VMRegistry *registry, VM *vm)
{
    vm_end_quarantine(vm);
    return vm_store_save(&registry->store, vm);
}

/* ---- The registry --------------------------------------------------------------------------- */

void vm_registry_init(VMRegistry *registry, Pools *pools, const Config *config)
{
    registry->pools = pools;
    registry->config = config;
    vm_store_init(&registry->store);
    TAILQ_INIT(&registry->list);
    for (unsigned i = 0; i < VM_N_INDEXES; i++)
        for (unsigned k = 0; k < VM_REGISTRY_BUCKETS; k++)
            TAILQ_INIT(&registry->index[i][k]);
}

static int vm_registry_restore(VMRegistry *registry, const VMRecord *record)
{
    const VMDevice device = {record->require_machine, record->window_size, record->place};
    VM *vm = NULL;
    int r;

    if (!vm_name_is_valid(record->name))
        return -EBADMSG;
    r = vm_registry_add(registry, record->name, record->uuid, &record->configured, &device,
                        record->id, &vm);
    if (r != 0)
        return r < 0 ? r : -EEXIST;

    vm->claimed = record->claimed;
    memcpy(vm->resume, record->resume, sizeof(vm->resume));
    vm_registry_apply(registry, vm, &record->settings);
    r = vm_registry_set_started(registry, vm, &record->leader, record->device_problem);
    if (r < 0)
        return r;
    vm_set_quarantined(vm, record->quarantined);
    vm->faults.waits = record->fault_waits;
    vm->faults.end_usec = record->fault_end_usec;
    if (!record->quarantined && record->quarantined_until_usec != 0)
        vm_quarantine_until(vm, record->quarantined_until_usec);
    vm_set_paused(vm, record->paused);
    if (!pools_find(registry->pools, (unsigned char) vm->settings.pool))
        log_context(LOG_WARNING, &vm->client.log,
                    "its pool %c is not configured: until it is, its requests are answered with "
                    "INVALID_POOL",
                    vm->settings.pool);
    return vm_store_save(&registry->store, vm);
}

static void vm_registry_on_record(void *userdata, const char *path, const VMRecord *record,
                                  int error)
{
    VMRegistry *registry = userdata;
    int r = error;

    /* Those that are known were read from a file by UUID, which is newer. */
    if (record)
        r = vm_registry_find_by_uuid(registry, record->uuid)
                ? 0
                : vm_registry_restore(registry, record);
    if (r < 0)
        log_error("cannot take over the registration %s: %s", path, settings_file_strerror(r));
    else
        vm_store_remove_old_file(&registry->store, path, record);
}

void vm_registry_load(VMRegistry *registry)
{
    vm_store_load(&registry->store, vm_registry_on_record, registry);
}

void vm_registry_clear(VMRegistry *registry)
{
    VM *vm;

    registry->observer = (VMObserver){0};
    while ((vm = TAILQ_FIRST(&registry->list)))
        vm_registry_forget(registry, vm);
    vm_store_clear(&registry->store);
}

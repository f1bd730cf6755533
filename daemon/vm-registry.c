/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-registry.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "vm-name.h"
#include "vm-record.h"

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
        return vm->leader ? vm_registry_bucket(registry, index, &vm->leader, sizeof(vm->leader))
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
        if (vm->leader == pid)
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

/* ---- What is kept ----------------------------------------------------------------------- */

static void vm_log_not_kept(const VM *vm, int error)
{
    log_context(LOG_ERR, &vm->client.log, "cannot keep the state of VM %s: %s", vm->name,
                strerror(-error));
}

static void vm_registry_save(const VMRegistry *registry, const VM *vm)
{
    VMRecord record = {
        .name = vm->name,
        .id = vm->id,
        .configured = vm->configured,
        .settings = vm->settings,
        .paused = vm->paused,
        .quarantined = vm->quarantined,
        .claimed = vm->claimed,
    };
    int r;

    if (!registry->runtime_directory || !vm->registered)
        return;
    memcpy(record.uuid, vm->uuid, sizeof(record.uuid));
    memcpy(record.resume, vm->resume, sizeof(record.resume));
    r = vm_record_write_registration(registry->runtime_directory, &record);
    if (r < 0)
        vm_log_not_kept(vm, r);
}

static void vm_registry_remove_record(const char *directory, const VM *vm)
{
    int r = vm_record_remove(directory, vm->name);

    if (r < 0)
        log_context(LOG_ERR, &vm->client.log, "cannot remove what is kept in %s of VM %s: %s",
                    directory, vm->name, strerror(-r));
}

static void vm_registry_read_lasting(const VMRegistry *registry, const char *name, VMRecord *ret)
{
    int r;

    if (!registry->state_directory)
        return;
    r = vm_record_read(registry->state_directory, name, ret);
    if (r < 0 && r != -ENAMETOOLONG)
        log_errno(r, "cannot use what is kept in %s of VM %s", registry->state_directory, name);
}

/* Puts on @settings what lasts for this name. */
static void vm_registry_add_lasting(const VMRegistry *registry, const char *name,
                                    VMSettings *settings)
{
    CLEANUP(vm_record_clear) VMRecord record = VM_RECORD_INIT;

    vm_registry_read_lasting(registry, name, &record);
    if (record.which & VM_SETTING_BIT(VM_SETTING_POOL) &&
        !pools_find(registry->pools, (unsigned char) record.settings.pool))
        record.which &= ~VM_SETTING_BIT(VM_SETTING_POOL);
    vm_settings_take(settings, &record.settings, record.which);
}

/* Makes some of a VM's settings last. One that equals what the VM is configured with stops to. */
static void vm_registry_save_lasting(const VMRegistry *registry, const VM *vm, unsigned which)
{
    CLEANUP(vm_record_clear) VMRecord record = VM_RECORD_INIT;
    int r;

    if (!registry->state_directory)
        return;

    vm_registry_read_lasting(registry, vm->name, &record);
    record.which &= ~which;
    record.which |= vm_settings_differ(&vm->settings, &vm->configured) & which;
    if (record.which == 0) {
        vm_registry_remove_record(registry->state_directory, vm);
        return;
    }

    vm_settings_take(&record.settings, &vm->settings, which);
    r = vm_record_write_settings(registry->state_directory, vm->name, &record);
    if (r < 0)
        vm_log_not_kept(vm, r);
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

int vm_registry_add(VMRegistry *registry, const char *name, const uint8_t uuid[16],
                    const VMSettings *settings, uint32_t id, VM **ret)
{
    VM *vm = vm_registry_find(registry, name),
       *same_uuid = vm_registry_find_by_uuid(registry, uuid),
       *same_id = id ? vm_registry_find_by_id(registry, id) : NULL;
    VMSettings wanted = *settings;
    int r;

    if (same_uuid != vm || (vm && !vm->registered))
        return VM_EXISTS;
    if (same_id && same_id != vm)
        return VM_ID_TAKEN;

    vm_registry_add_lasting(registry, name, &wanted);
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
    vm_registry_save(registry, vm);

    *ret = vm;
    return 0;
}

void vm_registry_remove(VMRegistry *registry, VM *vm)
{
    if (registry->runtime_directory && vm->registered)
        vm_registry_remove_record(registry->runtime_directory, vm);
    vm_registry_unindex(registry, VM_BY_UUID, vm);
    vm->registered = false;
    if (vm->connection) {
        vm_hang_up(vm); /* and this is the end of a VM that is not registered */
        return;
    }

    vm_drop_queued(vm, VGPU_ERROR_NONE);
    vm_registry_forget(registry, vm);
}

int vm_registry_add_unregistered(VMRegistry *registry, uint32_t id, char pool, uint8_t priority,
                                 VM **ret)
{
    VMSettings settings;
    char name[40];
    int r;

    vm_settings_init(&settings);
    settings.pool = pool;
    settings.priority = priority;
    settings.queue_limit = registry->config->vm_queue_limit;
    snprintf(name, sizeof(name), "unregistered-%u", id);
    for (unsigned i = 2; vm_registry_find(registry, name); i++)
        snprintf(name, sizeof(name), "unregistered-%u-%u", id, i);

    r = vm_new(name, id, &settings, &registry->observer, ret);
    if (r < 0)
        return r;
    vm_registry_insert(registry, *ret);
    return 0;
}

void vm_registry_attach(VMRegistry *registry, VM *vm, Connection *connection, pid_t leader,
                        void (*hang_up)(VM *vm, void *userdata), void *userdata)
{
    vm_registry_unindex(registry, VM_BY_PID, vm);
    vm_attach(vm, connection, leader, hang_up, userdata);
    vm_registry_index(registry, VM_BY_PID, vm);
    vm_registry_save(registry, vm);
}

void vm_registry_detach(VMRegistry *registry, VM *vm)
{
    vm_detach(vm);
    if (!vm->registered)
        vm_registry_forget(registry, vm);
}

/* ---- An administrator's changes ------------------------------------------------------------ */

void vm_registry_change(VMRegistry *registry, VM *vm, const VMSettings *settings, unsigned which,
                        bool runtime)
{
    VMSettings wanted = vm->settings;

    vm_settings_take(&wanted, settings, which);
    vm_registry_apply(registry, vm, &wanted);
    vm_registry_save(registry, vm);
    if (!runtime)
        vm_registry_save_lasting(registry, vm, which);
}

void vm_registry_set_paused(VMRegistry *registry, VM *vm, bool paused)
{
    bool changes = vm->paused != paused;

    vm_set_paused(vm, paused);
    if (!changes)
        return;
    vm_registry_save(registry, vm);
    if (!paused)
        pools_dispatch(registry->pools);
}

void vm_registry_set_quarantined(VMRegistry *registry, VM *vm, bool quarantined)
{
    bool changes = vm->quarantined != quarantined;

    vm_set_quarantined(vm, quarantined);
    if (changes)
        vm_registry_save(registry, vm);
}

/* ---- The registry --------------------------------------------------------------------------- */

/* Where the service manager gives several, none is meant for us. */
static const char *directory_of(const char *variable)
{
    const char *value = getenv(variable);

    return value && value[0] == '/' && !strchr(value, ':') ? value : NULL;
}

void vm_registry_init(VMRegistry *registry, Pools *pools, const Config *config)
{
    registry->pools = pools;
    registry->config = config;
    registry->runtime_directory = directory_of("RUNTIME_DIRECTORY");
    registry->state_directory = directory_of("STATE_DIRECTORY");
    TAILQ_INIT(&registry->list);
    for (unsigned i = 0; i < VM_N_INDEXES; i++)
        for (unsigned k = 0; k < VM_REGISTRY_BUCKETS; k++)
            TAILQ_INIT(&registry->index[i][k]);
}

static int vm_registry_restore(VMRegistry *registry, const VMRecord *record)
{
    VM *vm = NULL;
    int r;

    if (!vm_name_is_valid(record->name))
        return -EBADMSG;
    r = vm_registry_add(registry, record->name, record->uuid, &record->configured, record->id, &vm);
    if (r != 0)
        return r < 0 ? r : -EEXIST;

    vm->claimed = record->claimed;
    memcpy(vm->resume, record->resume, sizeof(vm->resume));
    vm_registry_apply(registry, vm, &record->settings);
    vm_set_quarantined(vm, record->quarantined);
    vm_set_paused(vm, record->paused);
    vm_registry_save(registry, vm);
    if (!pools_find(registry->pools, (unsigned char) vm->settings.pool))
        log_context(LOG_WARNING, &vm->client.log,
                    "pool %c of VM %s is not configured: until it is, requests of the VM are "
                    "answered with INVALID_POOL",
                    vm->settings.pool, vm->name);
    return 0;
}

static void vm_registry_on_record(void *userdata, const char *path, const VMRecord *record,
                                  int error)
{
    VMRegistry *registry = userdata;
    int r = record ? vm_registry_restore(registry, record) : error;

    if (r < 0)
        log_errno(r, "cannot take over the registration %s", path);
}

void vm_registry_load(VMRegistry *registry)
{
    if (registry->runtime_directory)
        vm_record_read_all(registry->runtime_directory, vm_registry_on_record, registry);
}

void vm_registry_clear(VMRegistry *registry)
{
    VM *vm;

    registry->observer = (VMObserver){0};
    while ((vm = TAILQ_FIRST(&registry->list)))
        vm_registry_forget(registry, vm);
}

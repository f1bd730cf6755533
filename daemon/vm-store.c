/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-store.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "state-file.h"

/* ---- Registrations ---------------------------------------------------------------------- */

/* A mediator without a directory keeps none, and says so in its manual. */
int vm_store_save(const VMStore *store, const VM *vm)
{
    VMRecord record = {
        .name = vm->name,
        .id = vm->id,
        .require_machine = vm->device.require_machine,
        .window_size = vm->device.window_size,
        .place = vm->device.place,
        .configured = vm->configured,
        .settings = vm->settings,
        .paused = vm->paused,
        .quarantined = vm->quarantined && vm->quarantined_until_usec == 0,
        .quarantined_until_usec = vm->quarantined_until_usec,
        .fault_waits = vm->faults.waits,
        .fault_end_usec = vm->faults.end_usec,
        .claimed = vm->claimed,
        .leader = vm->leader,
        .device_problem = vm->device_problem,
    };
    int r;

    if (!store->runtime_directory || !vm->registered)
        return 0;
    memcpy(record.uuid, vm->uuid, sizeof(record.uuid));
    memcpy(record.resume, vm->resume, sizeof(record.resume));
    r = vm_record_write(store->runtime_directory, &record);
    if (r < 0)
        log_context(LOG_ERR, &vm->client.log,
                    "cannot keep its registration in %s, so the next start of the service may "
                    "not know it: %s",
                    store->runtime_directory, strerror(-r));
    return r;
}

int vm_store_remove(const VMStore *store, const VM *vm)
{
    int r;

    if (!store->runtime_directory || !vm->registered)
        return 0;
    r = vm_record_remove(store->runtime_directory, vm->uuid);
    if (r < 0)
        log_context(LOG_ERR, &vm->client.log,
                    "cannot remove its registration from %s, so the next start of the service "
                    "will know it again: %s",
                    store->runtime_directory, strerror(-r));
    return r;
}

void vm_store_remove_old_file(const VMStore *store, const char *path, const VMRecord *record)
{
    char own[PATH_MAX];
    int r = state_file_path(store->runtime_directory, record->uuid, own);

    if (r >= 0 && strcmp(path, own) != 0)
        r = state_file_remove(path);
    if (r < 0)
        log_errno(r, "cannot remove the old registration %s", path);
}

/* ---- What lasts ------------------------------------------------------------------------- */

int vm_store_save_lasting(VMStore *store, const VM *vm, unsigned which)
{
    const VMOverrides *o = &store->overrides;
    int r = vm_overrides_set(&store->overrides, vm->uuid, vm->name, &vm->settings, &vm->configured,
                             which);

    if (r < 0)
        log_context(LOG_ERR, &vm->client.log,
                    "cannot keep its settings in %s, so its next registration undoes them: %s",
                    o->directory ? o->directory : "$STATE_DIRECTORY", strerror(-r));
    return r;
}

/* ---- All of it --------------------------------------------------------------------------- */

/* Where the service manager gives several, none is meant for us. */
static const char *directory_of(const char *variable)
{
    const char *value = getenv(variable);

    return value && value[0] == '/' && !strchr(value, ':') ? value : NULL;
}

void vm_store_init(VMStore *store)
{
    store->runtime_directory = directory_of("RUNTIME_DIRECTORY");
    vm_overrides_init(&store->overrides, directory_of("STATE_DIRECTORY"));
}

void vm_store_load(VMStore *store,
                   void (*handler)(void *userdata, const char *path, const VMRecord *record,
                                   int error),
                   void *userdata)
{
    vm_overrides_load(&store->overrides);
    if (store->runtime_directory)
        vm_record_read_all(store->runtime_directory, handler, userdata);
}

void vm_store_clear(VMStore *store)
{
    vm_overrides_clear(&store->overrides);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "bus-context.h"
#include "bus-util.h"
#include "cleanup-bus.h"
#include "names.h"
#include "vgpu-ring.h"
#include "vm-methods.h"
#include "vm-name.h"

/* ---- Arguments ------------------------------------------------------------------------- */

static int no_such_vm(sd_bus_error *error, const char *name)
{
    return sd_bus_error_setf(error, VGPU_BUS_ERROR_NO_SUCH_VM, "No VM '%s' is known.", name);
}

int vm_method_begin(sd_bus_message *call, void *userdata, sd_bus_error *error, VM **ret)
{
    bool on_manager = strcmp(sd_bus_message_get_interface(call), VGPU_INTERFACE_MANAGER) == 0;
    BusContext *context = bus_context(call);
    VM *vm = on_manager ? NULL : userdata;
    const char *name;
    int r;

    if (on_manager) {
        r = sd_bus_message_read(call, "s", &name);
        if (r < 0)
            return r;
        vm = vm_registry_find(context->vms, name);
        if (!vm)
            return no_such_vm(error, name);
    }

    *ret = vm;
    return access_check(&context->access, call, vm->name, error);
}

static int read_priority(sd_bus_message *call, sd_bus_error *error, uint8_t *ret)
{
    const char *text;
    int priority, r;

    r = sd_bus_message_read(call, "s", &text);
    if (r < 0)
        return r;
    priority = vgpu_priority_from_string(text);
    if (priority < 0)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_PRIORITY,
                                 "'%s' is no priority: it is high, medium or low.", text);

    *ret = (uint8_t) priority;
    return 0;
}

static int read_pool(sd_bus_message *call, const Pools *pools, sd_bus_error *error, char *ret)
{
    const char *text;
    int r;

    r = sd_bus_message_read(call, "s", &text);
    if (r < 0)
        return r;
    if (strlen(text) != 1 || !pools_find(pools, (unsigned char) text[0]))
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_NO_SUCH_POOL, "No pool '%s' is configured.",
                                 text);

    *ret = text[0];
    return 0;
}

static int read_number(sd_bus_message *call, const char *key, uint32_t min, uint32_t max,
                       sd_bus_error *error, uint32_t *ret)
{
    uint32_t value;
    int r;

    r = sd_bus_message_read(call, "v", "u", &value);
    if (r == -ENXIO)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                 "%s takes a number of type u.", key);
    if (r < 0)
        return r;
    if (value < min || value > max)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                 "%s is %u, and must be from %u to %u.", key, value, min, max);

    *ret = value;
    return 0;
}

static int read_bytes(sd_bus_message *call, const char *key, uint64_t min, uint64_t max,
                      sd_bus_error *error, uint64_t *ret)
{
    uint64_t value;
    int r;

    r = sd_bus_message_read(call, "v", "t", &value);
    if (r == -ENXIO)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                 "%s takes a number of type t.", key);
    if (r < 0)
        return r;
    if (value < min || value > max)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                 "%s is %" PRIu64 ", and must be from %" PRIu64 " to %" PRIu64
                                 " bytes.",
                                 key, value, min, max);

    *ret = value;
    return 0;
}

static int read_limit(sd_bus_message *call, const VMSetting *setting, sd_bus_error *error,
                      VMSettings *ret)
{
    uint64_t bytes = 0;
    uint32_t number = 0;
    int r;

    if (setting->kind == VM_SETTING_IS_BYTES) {
        r = read_bytes(call, setting->name, setting->min, setting->max, error, &bytes);
        if (r >= 0)
            vm_setting_set(setting, ret, bytes);
        return r;
    }
    r = read_number(call, setting->name, (uint32_t) setting->min, (uint32_t) setting->max, error,
                    &number);
    if (r >= 0)
        vm_setting_set(setting, ret, number);
    return r;
}

/* What RegisterVM takes beside limits. */
typedef struct Registration {
    uint32_t id; /* 0: any */
    VMDevice device;
} Registration;

static int read_require_machine(sd_bus_message *call, sd_bus_error *error, bool *ret)
{
    int value, r;

    r = sd_bus_message_read(call, "v", "b", &value);
    if (r == -ENXIO)
        return sd_bus_error_set(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                "RequireMachine takes a boolean.");
    if (r < 0)
        return r;

    *ret = value;
    return 0;
}

static int read_place(sd_bus_message *call, const char *key, VMPlaceKind kind, sd_bus_error *error,
                      VMPlace *ret)
{
    const char *name;
    int r;

    r = sd_bus_message_read(call, "v", "s", &name);
    if (r < 0 && r != -ENXIO)
        return r;
    if (r == -ENXIO || ret->kind != VM_PLACE_NONE || !vm_place_set(ret, kind, name))
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                 kind == VM_PLACE_UNIT
                                     ? "%s takes the name of one service or scope."
                                     : "%s takes the name of one machine.",
                                 key);
    return 0;
}

/* One option that is no limit. Returns -ENOENT when there is none of this name. */
static int read_registration(sd_bus_message *call, const char *key, sd_bus_error *error,
                             Registration *ret)
{
    if (strcmp(key, "VMID") == 0)
        return read_number(call, key, 1, UINT32_MAX, error, &ret->id);
    if (strcmp(key, "WindowSize") == 0)
        return read_bytes(call, key, VGPU_WINDOW_SIZE_MIN, VGPU_WINDOW_SIZE_MAX, error,
                          &ret->device.window_size);
    if (strcmp(key, "RequireMachine") == 0)
        return read_require_machine(call, error, &ret->device.require_machine);
    if (strcmp(key, "Unit") == 0)
        return read_place(call, key, VM_PLACE_UNIT, error, &ret->device.place);
    if (strcmp(key, "Machine") == 0)
        return read_place(call, key, VM_PLACE_MACHINE, error, &ret->device.place);
    return -ENOENT;
}

/* @ret_registration: NULL where only limits may be set. */
static int read_limits(sd_bus_message *call, sd_bus_error *error, VMSettings *ret,
                       unsigned *ret_which, Registration *ret_registration)
{
    const VMSetting *setting;
    const char *key;
    int r;

    *ret_which = 0;
    r = sd_bus_message_enter_container(call, 'a', "{sv}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
        r = sd_bus_message_read(call, "s", &key);
        if (r < 0)
            return r;

        setting = vm_setting_find(key);
        if (setting && setting->flags & VM_SETTING_LIMIT) {
            r = read_limit(call, setting, error, ret);
            *ret_which |= VM_SETTING_BIT(setting - vm_settings);
        } else {
            r = ret_registration ? read_registration(call, key, error, ret_registration) : -ENOENT;
            if (r == -ENOENT)
                return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                         "There is no limit '%s'.", key);
        }
        if (r >= 0)
            r = sd_bus_message_exit_container(call);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(call);
}

int vm_method_require_registered(const VM *vm, sd_bus_error *error)
{
    return vm->registered ? 0
                          : sd_bus_error_setf(error, VGPU_BUS_ERROR_NOT_REGISTERED,
                                              "VM '%s' is not registered.", vm->name);
}

/* ---- The journal -------------------------------------------------------------------------- */

void vm_method_log_settings(const BusContext *context, const VM *vm, const VMSettings *before)
{
    unsigned changed = vm_settings_differ(before, &vm->settings);

    for (unsigned i = 0; i < VM_N_SETTINGS; i++) {
        const VMSetting *setting = &vm_settings[i];
        char from[VM_SETTING_TEXT_SIZE], to[VM_SETTING_TEXT_SIZE];
        LogChange change;

        if (!(changed & VM_SETTING_BIT(i)))
            continue;
        vm_setting_print(setting, before, from);
        vm_setting_print(setting, &vm->settings, to);
        change = bus_change(context, setting->name, from, to);
        log_event(VGPU_MESSAGE_VM_CHANGED, &vm->client.log, &change, "%s changed from %s to %s",
                  setting->name, from, to);
    }
}

static void vm_method_log(const BusContext *context, const VM *vm, const char *id, const char *what)
{
    LogChange change = bus_change(context, NULL, NULL, NULL);

    log_event(id, &vm->client.log, &change, "%s", what);
}

/* ---- Changes --------------------------------------------------------------------------- */

int vm_method_conclude(sd_bus_message *call, const char *name, int r, sd_bus_error *error)
{
    return r < 0 ? sd_bus_error_setf(error, VGPU_BUS_ERROR_NOT_KEPT,
                                     "The change of VM '%s' is in effect, but could not be kept: "
                                     "%s. The journal says where.",
                                     name, strerror(-r))
                 : sd_bus_reply_method_return(call, NULL);
}

/* Ends a change: reads whether it is to last, makes it, answers. */
static int vm_method_change(sd_bus_message *call, VM *vm, const VMSettings *settings,
                            unsigned which, sd_bus_error *error)
{
    BusContext *context = bus_context(call);
    VMSettings before;
    int runtime, r;

    r = sd_bus_message_read(call, "b", &runtime);
    if (r >= 0)
        r = vm_method_require_registered(vm, error);
    if (r < 0)
        return r;

    before = vm->settings;
    r = vm_registry_change(context->vms, vm, settings, which, runtime);
    vm_method_log_settings(context, vm, &before);
    return vm_method_conclude(call, vm->name, r, error);
}

int vm_method_set_priority(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    VMSettings settings;
    VM *vm = NULL;
    int r;

    r = vm_method_begin(call, userdata, error, &vm);
    if (r <= 0)
        return r < 0 ? r : 1;
    r = read_priority(call, error, &settings.priority);
    return r < 0
               ? r
               : vm_method_change(call, vm, &settings, VM_SETTING_BIT(VM_SETTING_PRIORITY), error);
}

int vm_method_set_pool(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    VMSettings settings;
    VM *vm = NULL;
    int r;

    r = vm_method_begin(call, userdata, error, &vm);
    if (r <= 0)
        return r < 0 ? r : 1;
    r = read_pool(call, bus_context(call)->pools, error, &settings.pool);
    return r < 0 ? r
                 : vm_method_change(call, vm, &settings, VM_SETTING_BIT(VM_SETTING_POOL), error);
}

int vm_method_set_limits(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    VMSettings settings;
    unsigned which;
    VM *vm = NULL;
    int r;

    r = vm_method_begin(call, userdata, error, &vm);
    if (r <= 0)
        return r < 0 ? r : 1;
    r = read_limits(call, error, &settings, &which, NULL);
    return r < 0 ? r : vm_method_change(call, vm, &settings, which, error);
}

/* A switch that any known VM has, as the journal tells of it. */
typedef struct VMSwitch {
    int (*set)(VMRegistry *registry, VM *vm, bool on);
    size_t offset; /* of the bool in VM */
    const char *property;
    const char *state[2]; /* what the VM is, off and on */
    const char *deed[2];  /* what was done to it */
} VMSwitch;

static const VMSwitch vm_pause = {
    .set = vm_registry_set_paused,
    .offset = offsetof(VM, paused),
    .property = "Paused",
    .state = {"running", "paused"},
    .deed = {"resumed", "paused"},
};

static const VMSwitch vm_quarantine = {
    .set = vm_registry_set_quarantined,
    .offset = offsetof(VM, quarantined),
    .property = "Quarantined",
    .state = {"released", "quarantined"},
    .deed = {"released from quarantine", "quarantined"},
};

static int vm_method_turn(sd_bus_message *call, void *userdata, sd_bus_error *error,
                          const VMSwitch *s, bool on)
{
    BusContext *context = bus_context(call);
    LogChange change;
    VM *vm = NULL;
    bool before, changes;
    int r;

    r = vm_method_begin(call, userdata, error, &vm);
    if (r <= 0)
        return r < 0 ? r : 1;

    before = *(const bool *) ((const char *) vm + s->offset);
    /* A quarantine by the fault limit becomes the administrator's. */
    changes = before != on || (s == &vm_quarantine && vm->quarantined_until_usec != 0);
    r = s->set(context->vms, vm, on);
    change = bus_change(context, s->property, s->state[before], s->state[on]);
    if (changes)
        log_event(VGPU_MESSAGE_VM_CHANGED, &vm->client.log, &change, "%s", s->deed[on]);
    return vm_method_conclude(call, vm->name, r, error);
}

int vm_method_pause(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    return vm_method_turn(call, userdata, error, &vm_pause, true);
}

int vm_method_resume(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    return vm_method_turn(call, userdata, error, &vm_pause, false);
}

int vm_method_quarantine(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    return vm_method_turn(call, userdata, error, &vm_quarantine, true);
}

int vm_method_release(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    return vm_method_turn(call, userdata, error, &vm_quarantine, false);
}

int vm_method_unregister(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    CLEANUP_FREE char *name = NULL;
    VM *vm = NULL;
    int r;

    r = vm_method_begin(call, userdata, error, &vm);
    if (r <= 0)
        return r < 0 ? r : 1;
    r = vm_method_require_registered(vm, error);
    if (r < 0)
        return r;

    name = strdup(vm->name);
    if (!name)
        return -ENOMEM;
    vm_method_log(bus_context(call), vm, VGPU_MESSAGE_VM_UNREGISTERED, "unregistered");
    return vm_method_conclude(call, name, vm_registry_remove(bus_context(call)->vms, vm), error);
}

int vm_method_reset_statistics(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    VM *vm = NULL;
    int r;

    r = vm_method_begin(call, userdata, error, &vm);
    if (r <= 0)
        return r < 0 ? r : 1;

    vm->client.statistics = (Statistics){0};
    vm_reset_usage(vm);
    vm_method_log(bus_context(call), vm, VGPU_MESSAGE_VM_CHANGED, "statistics reset");
    return sd_bus_reply_method_return(call, NULL);
}

/* ---- Registration ----------------------------------------------------------------------- */

static int read_name(sd_bus_message *call, sd_bus_error *error, const char **ret)
{
    int r = sd_bus_message_read(call, "s", ret);
    char buffer[VM_NAME_PROBLEM_SIZE];
    const char *problem;

    if (r < 0)
        return r;
    problem = vm_name_problem(*ret, buffer);
    return problem ? sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_NAME,
                                       "A VM cannot have this name: %s.", problem)
                   : 0;
}

static int read_uuid(sd_bus_message *call, sd_bus_error *error, uint8_t ret[16])
{
    const char *text;
    sd_id128_t id;
    int r;

    r = sd_bus_message_read(call, "s", &text);
    if (r < 0)
        return r;
    if (*text == '\0') {
        memset(ret, 0, sizeof(id.bytes));
        return 0;
    }
    if (sd_id128_from_string(text, &id) < 0 || sd_id128_is_null(id))
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_UUID, "'%s' is no UUID of a VM.",
                                 text);

    memcpy(ret, id.bytes, sizeof(id.bytes));
    return 0;
}

/* A place has a UUID by its name, where the caller gives none. A machine with a device needs one.
 */
static int vm_method_complete_uuid(const VMPlace *place, uint8_t uuid[16], sd_bus_error *error)
{
    static const uint8_t none[16];

    if (memcmp(uuid, none, sizeof(none)) != 0)
        return 0;
    if (place->kind == VM_PLACE_NONE)
        return sd_bus_error_set(error, VGPU_BUS_ERROR_INVALID_UUID, "'' is no UUID of a VM.");
    vm_place_uuid(place, uuid);
    return 0;
}

/* @before: the settings of one that was known already, or NULL. */
static void vm_method_log_registration(const BusContext *context, const VM *vm,
                                       const VMSettings *before)
{
    LogChange change = bus_change(context, NULL, NULL, NULL);

    if (before)
        vm_method_log_settings(context, vm, before);
    else
        log_event(VGPU_MESSAGE_VM_REGISTERED, &vm->client.log, &change,
                  "registered, with number %u, for pool %c with priority %s", vm->id,
                  vm->settings.pool, vgpu_priority_to_string(vm->settings.priority));
}

static int reply_registered(sd_bus_message *call, const VM *vm)
{
    CLEANUP_FREE char *path = bus_object_path(VGPU_OBJECT_VM, vm->name);

    return path ? sd_bus_reply_method_return(call, "uo", vm->id, path) : -ENOMEM;
}

/* Says which VM is in the way, and how to get rid of it. */
static int vm_method_exists(const VM *vm, const char *name, sd_bus_error *error)
{
    const char *what = strcmp(vm->name, name) == 0 ? "with another UUID" : "and has this UUID";

    if (!vm->registered)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_VM_EXISTS,
                                 "VM '%s' is known already: its device is connected.", vm->name);
    return sd_bus_error_setf(error, VGPU_BUS_ERROR_VM_EXISTS,
                             "VM '%s' is known already, %s. If it is there no more, "
                             "\"vgpuctl unregister '%s'\" makes room.",
                             vm->name, what, vm->name);
}

void vm_method_refuse_registration(sd_bus_message *call, const VM *vm)
{
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    const char *name = "";

    if (sd_bus_message_rewind(call, true) >= 0)
        (void) sd_bus_message_read(call, "s", &name);
    (void) vm_method_exists(vm, name, &error);
    (void) sd_bus_reply_method_error(call, &error);
}

/* A VM is in the way of the call. Returns 1 when the call waits to hear whether it is still there.
 */
static int vm_method_in_the_way(sd_bus_message *call, BusContext *context, const char *name,
                                const uint8_t uuid[16], sd_bus_error *error)
{
    const VM *vm = vm_registry_find(context->vms, name);
    int r;

    if (!vm)
        vm = vm_registry_find_by_uuid(context->vms, uuid);
    r = rivals_ask(&context->rivals, call, vm);
    return r != 0 ? r : vm_method_exists(vm, name, error);
}

int vm_method_register(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    BusContext *context = userdata;
    VMSettings settings;
    const char *name;
    uint8_t uuid[16];
    Registration registration = {0};
    VMSettings before;
    const VM *known;
    unsigned which;
    VM *vm = NULL;
    int r;

    r = read_name(call, error, &name);
    if (r >= 0)
        r = access_check(&context->access, call, name, error);
    if (r <= 0)
        return r < 0 ? r : 1;

    vm_settings_init(&settings);
    settings.queue_limit = context->vms->config->vm_queue_limit;
    r = read_uuid(call, error, uuid);
    if (r >= 0)
        r = read_pool(call, context->pools, error, &settings.pool);
    if (r >= 0)
        r = read_priority(call, error, &settings.priority);
    if (r >= 0)
        r = read_limits(call, error, &settings, &which, &registration);
    if (r >= 0)
        r = vm_method_complete_uuid(&registration.device.place, uuid, error);
    if (r < 0)
        return r;

    known = vm_registry_find(context->vms, name);
    if (known && (!known->registered || memcmp(known->uuid, uuid, sizeof(uuid)) != 0))
        known = NULL;
    if (known)
        before = known->settings;
    r = vm_registry_add(context->vms, name, uuid, &settings, &registration.device, registration.id,
                        &vm);
    if (r == VM_EXISTS)
        return vm_method_in_the_way(call, context, name, uuid, error);
    if (r == VM_ID_TAKEN)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_VM_ID_TAKEN, "VMID %u is taken.",
                                 registration.id);
    if (r < 0)
        return r;

    vm_method_log_registration(context, vm, known ? &before : NULL);
    return reply_registered(call, vm);
}

/* ---- The start ----------------------------------------------------------------------------- */

typedef struct Facts {
    uint32_t leader;     /* 0: not given */
    const char *problem; /* NULL: not given */
} Facts;

static int read_problem(sd_bus_message *call, const char *key, sd_bus_error *error,
                        const char **ret)
{
    int r = sd_bus_message_read(call, "v", "s", ret);

    if (r == -ENXIO)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT, "%s takes a sentence.", key);
    if (r < 0)
        return r;
    /* It is shown like a name, so the same holds for it. */
    return **ret == '\0' || vm_name_is_valid(*ret)
               ? 0
               : sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                   "%s has at most %d bytes, and no characters that nobody sees.",
                                   key, VM_NAME_MAX);
}

static int read_facts(sd_bus_message *call, sd_bus_error *error, Facts *ret)
{
    const char *key;
    int r = sd_bus_message_enter_container(call, 'a', "{sv}");

    while (r >= 0 && (r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
        r = sd_bus_message_read(call, "s", &key);
        if (r < 0)
            return r;
        if (strcmp(key, "Leader") == 0)
            r = read_number(call, key, 1, INT32_MAX, error, &ret->leader);
        else if (strcmp(key, "DeviceProblem") == 0)
            r = read_problem(call, key, error, &ret->problem);
        else
            r = sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT, "There is no fact '%s'.",
                                  key);
        if (r >= 0)
            r = sd_bus_message_exit_container(call);
    }
    return r < 0 ? r : sd_bus_message_exit_container(call);
}

int vm_method_set_started(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    Leader leader = {0};
    Facts facts = {0};
    VM *vm = NULL;
    int r;

    r = vm_method_begin(call, userdata, error, &vm);
    if (r <= 0)
        return r < 0 ? r : 1;
    r = read_facts(call, error, &facts);
    if (r >= 0)
        r = vm_method_require_registered(vm, error);
    if (r < 0)
        return r;

    if (facts.leader != 0)
        leader = leader_of((pid_t) facts.leader);
    if (facts.problem && *facts.problem)
        log_context(LOG_WARNING, &vm->client.log, "started without its device: %s", facts.problem);
    r = vm_registry_set_started(bus_context(call)->vms, vm, &leader, facts.problem);
    return r < 0 ? r : sd_bus_reply_method_return(call, NULL);
}

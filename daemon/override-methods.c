/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "override-methods.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "bus-context.h"
#include "cleanup-bus.h"
#include "names.h"
#include "vm-methods.h"

/* ---- Settings as arguments ----------------------------------------------------------------- */

static int find_setting(const char *name, sd_bus_error *error, const VMSetting **ret)
{
    *ret = vm_setting_find(name);
    return *ret ? 0
                : sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                    "There is no setting '%s'.", name);
}

/* The value of a setting, as text. */
static int read_value(sd_bus_message *call, const VMSetting *setting, sd_bus_error *error,
                      char ret[static VM_SETTING_TEXT_SIZE])
{
    const char *type = vm_setting_type(setting), *text;
    uint32_t number;
    uint64_t bytes;
    int r;

    r = sd_bus_message_read(call, "v", type,
                            *type == 's'   ? (void *) &text
                            : *type == 't' ? (void *) &bytes
                                           : (void *) &number);
    if (r == -ENXIO)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_INVALID_LIMIT,
                                 "%s takes a value of type %s.", setting->name, type);
    if (r < 0)
        return r;
    if (*type == 's')
        snprintf(ret, VM_SETTING_TEXT_SIZE, "%s", text);
    else if (*type == 't')
        snprintf(ret, VM_SETTING_TEXT_SIZE, "%" PRIu64, bytes);
    else
        snprintf(ret, VM_SETTING_TEXT_SIZE, "%" PRIu32, number);
    return 0;
}

static int read_setting(sd_bus_message *call, const Pools *pools, sd_bus_error *error,
                        VMSettings *ret, unsigned *which)
{
    char text[VM_SETTING_TEXT_SIZE], wanted[VM_SETTING_TEXT_SIZE];
    const VMSetting *setting = NULL;
    const char *name;
    int r;

    r = sd_bus_message_read(call, "s", &name);
    if (r >= 0)
        r = find_setting(name, error, &setting);
    if (r >= 0)
        r = read_value(call, setting, error, text);
    if (r < 0)
        return r;
    if (vm_setting_parse(setting, text, ret) < 0)
        return sd_bus_error_setf(
            error,
            setting->kind == VM_SETTING_IS_PRIORITY ? VGPU_BUS_ERROR_INVALID_PRIORITY
            : setting->kind == VM_SETTING_IS_POOL   ? VGPU_BUS_ERROR_NO_SUCH_POOL
                                                    : VGPU_BUS_ERROR_INVALID_LIMIT,
            "%s is '%s': it must be %s.", setting->name, text,
            vm_setting_describe(setting, wanted));
    if (setting->kind == VM_SETTING_IS_POOL && !pools_find(pools, (unsigned char) ret->pool))
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_NO_SUCH_POOL, "No pool '%s' is configured.",
                                 text);

    *which |= VM_SETTING_BIT(setting - vm_settings);
    return 0;
}

/* a{sv}, with any setting. */
static int read_settings(sd_bus_message *call, const Pools *pools, sd_bus_error *error,
                         VMSettings *ret, unsigned *ret_which)
{
    int r = sd_bus_message_enter_container(call, 'a', "{sv}");

    *ret_which = 0;
    while (r >= 0 && (r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
        r = read_setting(call, pools, error, ret, ret_which);
        if (r >= 0)
            r = sd_bus_message_exit_container(call);
    }
    return r < 0 ? r : sd_bus_message_exit_container(call);
}

/* as, with names of settings. None at all means all of them. */
static int read_names(sd_bus_message *call, sd_bus_error *error, unsigned *ret_which)
{
    const VMSetting *setting;
    unsigned which = 0;
    const char *name;
    int r;

    r = sd_bus_message_enter_container(call, 'a', "s");
    while (r >= 0 && (r = sd_bus_message_read(call, "s", &name)) > 0) {
        r = find_setting(name, error, &setting);
        if (r >= 0)
            which |= VM_SETTING_BIT(setting - vm_settings);
    }
    if (r < 0)
        return r;

    *ret_which = which ? which : VM_SETTINGS_ALL;
    return sd_bus_message_exit_container(call);
}

/* ---- Changes ------------------------------------------------------------------------------ */

int override_method_configure(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    BusContext *context = bus_context(call);
    VMSettings settings, before;
    unsigned which;
    VM *vm = NULL;
    int r;

    r = vm_method_begin(call, userdata, error, &vm);
    if (r <= 0)
        return r < 0 ? r : 1;
    r = read_settings(call, context->pools, error, &settings, &which);
    if (r >= 0)
        r = vm_method_require_registered(vm, error);
    if (r < 0)
        return r;

    before = vm->settings;
    r = vm_registry_configure(context->vms, vm, &settings, which);
    vm_method_log_settings(context, vm, &before);
    return vm_method_conclude(call, vm->name, r, error);
}

/* The VM that a call is about, which need not be known. */
static int find_known(sd_bus_message *call, void *userdata, VM **ret, const char **ret_name)
{
    const VMRegistry *vms = bus_context(call)->vms;
    sd_id128_t id;
    int r;

    if (strcmp(sd_bus_message_get_interface(call), VGPU_INTERFACE_VM) == 0) {
        *ret = userdata;
        *ret_name = (*ret)->name;
        return 0;
    }

    r = sd_bus_message_read(call, "s", ret_name);
    if (r < 0)
        return r;
    *ret = vm_registry_find(vms, *ret_name);
    if (!*ret && sd_id128_from_string(*ret_name, &id) >= 0)
        *ret = vm_registry_find_by_uuid(vms, id.bytes);
    return 0;
}

int override_method_revert(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    BusContext *context = bus_context(call);
    const char *name = NULL;
    VMSettings before;
    unsigned which;
    VM *vm = NULL;
    int r;

    r = find_known(call, userdata, &vm, &name);
    if (r >= 0)
        r = access_check(&context->access, call, vm ? vm->name : name, error);
    if (r <= 0)
        return r < 0 ? r : 1;
    r = read_names(call, error, &which);
    if (r >= 0 && vm)
        r = vm_method_require_registered(vm, error);
    if (r < 0)
        return r;

    if (vm)
        before = vm->settings;
    r = vm ? vm_registry_revert(context->vms, vm, which)
           : vm_registry_revert_absent(context->vms, name, which);
    if (vm)
        vm_method_log_settings(context, vm, &before);
    if (r > 0)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_NO_SUCH_VM,
                                 "No VM '%s' is known, and no setting is kept for one.", name);
    return vm_method_conclude(call, vm ? vm->name : name, r, error);
}

/* ---- The list ----------------------------------------------------------------------------- */

static int append_setting(sd_bus_message *reply, const VMSetting *setting,
                          const VMSettings *settings)
{
    char text[VM_SETTING_TEXT_SIZE];

    if (setting->kind == VM_SETTING_IS_NUMBER)
        return sd_bus_message_append(reply, "{sv}", setting->name, "u",
                                     (uint32_t) vm_setting_get(setting, settings));
    if (setting->kind == VM_SETTING_IS_BYTES)
        return sd_bus_message_append(reply, "{sv}", setting->name, "t",
                                     vm_setting_get(setting, settings));
    return sd_bus_message_append(reply, "{sv}", setting->name, "s",
                                 vm_setting_print(setting, settings, text));
}

static int append_override(sd_bus_message *reply, const VMOverride *o)
{
    char uuid[SD_ID128_UUID_STRING_MAX] = "";
    sd_id128_t id;
    int r;

    memcpy(id.bytes, o->uuid, sizeof(id.bytes));
    if (!o->by_name)
        sd_id128_to_uuid_string(id, uuid);
    r = sd_bus_message_open_container(reply, 'r', "ssa{sv}");
    if (r >= 0)
        r = sd_bus_message_append(reply, "ss", o->name, uuid);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'a', "{sv}");
    for (unsigned i = 0; i < VM_N_SETTINGS && r >= 0; i++)
        if (o->which & VM_SETTING_BIT(i))
            r = append_setting(reply, &vm_settings[i], &o->settings);
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

int override_method_list(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    const BusContext *context = userdata;
    const VMOverride *o;
    int r;

    (void) error;

    r = sd_bus_message_new_method_return(call, &reply);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'a', "(ssa{sv})");
    TAILQ_FOREACH(o, &context->vms->store.overrides.list, link)
    {
        if (r >= 0)
            r = append_override(reply, o);
    }
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

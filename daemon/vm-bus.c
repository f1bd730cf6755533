/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "bus-property.h"
#include "bus-util.h"
#include "cleanup.h"
#include "clock.h"
#include "names.h"
#include "override-methods.h"
#include "statistics-bus.h"
#include "vm-bus.h"
#include "vm-methods.h"

static int get_uuid(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    VM *vm = userdata;
    char text[SD_ID128_UUID_STRING_MAX] = "";
    sd_id128_t id;

    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    memcpy(id.bytes, vm->uuid, sizeof(id.bytes));
    if (!sd_id128_is_null(id))
        sd_id128_to_uuid_string(id, text);
    return sd_bus_message_append(reply, "s", text);
}

static BUS_PROPERTY_GET(get_pool_letter, "s", char, letter, (const char[]){*letter, '\0'});
static BUS_PROPERTY_GET(get_priority, "s", uint8_t, priority, vgpu_priority_to_string(*priority));
static BUS_PROPERTY_GET(get_flag, "b", bool, flag, *flag);
static BUS_PROPERTY_GET(get_share, "d", TimeWindow, w, time_window_share(w, now_usec()));
static BUS_PROPERTY_GET(get_quarantine_reason, "s", VM, vm, vm_quarantine_reason(vm));
static BUS_PROPERTY_GET(get_connected, "b", VM, vm, vm_is_connected(vm));
static BUS_PROPERTY_GET(get_unit, "s", VM, vm, vm_place_name(&vm->device.place, VM_PLACE_UNIT));
static BUS_PROPERTY_GET(get_machine, "s", VM, vm,
                        vm_place_name(&vm->device.place, VM_PLACE_MACHINE));

static uint64_t vm_usage_field(const VM *vm, size_t offset)
{
    VMUsage usage;

    vm_usage(vm, &usage);
    return *(const uint64_t *) ((const char *) &usage + offset);
}

/* What the sessions of the VM have used is summed up when somebody asks. */
#define GET_USAGE(function, field) \
    BUS_PROPERTY_GET(function, "t", VM, vm, vm_usage_field(vm, offsetof(VMUsage, field)))

static GET_USAGE(get_session_memory, memory);
static GET_USAGE(get_session_device_time, device_usec);
static GET_USAGE(get_session_launches, launches);
static GET_USAGE(get_session_bytes_to_device, bytes_to_device);
static GET_USAGE(get_session_bytes_from_device, bytes_from_device);

static int method_get_histograms(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    VM *vm = userdata;

    (void) error;

    return statistics_bus_reply_histograms(call, &vm->client.statistics);
}

#define CHANGING(name, type, getter, field) \
    SD_BUS_PROPERTY(name, type, getter, offsetof(VM, field), SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

static const sd_bus_vtable vm_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("SetPriority", SD_BUS_ARGS("s", priority, "b", runtime),
                            SD_BUS_NO_RESULT, vm_method_set_priority, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SetPool", SD_BUS_ARGS("s", pool, "b", runtime), SD_BUS_NO_RESULT,
                            vm_method_set_pool, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SetLimits", SD_BUS_ARGS("a{sv}", limits, "b", runtime),
                            SD_BUS_NO_RESULT, vm_method_set_limits, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Configure", SD_BUS_ARGS("a{sv}", settings), SD_BUS_NO_RESULT,
                            override_method_configure, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Revert", SD_BUS_ARGS("as", settings), SD_BUS_NO_RESULT,
                            override_method_revert, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Pause", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, vm_method_pause,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Resume", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, vm_method_resume,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Quarantine", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, vm_method_quarantine,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Release", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, vm_method_release,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Unregister", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, vm_method_unregister,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ResetStatistics", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                            vm_method_reset_statistics, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetHistograms", SD_BUS_NO_ARGS,
                            SD_BUS_RESULT("a(tt)", wait, "a(tt)", execution), method_get_histograms,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Name", "s", NULL, offsetof(VM, name), SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("UUID", "s", get_uuid, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("VMID", "u", NULL, offsetof(VM, id), SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Registered", "b", get_flag, offsetof(VM, registered),
                    SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Connected", "b", get_connected, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    CHANGING("LeaderPID", "u", NULL, leader.pid),
    SD_BUS_PROPERTY("Unit", "s", get_unit, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Machine", "s", get_machine, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    CHANGING("DeviceProblem", "s", NULL, device_problem),
    CHANGING("Paused", "b", get_flag, paused),
    CHANGING("Quarantined", "b", get_flag, quarantined),
    SD_BUS_PROPERTY("QuarantineReason", "s", get_quarantine_reason, 0,
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    CHANGING("QuarantinedUntilUSec", "t", NULL, quarantined_until_usec),
    CHANGING("RingEntries", "u", NULL, ring_entries),
    CHANGING("WindowSize", "t", NULL, window_size),
    SD_BUS_PROPERTY("QueueDepth", "u", NULL, offsetof(VM, client.sched.n_queued), 0),
    SD_BUS_PROPERTY("InFlight", "u", NULL, offsetof(VM, client.sched.n_running), 0),
    SD_BUS_PROPERTY("Share", "d", get_share, offsetof(VM, client.execution), 0),
    STATISTICS_PROPERTIES(VM, client.statistics),
    SD_BUS_PROPERTY("Sessions", "u", NULL, offsetof(VM, n_users), 0),
    SD_BUS_PROPERTY("SessionMemoryBytes", "t", get_session_memory, 0, 0),
    SD_BUS_PROPERTY("SessionDeviceTimeUSec", "t", get_session_device_time, 0, 0),
    SD_BUS_PROPERTY("SessionLaunches", "t", get_session_launches, 0, 0),
    SD_BUS_PROPERTY("SessionBytesToDevice", "t", get_session_bytes_to_device, 0, 0),
    SD_BUS_PROPERTY("SessionBytesFromDevice", "t", get_session_bytes_from_device, 0, 0),
    SD_BUS_PROPERTY("SessionFaults", "t", NULL, offsetof(VM, session_faults), 0),
    SD_BUS_VTABLE_END,
};

/*
 * The properties that follow from the table of settings, as a second vtable of the same
 * interface. sd-bus keeps a pointer to it, so it is static; it is filled once, and constant
 * from then on.
 */
static sd_bus_vtable setting_vtable[2 * VM_N_SETTINGS + 2];

static sd_bus_property_get_t setting_getter(const VMSetting *setting)
{
    switch (setting->kind) {
    case VM_SETTING_IS_POOL:
        return get_pool_letter;
    case VM_SETTING_IS_PRIORITY:
        return get_priority;
    case VM_SETTING_IS_NUMBER:
    case VM_SETTING_IS_BYTES:
        break;
    }
    return NULL; /* sd-bus reads it itself */
}

static sd_bus_vtable setting_property(const VMSetting *setting, const char *name, size_t settings)
{
    return (sd_bus_vtable) SD_BUS_PROPERTY(name, vm_setting_type(setting), setting_getter(setting),
                                           settings + setting->offset,
                                           SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE);
}

static void fill_setting_vtable(void)
{
    sd_bus_vtable *v = setting_vtable;

    *v++ = (sd_bus_vtable) SD_BUS_VTABLE_START(0);
    for (unsigned i = 0; i < VM_N_SETTINGS; i++) {
        const VMSetting *s = &vm_settings[i];

        *v++ = setting_property(s, s->name, offsetof(VM, settings));
        if (s->configured)
            *v++ = setting_property(s, s->configured, offsetof(VM, configured));
    }
    *v = (sd_bus_vtable) SD_BUS_VTABLE_END;
}

static int find_vm(sd_bus *bus, const char *path, const char *interface, void *userdata,
                   void **ret_found, sd_bus_error *error)
{
    CLEANUP_FREE char *name = NULL;
    int r;

    (void) bus, (void) interface, (void) error;

    r = sd_bus_path_decode(path, VGPU_OBJECT_VM, &name);
    if (r <= 0)
        return r;

    *ret_found = vm_registry_find(((BusContext *) userdata)->vms, name);
    return *ret_found != NULL;
}

static int enumerate_vms(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                         sd_bus_error *error)
{
    const VMRegistry *vms = ((BusContext *) userdata)->vms;
    char **nodes = calloc(vms->n + 1, sizeof(*nodes));
    unsigned n = 0;
    VM *vm;

    (void) bus, (void) prefix, (void) error;

    if (!nodes)
        return -ENOMEM;
    TAILQ_FOREACH(vm, &vms->list, link)
    {
        nodes[n] = bus_object_path(VGPU_OBJECT_VM, vm->name);
        if (!nodes[n])
            break;
        n++;
    }

    *ret_nodes = nodes;
    return 1;
}

int vm_bus_add_objects(BusContext *context, sd_bus *bus)
{
    int r;

    fill_setting_vtable();
    r = sd_bus_add_fallback_vtable(bus, NULL, VGPU_OBJECT_VM, VGPU_INTERFACE_VM, vm_vtable, find_vm,
                                   context);
    if (r >= 0)
        r = sd_bus_add_fallback_vtable(bus, NULL, VGPU_OBJECT_VM, VGPU_INTERFACE_VM, setting_vtable,
                                       find_vm, context);
    return r < 0 ? r
                 : sd_bus_add_node_enumerator(bus, NULL, VGPU_OBJECT_VM, enumerate_vms, context);
}

int vm_bus_append(sd_bus_message *m, VM *vm)
{
    static const sd_bus_vtable *const tables[] = {vm_vtable, setting_vtable};
    CLEANUP_FREE char *path = bus_object_path(VGPU_OBJECT_VM, vm->name);

    if (!path)
        return -ENOMEM;
    return bus_append_object(m, path, VGPU_INTERFACE_VM, tables, ELEMENTSOF(tables), vm);
}

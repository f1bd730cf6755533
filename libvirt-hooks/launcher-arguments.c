/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "cleanup.h"
#include "launcher-arguments.h"
#include "machine.h"
#include "slot.h"
#include "slots.h"
#include "vgpu-protocol.h"

/* -plugin FILE -device JSON */
#define N_ADDED 4

/* Is @argument the option @name? QEMU takes one hyphen or two. */
static bool is_option(const char *argument, const char *name)
{
    if (*argument++ != '-')
        return false;
    if (*argument == '-')
        argument++;
    return strcmp(argument, name) == 0;
}

/*
 * The value of the next option of this name, from *i on, or NULL. The value of -append, the
 * guest's kernel command line, is passed over: it is free text and may look like any option.
 */
static const char *next_value(char *const argv[], size_t *i, const char *name)
{
    while (argv[*i] && argv[*i + 1]) {
        bool found = is_option(argv[*i], name);
        const char *value = argv[*i + 1];

        *i += found || is_option(argv[*i], "append") ? 2 : 1;
        if (found)
            return value;
    }

    return NULL;
}

bool arguments_get_uuid(char *const argv[], char ret[static UUID_TEXT_SIZE])
{
    size_t i = 1;
    const char *value = argv[0] ? next_value(argv, &i, "uuid") : NULL;

    return value && uuid_normalize(value, ret);
}

bool arguments_have_state(char *const argv[])
{
    static const char *const names[] = {"incoming", "loadvm"};

    for (size_t n = 0; n < ELEMENTSOF(names); n++) {
        size_t i = 1;

        if (argv[0] && next_value(argv, &i, names[n]))
            return true;
    }
    return false;
}

/* ---- The machine ----------------------------------------------------------------------- */

static const char *root_bus(char *const argv[])
{
    static const char *const names[] = {"machine", "M"};

    for (size_t n = 0; n < ELEMENTSOF(names); n++) {
        size_t i = 1;
        const char *type = next_value(argv, &i, names[n]);

        if (!type)
            continue;
        if (strncmp(type, "type=", strlen("type=")) == 0)
            type += strlen("type=");
        return machine_root_bus(type, (unsigned) strcspn(type, ","));
    }
    return NULL;
}

/* Which slots of the bus are taken, as bits, and our device's, or SLOT_NONE. */
static int look_at_devices(char *const argv[], const char *bus, uint32_t *ret_taken, int *ret_ours)
{
    uint32_t taken = 0;
    int ours = SLOT_NONE;
    const char *value;
    size_t i = 1;

    while ((value = next_value(argv, &i, "device"))) {
        DeviceArgument device;
        int r = device_argument_parse(value, bus, &device);

        if (r < 0)
            return r;
        if (device.is_vgpu)
            ours = device.has_slot ? (int) device.slot : SLOT_ANY;
        if (device.on_bus && device.has_slot)
            taken |= UINT32_C(1) << device.slot;
    }

    *ret_taken = taken;
    *ret_ours = ours;
    return 0;
}

int arguments_find_device(char *const argv[], int *ret_slot)
{
    const char *bus = argv[0] ? root_bus(argv) : NULL;
    uint32_t taken;

    if (bus)
        return look_at_devices(argv, bus, &taken, ret_slot);
    *ret_slot = SLOT_NONE;
    return 0;
}

/* Returns 0 with a free slot, a positive number with a reason, or -ENOMEM. */
static int find_slot(char *const argv[], const char *bus, int wanted, unsigned *ret_slot,
                     const char **ret_reason)
{
    uint32_t taken;
    int ours, slot, r;

    r = look_at_devices(argv, bus, &taken, &ours);
    if (r < 0)
        return r;
    if (ours != SLOT_NONE) {
        *ret_reason = "its command line has one already";
        return 1;
    }

    slot = wanted;
    if (slot >= 0 && taken & (UINT32_C(1) << slot) && arguments_have_state(argv)) {
        *ret_reason = "another device has the PCI slot in which the domain's state has it";
        return 1;
    }
    if (slot < 0 || taken & (UINT32_C(1) << slot))
        slot = slots_find_free(taken);
    if (slot < 0) {
        *ret_reason = "its root bus has no free PCI slot";
        return 1;
    }
    *ret_slot = (unsigned) slot;
    return 0;
}

/* ---- The device ------------------------------------------------------------------------ */

static void device_json_freep(json_object **object)
{
    json_object_put(*object);
}

/* Takes over @value. */
static bool json_add(json_object *object, const char *key, json_object *value)
{
    if (value && json_object_object_add(object, key, value) == 0)
        return true;
    json_object_put(value);
    return false;
}

static bool json_add_text(json_object *object, const char *key, const char *value)
{
    return json_add(object, key, json_object_new_string(value));
}

/*
 * JSON, as libvirt writes its devices. QEMU makes the devices in KEY=VALUE form before those in
 * JSON, so that ours might take a slot that libvirt has given to another.
 */
static char *device_json(const char *uuid, const Record *record, const char *bus, unsigned slot)
{
    CLEANUP(device_json_freep) json_object *object = json_object_new_object();
    const char pool[] = {record->pool, '\0'};
    char address[16];

    snprintf(address, sizeof(address), "0x%x", slot);
    if (!object || !json_add_text(object, "driver", "vgpu-stub") ||
        !json_add_text(object, "id", DEVICE_ID) || !json_add_text(object, "pool_id", pool) ||
        !json_add_text(object, "priority", vgpu_priority_to_string((uint32_t) record->priority)) ||
        !json_add(object, "vm_id", json_object_new_int64(record->vm_id)) ||
        !json_add(object, "window-size", json_object_new_uint64(record->window_size)) ||
        !json_add_text(object, "uuid", uuid) || !json_add_text(object, "bus", bus) ||
        !json_add_text(object, "addr", address))
        return NULL;

    return strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
}

char **arguments_free(char **argv)
{
    size_t n = 0;

    if (!argv)
        return NULL;
    while (argv[n])
        n++;
    for (size_t i = 0; i < n; i++)
        free(argv[i]);
    free(argv);
    return NULL;
}

static void arguments_freep(char ***argv)
{
    arguments_free(*argv);
}

static int copy_with_device(char *const argv[], const char *plugin, const char *device, char ***ret)
{
    CLEANUP(arguments_freep) char **copy = NULL;
    const char *const added[N_ADDED] = {"-plugin", plugin, "-device", device};
    size_t n = 0;

    while (argv[n])
        n++;
    copy = calloc(n + N_ADDED + 1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < n + N_ADDED; i++) {
        copy[i] = strdup(i < n ? argv[i] : added[i - n]);
        if (!copy[i])
            return -ENOMEM;
    }

    *ret = TAKE_PTR(copy);
    return 0;
}

int arguments_add_device(char *const argv[], const char *uuid, const Record *record,
                         const char *plugin, char ***ret, const char **ret_reason)
{
    CLEANUP_FREE char *device = NULL;
    const char *bus = root_bus(argv);
    unsigned slot;
    int r;

    if (!bus) {
        *ret_reason = "its machine type is none with a PCI bus that is known here";
        return 1;
    }
    r = find_slot(argv, bus, record->slot, &slot, ret_reason);
    if (r != 0)
        return r;

    device = device_json(uuid, record, bus, slot);
    if (!device)
        return -ENOMEM;
    return copy_with_device(argv, plugin, device, ret);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "bus.h"
#include "manager.h"
#include "names.h"
#include "statistics-bus.h"
#include "vm-bus.h"

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

static int get_pool(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    VM *vm = userdata;
    char text[2] = {vm->pool, '\0'};

    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    return sd_bus_message_append(reply, "s", text);
}

static int get_priority(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    VM *vm = userdata;

    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    return sd_bus_message_append(reply, "s", vgpu_priority_to_string(vm->priority));
}

static int get_connected(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    VM *vm = userdata;

    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    return sd_bus_message_append(reply, "b", vm->connection != NULL);
}

static const sd_bus_vtable vm_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Name", "s", NULL, offsetof(VM, name), SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("UUID", "s", get_uuid, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("VMID", "u", NULL, offsetof(VM, id), SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Pool", "s", get_pool, 0, 0),
    SD_BUS_PROPERTY("Priority", "s", get_priority, 0, 0),
    SD_BUS_PROPERTY("Connected", "b", get_connected, 0, 0),
    SD_BUS_PROPERTY("LeaderPID", "u", NULL, offsetof(VM, leader), SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("QueueDepth", "u", NULL, offsetof(VM, client.n_queued), 0),
    SD_BUS_PROPERTY("InFlight", "u", NULL, offsetof(VM, client.n_running), 0),
    STATISTICS_PROPERTIES(VM),
    SD_BUS_VTABLE_END,
};

static int find_vm(sd_bus *bus, const char *path, const char *interface, void *userdata,
                   void **ret_found, sd_bus_error *error)
{
    char *name = NULL;
    int r;

    (void) bus, (void) interface, (void) error;

    r = sd_bus_path_decode(path, VGPU_OBJECT_VM, &name);
    if (r <= 0)
        return r;

    *ret_found = vm_find(userdata, name);
    free(name);
    return *ret_found != NULL;
}

static int enumerate_vms(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                         sd_bus_error *error)
{
    Manager *m = userdata;
    char **nodes = calloc(m->n_vms + 1, sizeof(*nodes));
    unsigned n = 0;
    VM *vm;

    (void) bus, (void) prefix, (void) error;

    if (!nodes)
        return -ENOMEM;
    TAILQ_FOREACH(vm, &m->vms, link)
    {
        nodes[n] = bus_object_path(VGPU_OBJECT_VM, vm->name);
        if (!nodes[n])
            break;
        n++;
    }

    *ret_nodes = nodes;
    return 1;
}

int vm_bus_add_objects(Manager *m, sd_bus *bus)
{
    int r = sd_bus_add_fallback_vtable(bus, NULL, VGPU_OBJECT_VM, VGPU_INTERFACE_VM, vm_vtable,
                                       find_vm, m);

    return r < 0 ? r : sd_bus_add_node_enumerator(bus, NULL, VGPU_OBJECT_VM, enumerate_vms, m);
}

void vm_bus_announce(VM *vm, bool added)
{
    sd_bus *bus = vm->manager->bus;
    char *path;

    if (!bus || sd_bus_is_ready(bus) <= 0)
        return;
    path = bus_object_path(VGPU_OBJECT_VM, vm->name);
    if (!path)
        return;

    if (added)
        (void) sd_bus_emit_object_added(bus, path);
    (void) sd_bus_emit_signal(bus, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                              added ? "VMAdded" : "VMRemoved", "so", vm->name, path);
    if (!added)
        (void) sd_bus_emit_object_removed(bus, path);
    free(path);
}

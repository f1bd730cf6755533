/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_VM_BUS_H
#define VGPU_VM_BUS_H

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "vm.h"

/* vm_bus_add_objects() - the interface of every VM; returns 0 or a negative errno */
int vm_bus_add_objects(Manager *m, sd_bus *bus);

/* vm_bus_announce() - tell the bus, where there is one, that a VM is new or about to go */
void vm_bus_announce(VM *vm, bool added);

/* vm_bus_changed() - the same of properties, named as strings */
#define vm_bus_changed(vm, ...) \
    vm_bus_properties_changed((vm), (const char *const[]){__VA_ARGS__, NULL})
void vm_bus_properties_changed(VM *vm, const char *const *properties);

/* vm_bus_settings_changed() - the same of the settings in the set @which, a signal each */
void vm_bus_settings_changed(VM *vm, unsigned which);

/* vm_bus_configured_changed() - the same of all that shows what the VM is registered with */
void vm_bus_configured_changed(VM *vm);

#endif

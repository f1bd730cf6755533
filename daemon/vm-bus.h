/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_VM_BUS_H
#define VGPU_VM_BUS_H

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "bus-context.h"

/* vm_bus_add_objects() - the interface of every VM; returns 0 or a negative errno */
int vm_bus_add_objects(BusContext *context, sd_bus *bus);

/* vm_bus_append() - as it is in the answer of GetManagedObjects; returns 0 or a negative errno */
int vm_bus_append(sd_bus_message *m, VM *vm);

#endif

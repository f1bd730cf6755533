/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_VM_BUS_H
#define VGPU_VM_BUS_H

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "bus-context.h"

/* vm_bus_add_objects() - the interface of every VM; returns 0 or a negative errno */
int vm_bus_add_objects(BusContext *context, sd_bus *bus);

/* vm_bus_observer() - the observer that announces VMs on the bus, where there is one */
VMObserver vm_bus_observer(BusContext *context);

#endif

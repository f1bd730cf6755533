/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_MANAGER_BUS_H
#define VGPU_MANAGER_BUS_H

#include <systemd/sd-bus.h>

#include "bus-context.h"

/* manager_bus_add_objects() - the Manager's interface; returns 0 or a negative errno */
int manager_bus_add_objects(BusContext *context, sd_bus *bus);

#endif

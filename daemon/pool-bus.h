/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_POOL_BUS_H
#define VGPU_POOL_BUS_H

#include <systemd/sd-bus.h>

#include "bus-context.h"

/* pool_bus_add_objects() - the interface of every Pool; returns 0 or a negative errno */
int pool_bus_add_objects(BusContext *context, sd_bus *bus);

/* pool_bus_append() - as it is in the answer of GetManagedObjects; returns 0 or a negative errno */
int pool_bus_append(sd_bus_message *m, Pool *p);

/* pool_bus_properties_changed() - tell the bus, where there is one */
void pool_bus_properties_changed(const BusContext *context, const Pool *p,
                                 const char *const *properties);

#endif

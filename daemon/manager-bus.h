/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_MANAGER_BUS_H
#define VGPU_MANAGER_BUS_H

#include <systemd/sd-bus.h>

typedef struct Manager Manager;

/* manager_bus_add_objects() - the Manager's interface; returns 0 or a negative errno */
int manager_bus_add_objects(Manager *m, sd_bus *bus);

#endif

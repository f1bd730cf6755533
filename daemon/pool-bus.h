/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_POOL_BUS_H
#define VGPU_POOL_BUS_H

#include "pool.h"

/* pool_bus_add_objects() - the interface of every Pool; returns 0 or a negative errno */
int pool_bus_add_objects(Manager *m, sd_bus *bus);

/* pool_bus_changed() - tell the bus, where there is one, of properties, named as strings */
#define pool_bus_changed(pool, ...) \
    pool_bus_properties_changed((pool), (const char *const[]){__VA_ARGS__, NULL})
void pool_bus_properties_changed(Pool *p, const char *const *properties);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mediator's place on D-Bus: the connection, the name and the objects. The
 * request path never waits for any of it.
 */
#ifndef VGPU_BUS_H
#define VGPU_BUS_H

#include <systemd/sd-bus.h>

typedef struct Manager Manager;

typedef enum BusKind {
    BUS_NONE,
    BUS_USER,
    BUS_SYSTEM,
} BusKind;

/*
 * manager_bus_open() - offer the objects on a bus
 * @kind: BUS_NONE does nothing
 *
 * A bus that is not there, or goes away, is a log line and tried again every few
 * seconds. A name that somebody else owns ends the event loop with -EEXIST:
 * two mediators are a mistake. Returns 0 or a negative errno.
 */
int manager_bus_open(Manager *m, BusKind kind);

/* manager_bus_close() - leave the bus */
void manager_bus_close(Manager *m);

#endif

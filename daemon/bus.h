/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mediator's place on D-Bus: the connection, the name and the objects. The
 * request path never waits for any of it.
 */
#ifndef VGPU_BUS_H
#define VGPU_BUS_H

#include "manager.h"

typedef struct Bus Bus;

typedef enum BusKind {
    BUS_NONE,
    BUS_USER,
    BUS_SYSTEM,
} BusKind;

/*
 * bus_new() - offer the objects on a bus
 * @kind: BUS_NONE: nowhere
 *
 * A bus that is not there, or goes away, is a log line; it is tried again at once,
 * then every 100 ms, and after a while every few seconds. A name that somebody else owns ends the
 * event loop with -EEXIST: two mediators are a mistake. Returns 0 or a negative errno.
 */
int bus_new(Manager *m, BusKind kind, Bus **ret);

/* bus_free() - leave the bus; the manager may be gone already, the event loop not. NULL is fine */
Bus *bus_free(Bus *b);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills processes that this one may not signal: those of vgpu-executor@.service have users of their
 * own. systemd does it, by polkit's rule for the mediator's user. The question is asked without
 * waiting, over a connection to the bus that is for nothing else.
 */
#ifndef VGPU_UNIT_KILLER_H
#define VGPU_UNIT_KILLER_H

#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct UnitKiller {
    sd_event *event;
    int (*open_bus)(sd_bus **ret); /* NULL: this mediator uses no bus */
    sd_bus *bus;                   /* NULL until it is needed */
} UnitKiller;

/* unit_killer_init() - open_bus is NULL; @event outlives it */
void unit_killer_init(UnitKiller *k, sd_event *event);

/* unit_killer_clear() - what is asked is not waited for; all zero is fine */
void unit_killer_clear(UnitKiller *k);

/*
 * unit_killer_kill() - have systemd kill the unit of this process
 * @pid: it is there, and no child of this process
 *
 * Nothing but an instance of vgpu-executor@.service is killed. What goes wrong is logged.
 */
void unit_killer_kill(UnitKiller *k, pid_t pid);

#endif

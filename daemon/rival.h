/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A registered VM that is in the way of another's registration, and of which nobody knows whether
 * it is still there: the hook that was to say which process it is, or that it has ended, never
 * came. Its device is not connected, and only its machine may be it; so it is there as long as
 * systemd-machined has that machine. The call waits for the answer.
 */
#ifndef VGPU_RIVAL_H
#define VGPU_RIVAL_H

#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "identity.h"
#include "vm-registry.h"

typedef struct Rival Rival;

/* All that wait. */
typedef struct Rivals {
    TAILQ_HEAD(, Rival) list;
    Identity *identity;
    VMRegistry *vms;
    /* Answers a call: the rival keeps its place. */
    void (*refuse)(sd_bus_message *call, const VM *vm);
} Rivals;

/* rivals_init() - nobody waits. @identity, @vms: outlive them */
void rivals_init(Rivals *rivals, Identity *identity, VMRegistry *vms,
                 void (*refuse)(sd_bus_message *call, const VM *vm));

/* rivals_clear() - the calls get no answer any more */
void rivals_clear(Rivals *rivals);

/*
 * rivals_ask() - is the VM that is in the way of a call still there?
 *
 * Returns 1: the question is asked. Then either the VM is forgotten and the call is handled again
 * from its beginning, or it is refused. 0: nobody can say more than is known: the VM is there. Or a
 * negative errno.
 */
int rivals_ask(Rivals *rivals, sd_bus_message *call, const VM *vm);

#endif

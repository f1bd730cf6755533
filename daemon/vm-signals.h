/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the bus hears of VMs, and when. An administrator's change is announced at once. What a
 * guest causes (it connects, turns its ring on) is announced at once when the VM was quiet, and
 * then once a second at most, and only where it differs from what was announced last.
 */
#ifndef VGPU_VM_SIGNALS_H
#define VGPU_VM_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "bus-reply.h"
#include "vm-registry.h"

typedef struct VMSignal VMSignal;
typedef TAILQ_HEAD(VMSignalList, VMSignal) VMSignalList;

typedef struct VMSignals {
    sd_bus *bus; /* the owner's; NULL while there is none that is ready */
    const VMRegistry *vms;
    BusReplies *replies;
    VMSignalList list;         /* of all VMs */
    VMSignalList pending;      /* of those that something is to be announced of */
    TAILQ_HEAD(, GoneVM) gone; /* VMs that were in the answer at hand */
    sd_event_source *timer;
    uint64_t next_unregistered_usec; /* when one more of these may be announced */
} VMSignals;

/*
 * vm_signals_init() - nothing to announce
 * @vms, @replies: outlive @signals
 * @priority: of what is announced later
 *
 * Returns 0 or a negative errno. @signals is zero before.
 */
int vm_signals_init(VMSignals *signals, sd_event *event, const VMRegistry *vms, BusReplies *replies,
                    int priority);

/* vm_signals_free() - the VMs may be gone already. All zero is fine */
void vm_signals_free(VMSignals *signals);

/* vm_signals_announce(), vm_signals_changed() - what the observer of VMs is told */
void vm_signals_announce(VMSignals *signals, VM *vm, bool added);
void vm_signals_changed(VMSignals *signals, VM *vm, const char *const *properties);

/* vm_signals_in_reply() - the answer at hand says what this VM is like now */
void vm_signals_in_reply(VMSignals *signals, VM *vm);

/* vm_signals_reply_done() - there is no answer at hand any more */
void vm_signals_reply_done(VMSignals *signals);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs that are quarantined by the fault limit (fault-limit.h), and released when their time is over
 */
#ifndef VGPU_VM_QUARANTINE_H
#define VGPU_VM_QUARANTINE_H

#include <systemd/sd-event.h>

#include "vm-registry.h"

/* It is handed to whoever admits VMs. */
typedef struct VMQuarantine {
    VMRegistry *vms;
    const Config *config;
    sd_event_source *timer; /* when the next one is to be released */
} VMQuarantine;

/*
 * vm_quarantine_init() - nobody is quarantined
 * @vms, @config: outlive it
 *
 * Returns 0 or a negative errno.
 */
int vm_quarantine_init(VMQuarantine *q, sd_event *event, VMRegistry *vms, const Config *config);

/* vm_quarantine_clear() - nobody is released any more */
void vm_quarantine_clear(VMQuarantine *q);

/* vm_quarantine_resume() - VMs are known that were quarantined before this mediator started */
void vm_quarantine_resume(VMQuarantine *q);

/* vm_quarantine_admit() - a VM that nobody registered has come: its process may be quarantined */
void vm_quarantine_admit(VMQuarantine *q, VM *vm);

/*
 * vm_quarantine_fault() - a request of @vm was at fault: quarantine the VM, if that is one too many
 *
 * The VM may be gone already; what it was at fault for counts for its process.
 */
void vm_quarantine_fault(VMQuarantine *q, VM *vm);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is kept of VMs on disk, a small file for each, written whole or not at all.
 *
 *   runtime directory   registrations, so that a restart of the mediator knows
 *                       the VMs that run; gone with the host's next boot
 *   state directory     what an administrator made last: settings that go on top
 *                       of later registrations of the same name
 *
 * The directories are the service manager's ($RUNTIME_DIRECTORY, $STATE_DIRECTORY);
 * without one, nothing of its kind is kept. A file that cannot be written or read
 * is a log line, never the end of a request.
 */
#ifndef VGPU_VM_STATE_H
#define VGPU_VM_STATE_H

#include "vm.h"

/* vm_state_save() - keep a registered VM as it is now; no more than that for others */
void vm_state_save(const VM *vm);

/* vm_state_remove() - the registration is over */
void vm_state_remove(const VM *vm);

/* vm_state_load_all() - register all VMs that were kept; to be called once, with pools made */
void vm_state_load_all(Manager *manager);

/* vm_override_load() - put on @settings what lasts for this name; a pool must exist */
void vm_override_load(Manager *manager, const char *name, VMSettings *settings);

/*
 * vm_override_save() - make some of a VM's settings last
 * @which: a set; a setting that equals what the VM is configured with stops to last
 */
void vm_override_save(const VM *vm, unsigned which);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is kept of VMs on disk: their registrations, for the next mediator, and what an
 * administrator made last, for longer. Each failure is a line in the log: the VM is as it is all
 * the same.
 */
#ifndef VGPU_VM_STORE_H
#define VGPU_VM_STORE_H

#include "vm-overrides.h"
#include "vm-record.h"
#include "vm.h"

typedef struct VMStore {
    const char *runtime_directory; /* of registrations; NULL: they are not kept */
    VMOverrides overrides;         /* what an administrator made last */
} VMStore;

/* vm_store_init() - nothing is read yet. The directories are the service manager's
 * ($RUNTIME_DIRECTORY, $STATE_DIRECTORY) */
void vm_store_init(VMStore *store);

/* vm_store_load() - read all that an earlier mediator kept
 * @handler: gets its registrations, as vm_record_read_all() tells them */
void vm_store_load(VMStore *store,
                   void (*handler)(void *userdata, const char *path, const VMRecord *record,
                                   int error),
                   void *userdata);

/* vm_store_clear() - forget it; the disk keeps it */
void vm_store_clear(VMStore *store);

/* vm_store_save() - keep a registration as it is now. Does nothing for a VM that has none. Returns
 * 0 or a negative errno */
int vm_store_save(const VMStore *store, const VM *vm);

/* vm_store_remove() - keep it no more. Returns 0 or a negative errno */
int vm_store_remove(const VMStore *store, const VM *vm);

/* vm_store_remove_old_file() - @record is kept, and @path is where it was read from: earlier
 * mediators named the file after the VM */
void vm_store_remove_old_file(const VMStore *store, const char *path, const VMRecord *record);

/* vm_store_save_lasting() - make some of a VM's settings last. Those that are as configured stop
 * to. Returns 0 or a negative errno */
int vm_store_save_lasting(VMStore *store, const VM *vm, unsigned which);

#endif

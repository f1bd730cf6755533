/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VMs that the mediator knows, by name, number, UUID and process; how they come and go,
 * and how an administrator changes them. What is to outlive the process goes into vm-store.h.
 */
#ifndef VGPU_VM_REGISTRY_H
#define VGPU_VM_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "pools.h"
#include "vm-store.h"
#include "vm.h"

#define VM_REGISTRY_BUCKETS 1024u

typedef TAILQ_HEAD(VMList, VM) VMList;

typedef struct VMRegistry {
    Pools *pools;
    const Config *config;
    VMObserver observer;
    VMList list; /* in the order in which they came */
    unsigned n;
    unsigned n_name_clashes; /* of VMs that nobody registered */
    VMList index[VM_N_INDEXES][VM_REGISTRY_BUCKETS];
    VMStore store;
} VMRegistry;

/*
 * vm_registry_init() - without VMs
 * @pools, @config: outlive the registry
 *
 * The directories are the service manager's ($RUNTIME_DIRECTORY, $STATE_DIRECTORY).
 */
void vm_registry_init(VMRegistry *registry, Pools *pools, const Config *config);

/* vm_registry_load() - register all VMs that an earlier mediator kept; the pools are made */
void vm_registry_load(VMRegistry *registry);

/* vm_registry_clear() - forget every VM, none of which is connected; nobody is told */
void vm_registry_clear(VMRegistry *registry);

/* vm_registry_find() and its like: NULL when there is none */
VM *vm_registry_find(const VMRegistry *registry, const char *name);
VM *vm_registry_find_by_id(const VMRegistry *registry, uint32_t id);
VM *vm_registry_find_by_pid(const VMRegistry *registry, pid_t pid);

/* vm_registry_find_by_uuid() - of the registered ones */
VM *vm_registry_find_by_uuid(const VMRegistry *registry, const uint8_t uuid[16]);

/* vm_registry_find_by_place() - of the registered ones */
VM *vm_registry_find_by_place(const VMRegistry *registry, const VMPlace *place);

/* vm_registry_has_place() - is any of them a place of this kind? */
bool vm_registry_has_place(const VMRegistry *registry, VMPlaceKind kind);

/* Outcomes of vm_registry_add() beside 0. */
enum {
    /* the name has another UUID, or the UUID or the place another name, and that VM is there; or it
     * is another place */
    VM_EXISTS = 1,
    VM_ID_TAKEN = 2,
};

/*
 * vm_registry_add() - make a VM known, or change what a known one is configured with
 * @name: passed vm_name_is_valid()
 * @uuid: not all zero
 * @settings: the pool exists; the rest is in range
 * @device: what its device may be
 * @id: the number it shall have, or 0 for one that is free
 *
 * A VM with this name or this UUID, not both, gives way where its process is known to have ended.
 * What the administrator made last for this UUID goes on top of @settings. A registration that
 * cannot be kept is a line in the log: the VM is known all the same.
 *
 * Returns 0, VM_EXISTS, VM_ID_TAKEN or -ENOMEM.
 */
int vm_registry_add(VMRegistry *registry, const char *name, const uint8_t uuid[16],
                    const VMSettings *settings, const VMDevice *device, uint32_t id, VM **ret);

/*
 * vm_registry_may_be_gone() - is it a VM of which only systemd-machined can say whether it is
 * there?
 *
 * That is one of a machine, whose device is not connected, and whose process nobody named, or named
 * by a number only that another process may have now.
 */
bool vm_registry_may_be_gone(const VM *vm);

/* vm_registry_remove() - hang up, drop what is queued, and forget the VM, which is gone then.
 * Returns 0, or a negative errno when it is still kept on disk */
int vm_registry_remove(VMRegistry *registry, VM *vm);

/*
 * vm_registry_add_unregistered() - a VM for a connection that nobody announced
 * @id: the number its device shows. The name is "unregistered-<id>", with another
 *     number behind it where that is taken
 * @process: whose connection it is; may be NULL. One that the kernel does not show here is not
 * known
 * @ret: vm_registry_detach() ends it
 *
 * Returns 0 or -ENOMEM.
 */
int vm_registry_add_unregistered(VMRegistry *registry, uint32_t id, char pool, uint8_t priority,
                                 Origin *process, VM **ret);

/* vm_registry_attach() - as vm_attach(); a registered VM's new secret is kept */
void vm_registry_attach(VMRegistry *registry, VM *vm, Connection *connection, pid_t leader,
                        void (*hang_up)(VM *vm, void *userdata), void *userdata);

/* vm_registry_set_started() - as vm_set_started(), and kept, if that can be */
int vm_registry_set_started(VMRegistry *registry, VM *vm, const Leader *leader,
                            const char *problem);

/* vm_registry_detach() - as vm_detach(); a VM that is not registered is gone then */
void vm_registry_detach(VMRegistry *registry, VM *vm);

/*
 * The functions below have done what they are for in any case. They return 0, or a negative errno,
 * after a line in the log, when it could not be kept.
 */

/*
 * vm_registry_change() - an administrator's change
 * @which: a set of settings, to take from @settings
 * @runtime: false: it holds for later registrations of this UUID too
 */
int vm_registry_change(VMRegistry *registry, VM *vm, const VMSettings *settings, unsigned which,
                       bool runtime);

/*
 * vm_registry_configure() - the VM's definition has other values for a set of settings now
 *
 * They take effect at once. What was made last for them before is dropped.
 */
int vm_registry_configure(VMRegistry *registry, VM *vm, const VMSettings *configured,
                          unsigned which);

/* vm_registry_revert() - go back to what a set of settings is configured with, and drop what was
 * made last for them */
int vm_registry_revert(VMRegistry *registry, VM *vm, unsigned which);

/*
 * vm_registry_revert_absent() - drop a set of settings that were made last for VMs that are not
 * known
 * @text: a UUID, or the name that such VMs had last
 *
 * Returns 0; 1 when nothing is kept for one; or a negative errno when something still is.
 */
int vm_registry_revert_absent(VMRegistry *registry, const char *text, unsigned which);

/* vm_registry_set_paused(), vm_registry_set_quarantined() - as those of vm.h */
int vm_registry_set_paused(VMRegistry *registry, VM *vm, bool paused);
int vm_registry_set_quarantined(VMRegistry *registry, VM *vm, bool quarantined);

/* vm_registry_quarantine_until(), vm_registry_end_quarantine() - as those of vm.h */
int vm_registry_quarantine_until(VMRegistry *registry, VM *vm, uint64_t usec);
int vm_registry_end_quarantine(VMRegistry *registry, VM *vm);

#endif

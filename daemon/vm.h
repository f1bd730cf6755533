/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM as the mediator knows it: its name and number, what it may use, what it
 * has in the queues, and its counters.
 *
 * A registered VM is there until it is unregistered, connected or not, and what
 * it may use comes from its registration and from the administrator alone. One
 * that nobody registered exists for as long as its connection does; its pool and
 * priority are what its messages claim.
 */
#ifndef VGPU_VM_H
#define VGPU_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "client.h"
#include "lane.h"
#include "vm-settings.h"

typedef struct Connection Connection;
typedef struct Manager Manager;

#define VM_NAME_MAX 255

typedef struct VM {
    TAILQ_ENTRY(VM) link;
    Manager *manager;
    char *name; /* unique */
    uint32_t id;
    uint8_t uuid[16];
    bool registered;
    VMSettings configured; /* by its registration */
    VMSettings settings;   /* as they are now */
    bool paused;
    bool quarantined;

    pid_t leader;           /* the process that connected last, by the kernel; 0: none yet */
    Connection *connection; /* NULL while no device is connected */
    Lane *lane;             /* NULL without a ring */
    bool claimed;           /* resume is in some device's hands */
    uint8_t resume[16];     /* what a device shows to come back as this VM */

    Client client;

    uint64_t rate_usec; /* when rate_tokens was right */
    double rate_tokens;
} VM;

typedef TAILQ_HEAD(VMList, VM) VMList;

/*
 * vm_new_unregistered() - a VM for a connection that nobody announced
 * @id: the number its device shows. The name is "unregistered-<id>", with "-2", "-3", …
 *     behind it where that is taken.
 * @ret: the manager's; vm_detach() ends it
 *
 * Returns 0 or -ENOMEM.
 */
int vm_new_unregistered(Manager *manager, uint32_t id, char pool, uint8_t priority, VM **ret);

/* Outcomes of vm_register() beside 0. */
enum {
    VM_EXISTS = 1, /* the name has another UUID, or the UUID another name */
    VM_ID_TAKEN = 2,
};

/*
 * vm_register() - make a VM known, or change what a known one is configured with
 * @name: passed vm_name_is_valid()
 * @uuid: not all zero
 * @settings: the pool exists; the rest is in range
 * @id: the number it shall have, or 0 for one that is free
 *
 * What the administrator made last for this name goes on top of @settings.
 * Returns 0, VM_EXISTS, VM_ID_TAKEN or -ENOMEM.
 */
int vm_register(Manager *manager, const char *name, const uint8_t uuid[16],
                const VMSettings *settings, uint32_t id, VM **ret);

/* vm_unregister() - hang up, drop what is queued, and forget the VM, which is gone after this */
void vm_unregister(VM *vm);

/* vm_free_all() - forget every VM; their connections are gone already */
void vm_free_all(Manager *manager);

/* vm_name_is_valid() - 1..VM_NAME_MAX bytes of UTF-8 without control characters */
bool vm_name_is_valid(const char *name);

/* vm_find() and its like: NULL when there is none */
VM *vm_find(Manager *manager, const char *name);
VM *vm_find_by_id(Manager *manager, uint32_t id);
VM *vm_find_by_pid(Manager *manager, pid_t pid);
VM *vm_find_registered(Manager *manager, const uint8_t uuid[16]);

/*
 * vm_attach() - its device is on this connection now
 * @leader: the peer's process
 *
 * A registered VM gets a new resume secret.
 */
void vm_attach(VM *vm, Connection *connection, pid_t leader);

/* vm_detach() - its device is gone; what it has queued is dropped. May free the VM */
void vm_detach(VM *vm);

/* vm_apply() - give it other settings: what it has queued goes along. The pool exists */
void vm_apply(VM *vm, const VMSettings *settings);

/*
 * vm_change() - an administrator's change
 * @which: the set to take from @settings
 * @runtime: false: it holds for later registrations of this name too
 */
void vm_change(VM *vm, const VMSettings *settings, unsigned which, bool runtime);

/* vm_set_paused() - hold its queue, or let it go on */
void vm_set_paused(VM *vm, bool paused);

/* vm_set_quarantined() - true: all that it has queued fails with VM_QUARANTINED */
void vm_set_quarantined(VM *vm, bool quarantined);

/* vm_take_token() - may one more request be submitted now, by the rate limit? */
bool vm_take_token(VM *vm);

/* vm_token_delay_usec() - after vm_take_token() said no: how long until it may say yes? */
uint64_t vm_token_delay_usec(const VM *vm);

#endif

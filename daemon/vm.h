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
#include "connection.h"
#include "fault-limit.h"
#include "leader.h"
#include "memory-account.h"
#include "origin.h"
#include "pool.h"
#include "session-shares.h"
#include "vm-place.h"
#include "vm-settings.h"

typedef struct VM VM;
typedef struct VMUser VMUser;
typedef struct VMWatcher VMWatcher;

/* What a registration says of the VM's device. */
typedef struct VMDevice {
    bool require_machine; /* only a process of the machine that has the VM's UUID may be this VM */
    uint64_t window_size; /* bytes that its window may have; 0: [Limits] WindowSizeMax= says it */
    VMPlace place;        /* whose processes it is, when it has no device */
} VMDevice;

/* Whoever has to know that a VM is paused, quarantined, moved or changed otherwise embeds one.
 * The owner sets changed. The VM sets the rest. */
struct VMWatcher {
    void (*changed)(VMWatcher *w);
    VM *vm; /* NULL while it watches none */
    TAILQ_ENTRY(VMWatcher) link;
};

/* A process of a VM that is a place. Whoever has its connection embeds one, and sets hang_up. */
typedef struct VMMember {
    void (*hang_up)(struct VMMember *m); /* ends the connection, by way of vm_leave() */
    VM *vm;                              /* NULL while it is of none */
    TAILQ_ENTRY(VMMember) link;
} VMMember;

/* What processes of the VM's guest have used of a device beside its requests. */
typedef struct VMUsage {
    uint64_t memory; /* bytes that they have now */
    /* These only grow. */
    uint64_t device_usec;
    uint64_t launches;
    uint64_t bytes_to_device;
    uint64_t bytes_from_device;
} VMUsage;

/* Each of them embeds one. The owner sets usage and gone. The VM sets the rest. */
struct VMUser {
    void (*usage)(VMUser *u, VMUsage *ret);
    void (*gone)(VMUser *u); /* the VM is about to be freed: vm_end_use(), at once */
    VM *vm;                  /* NULL while it uses none */
    TAILQ_ENTRY(VMUser) link;
};

/* Announces VMs and their changes to the world. Each function may be NULL. */
typedef struct VMObserver {
    void (*announce)(VM *vm, bool added, void *userdata);
    /* @properties: by their names on D-Bus, up to a NULL. */
    void (*changed)(VM *vm, const char *const *properties, void *userdata);
    void *userdata;
} VMObserver;

/* The ways to find one; see vm-registry.h. */
enum { VM_BY_NAME, VM_BY_ID, VM_BY_UUID, VM_BY_PID, VM_N_INDEXES };

struct VM {
    TAILQ_ENTRY(VM) link;
    TAILQ_ENTRY(VM) index_link[VM_N_INDEXES];
    const VMObserver *observer;
    void *observed; /* the observer's own */
    char *name;     /* unique */
    uint32_t id;
    uint8_t uuid[16];
    bool registered;
    uint64_t registered_usec; /* when it was last (CLOCK_MONOTONIC) */
    VMDevice device;          /* by its registration */
    VMSettings configured;    /* likewise */
    VMSettings settings;      /* as they are now */
    bool paused;
    bool quarantined;
    uint64_t quarantined_until_usec; /* CLOCK_REALTIME; 0: by an administrator, or not at all */
    FaultRecord faults;              /* vm_faults() has those that count */
    Origin *process; /* of one that nobody registered, if it is known; a reference. Else NULL */

    Leader leader;          /* the process that connected last, or that SetVMStarted named since */
    char *device_problem;   /* why it was started without its device; NULL: it was not */
    Connection *connection; /* NULL while no device is connected */
    void (*hang_up)(VM *vm, void *userdata); /* while connected: ends the connection */
    void *hang_up_userdata;
    bool claimed;          /* resume is in some device's hands */
    uint8_t resume[16];    /* what a device shows to come back as this VM */
    uint32_t ring_entries; /* of the ring that is on, or 0 */
    uint64_t window_size;  /* in bytes, or 0 without a ring */

    Client client;
    TAILQ_HEAD(, VMWatcher) watchers;
    TAILQ_HEAD(, VMMember) members; /* of one that is a place: those that are connected */
    unsigned n_members;

    TAILQ_HEAD(, VMUser) users;
    unsigned n_users;
    VMUsage used;            /* of those that are gone */
    VMUsage used_before;     /* vm_reset_usage() */
    uint64_t session_faults; /* users that ended for a fault of the guest */
    MemoryAccount *account;  /* of its sessions; NULL before the first. vm_account() */
    SessionShares shares;    /* what its sessions share with each other */

    uint64_t rate_usec; /* when rate_tokens was right */
    double rate_tokens;
};

/*
 * vm_new() - a VM that is connected to nothing
 * @name: copied
 * @observer: outlives the VM
 *
 * Returns 0 or -ENOMEM.
 */
int vm_new(const char *name, uint32_t id, const VMSettings *settings, const VMObserver *observer,
           VM **ret);

/* vm_is_gone() - nobody finds it any more: it is only there until what it has running is over */
static inline bool vm_is_gone(const VM *vm)
{
    return vm->client.idle != NULL;
}

/* vm_faults() - of the VM, or of the process, which is another VM each time that it connects */
static inline FaultRecord *vm_faults(VM *vm)
{
    return vm->process ? &vm->process->faults : &vm->faults;
}

/* vm_free() - nobody finds it any more: free it now, or when what it has running is over */
void vm_free(VM *vm);

/*
 * vm_attach() - its device is on this connection from now on
 * @leader: the peer's process
 * @hang_up: ends the connection, by way of vm_detach()
 *
 * A registered VM gets a new resume secret.
 */
void vm_attach(VM *vm, Connection *connection, pid_t leader,
               void (*hang_up)(VM *vm, void *userdata), void *userdata);

/*
 * vm_set_started() - what is known since its process runs; nothing of it is changed on failure
 * @leader: the process, or one whose pid is 0: not known. It counts while no device is connected
 * @problem: why the VM has no device, copied; ""; or NULL: not known
 *
 * Returns 0 or -ENOMEM.
 */
int vm_set_started(VM *vm, const Leader *leader, const char *problem);

/* vm_detach() - its device is gone; what it has queued is dropped, what runs is finished */
void vm_detach(VM *vm);

/* vm_hang_up() - end its connection, if it has one. May free a VM that is not registered */
void vm_hang_up(VM *vm);

/* vm_is_place() - is it the processes of a unit or a machine, and has no device? */
static inline bool vm_is_place(const VM *vm)
{
    return vm->device.place.kind != VM_PLACE_NONE;
}

/* vm_is_connected() - its device, or one at least of its processes */
static inline bool vm_is_connected(const VM *vm)
{
    return vm->connection || !TAILQ_EMPTY(&vm->members);
}

/* vm_join(), vm_leave() - a process of a VM that is a place is connected, and is no more */
void vm_join(VM *vm, VMMember *m);
void vm_leave(VMMember *m);

/* vm_dismiss() - end the connections of all that have joined */
void vm_dismiss(VM *vm);

/* vm_send() - a message to its device, which is connected; as connection_send() */
void vm_send(VM *vm, uint32_t type, uint32_t request_id, const void *payload, uint32_t size);

/* vm_send_by() - the same by this connection, its device's or that of a process of its */
void vm_send_by(VM *vm, Connection *connection, uint32_t type, uint32_t request_id,
                const void *payload, uint32_t size);

/*
 * vm_drop_queued() - end all that it has queued
 * @error: VGPU_ERROR_*; NONE: nobody is answered
 */
void vm_drop_queued(VM *vm, uint32_t error);

/*
 * vm_apply() - give it other settings: what it has queued goes along
 * @pool: the one of that letter; NULL: it is not configured, and what is queued stays where it is
 *
 * The caller dispatches the pools when the VM has moved.
 */
void vm_apply(VM *vm, const VMSettings *settings, Pool *pool);

/* vm_configure() - what it is registered with from now on; vm_apply() gives it effect */
void vm_configure(VM *vm, const VMSettings *configured);

/* vm_set_paused() - hold its queue, or let it go on: then the caller dispatches the pools */
void vm_set_paused(VM *vm, bool paused);

/*
 * vm_set_quarantined() - an administrator's: refuse what it submits, or accept it again
 *
 * The process of one that nobody registered has it when it connects again, until it ends.
 * All that it has queued fails with VM_QUARANTINED. The end forgets the VM's faults.
 */
void vm_set_quarantined(VM *vm, bool quarantined);

/* vm_quarantine_until() - the fault limit's; the VM is not quarantined.
 * @usec: CLOCK_REALTIME, for those who want to know; UINT64_MAX: for ever */
void vm_quarantine_until(VM *vm, uint64_t usec);

/* vm_end_quarantine() - the fault limit's time is over */
void vm_end_quarantine(VM *vm);

/* vm_quarantine_reason() - "", "administrator" or "fault-limit"; static */
const char *vm_quarantine_reason(const VM *vm);

/* vm_set_ring() - what there is to see of its ring; 0 and 0: there is none */
void vm_set_ring(VM *vm, uint32_t entries, uint64_t window_size);

/* vm_watch(), vm_unwatch() - the latter does nothing for one that watches nothing */
void vm_watch(VM *vm, VMWatcher *w);
void vm_unwatch(VMWatcher *w);

/* vm_use() - @u uses the VM's device from now on */
void vm_use(VM *vm, VMUser *u);

/* vm_end_use() - and uses it no more: what it has used stays in the sums. Does nothing for one that
 * uses none */
void vm_end_use(VMUser *u);

/* vm_usage() - the sums, since the last vm_reset_usage() */
void vm_usage(const VM *vm, VMUsage *ret);

/* vm_reset_usage() - count from 0 again */
void vm_reset_usage(VM *vm);

/* vm_account() - the account of its sessions' memory, which follows SessionMemoryMax. Returns 0 or
 * a negative errno. @ret: stays the VM's */
int vm_account(VM *vm, MemoryAccount **ret);

/* vm_announce() - tell the observer that it is new or about to go */
void vm_announce(VM *vm, bool added);

/* vm_take_token() - may one more request be submitted now, by the rate limit? */
bool vm_take_token(VM *vm);

/* vm_token_delay_usec() - after vm_take_token() said no: how long until it may say yes? */
uint64_t vm_token_delay_usec(const VM *vm);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is a process the QEMU of a VM, and is that machine there at all? systemd-machined knows the UUID
 * of each machine that libvirt started, and which processes are in it. The question is asked
 * without waiting, over a connection to the bus that is for nothing else: a connection may have
 * only so many calls unanswered, and other callers must not use those up.
 */
#ifndef VGPU_IDENTITY_H
#define VGPU_IDENTITY_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "vm-place.h"

typedef struct Identity Identity;
typedef struct IdentityCheck IdentityCheck;

/* Asks systemd-machined. */
struct Identity {
    sd_event *event;
    int (*open_bus)(sd_bus **ret); /* NULL: this mediator uses no bus */
    sd_bus *bus;                   /* NULL until a question needs it */
    TAILQ_HEAD(, IdentityCheck) asked;
    unsigned n_asked;
    TAILQ_HEAD(, IdentityCheck) waiting; /* to be asked, in their order */
};

typedef enum IdentityVerdict {
    IDENTITY_SAME,          /* the process is in the machine with this UUID */
    IDENTITY_OTHER,         /* in another one */
    IDENTITY_NONE,          /* in no machine */
    IDENTITY_NOBODY_TO_ASK, /* this host has no systemd-machined */
    IDENTITY_CANNOT_ASK,    /* it has, but there is no answer now: a later try may get one */
} IdentityVerdict;

/* The answer. The check is over and still the caller's to free. */
typedef void (*IdentityHandler)(void *userdata, IdentityVerdict verdict);

/* identity_init() - nobody is asked yet, and open_bus is NULL; @event outlives it */
void identity_init(Identity *identity, sd_event *event);

/* identity_clear() - who still waits for an answer is told CANNOT_ASK, from here */
void identity_clear(Identity *identity);

/*
 * identity_check_new() - ask
 * @identity: has open_bus
 * @pid: not 0
 * @uuid: 16 bytes in RFC 4122 order, copied
 * @ret: to be freed with identity_check_free(); nobody is told then
 *
 * The handler is called from the event loop, never from here. Returns 0 or a negative errno:
 * then nothing can be asked now.
 */
int identity_check_new(Identity *identity, pid_t pid, const uint8_t uuid[16],
                       IdentityHandler handler, void *userdata, IdentityCheck **ret);

/*
 * identity_search_new() - the same of a machine: SAME when there is one with this UUID, NONE when
 * there is none, never OTHER
 */
int identity_search_new(Identity *identity, const uint8_t uuid[16], IdentityHandler handler,
                        void *userdata, IdentityCheck **ret);

/*
 * identity_place_new() - which unit, or which machine, is a process in? Of a unit systemd knows it.
 * @kind: VM_PLACE_UNIT or VM_PLACE_MACHINE
 *
 * The verdict is SAME, with a name for identity_check_place(); NONE; NOBODY_TO_ASK; or CANNOT_ASK.
 * It is about whichever process has the number when the question is answered.
 */
int identity_place_new(Identity *identity, pid_t pid, VMPlaceKind kind, IdentityHandler handler,
                       void *userdata, IdentityCheck **ret);

/* identity_check_place() - after SAME; lives as long as @check */
const VMPlace *identity_check_place(const IdentityCheck *check);

/* identity_check_free() - NULL is fine */
IdentityCheck *identity_check_free(IdentityCheck *check);

#endif

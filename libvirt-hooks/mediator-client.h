/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hook's side of org.vgpu.Mediator1. A client has one deadline, for connecting, for the
 * start of the service and for its answers together. No function here blocks longer, whatever
 * the bus and the service do.
 */
#ifndef VGPU_HOOKS_MEDIATOR_CLIENT_H
#define VGPU_HOOKS_MEDIATOR_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "domain.h"

typedef struct MediatorClient MediatorClient;

enum {
    MEDIATOR_REFUSED = 1, /* the mediator works, and its answer is no */
};

/*
 * mediator_client_new() - connect to the system bus
 * @deadline_usec: on CLOCK_MONOTONIC
 *
 * Returns 0 or a negative errno.
 */
int mediator_client_new(uint64_t deadline_usec, MediatorClient **ret);

/* mediator_client_free() - drops the connection without waiting; takes NULL. Returns NULL */
MediatorClient *mediator_client_free(MediatorClient *c);

/* mediator_client_error() - why the last call failed; owned by @c */
const char *mediator_client_error(const MediatorClient *c);

/* What is registered beside the name and the UUID. */
typedef struct MediatorVM {
    DomainDevice device;
    uint64_t window_size;  /* bytes */
    bool needs_machine;    /* only a process of the VM's machine may be this VM */
    const uint32_t *vm_id; /* the number to ask for, or NULL */
} MediatorVM;

/*
 * mediator_client_register() - RegisterVM
 * @ret_vm_id: the number that the VM has
 *
 * Returns 0, MEDIATOR_REFUSED, or a negative errno when there is no answer.
 */
int mediator_client_register(MediatorClient *c, const char *name, const char *uuid,
                             const MediatorVM *vm, uint32_t *ret_vm_id);

/*
 * mediator_client_set_started() - SetVMStarted
 * @pid: of QEMU; 0: not known
 * @problem: why the VM has no device; "": it has one
 *
 * Returns as mediator_client_register().
 */
int mediator_client_set_started(MediatorClient *c, const char *name, pid_t pid,
                                const char *problem);

/*
 * mediator_client_has_machined() - does libvirt register its domains with systemd-machined?
 *
 * Asks the bus what libvirt asks it. Returns 0, or a negative errno when there is no answer.
 */
int mediator_client_has_machined(MediatorClient *c, bool *ret);

/*
 * mediator_client_keep_slot() - have the domain's definition say where its device is
 *
 * Only starts the unit that does it, since libvirt cannot be called from here. Returns 0, or a
 * negative errno.
 */
int mediator_client_keep_slot(MediatorClient *c, const char *uuid);

/*
 * mediator_client_has() - does the mediator know a VM of this name and UUID?
 * @ret: written when the answer is 0
 *
 * Returns 0, or a negative errno when there is no answer.
 */
int mediator_client_has(MediatorClient *c, const char *name, const char *uuid, bool *ret);

/* mediator_client_unregister() - UnregisterVM; returns as mediator_client_register() */
int mediator_client_unregister(MediatorClient *c, const char *name);

#endif

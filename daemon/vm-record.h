/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registration of a VM on disk, in the runtime directory: so that a restart of the mediator
 * knows the VMs that run. It is gone with the host's next boot. vm-overrides.h has what lasts
 * longer.
 */
#ifndef VGPU_VM_RECORD_H
#define VGPU_VM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "leader.h"
#include "vm-place.h"
#include "vm-settings.h"

typedef struct VMRecord {
    char *name;
    uint8_t uuid[16];
    uint32_t id;
    bool require_machine;
    uint64_t window_size; /* 0: the registration does not say */
    VMPlace place;
    VMSettings configured;
    VMSettings settings;
    bool paused;
    bool quarantined;                /* by an administrator */
    uint64_t quarantined_until_usec; /* by the fault limit: CLOCK_REALTIME; 0: not */
    unsigned fault_waits;            /* as in fault-limit.h */
    uint64_t fault_end_usec; /* likewise; CLOCK_MONOTONIC, which goes on until the next boot */
    bool claimed;
    uint8_t resume[16];
    Leader leader;
    char *device_problem; /* NULL: none */
} VMRecord;

/*
 * vm_record_read_all() - every registration in a directory
 * @handler: called for each file: with the record and 0, or with NULL and the errno of a file that
 *     makes no sense. Those that earlier mediators named after the VM come last.
 */
void vm_record_read_all(const char *directory,
                        void (*handler)(void *userdata, const char *path, const VMRecord *record,
                                        int error),
                        void *userdata);

/* vm_record_write() - keep one. Returns 0 or a negative errno */
int vm_record_write(const char *directory, const VMRecord *record);

/* vm_record_remove() - returns 0, also when there is none, or a negative errno */
int vm_record_remove(const char *directory, const uint8_t uuid[16]);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is kept of a VM on disk: a small file, written whole or not at all. There are two
 * kinds, in two directories:
 *
 *   runtime directory   registrations, so that a restart of the mediator knows
 *                       the VMs that run; gone with the host's next boot
 *   state directory     what an administrator made last: settings that go on top
 *                       of later registrations of the same name
 */
#ifndef VGPU_VM_RECORD_H
#define VGPU_VM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "vm-settings.h"

/* All that a file of either kind can hold. */
typedef struct VMRecord {
    char *name; /* NULL: the file has no registration */
    uint8_t uuid[16];
    uint32_t id;
    VMSettings configured;
    VMSettings settings;
    unsigned which; /* the set of settings that is there */
    bool paused;
    bool quarantined;
    bool claimed;
    uint8_t resume[16];
} VMRecord;

/* VM_RECORD_INIT - nothing is there; to be cleared in any case */
#define VM_RECORD_INIT ((VMRecord){0})

void vm_record_clear(VMRecord *record);

/*
 * vm_record_read() - the record of a VM
 * @directory: of the kind wanted
 * @ret: VM_RECORD_INIT; what the file does not say keeps its default, also after a failure
 *
 * Returns 0, 1 when there is none, or a negative errno.
 */
int vm_record_read(const char *directory, const char *name, VMRecord *ret);

/*
 * vm_record_read_all() - every registration in a directory
 * @handler: called for each file, in the order of their names: with the record and 0, or with
 *     NULL and the errno of a file that makes no sense
 */
void vm_record_read_all(const char *directory,
                        void (*handler)(void *userdata, const char *path, const VMRecord *record,
                                        int error),
                        void *userdata);

/*
 * vm_record_write_registration() - keep one that has a name; all settings are there
 *
 * Returns 0 or a negative errno.
 */
int vm_record_write_registration(const char *directory, const VMRecord *record);

/*
 * vm_record_write_settings() - keep settings alone, those of record->which, for a name
 *
 * Waits for the disk, since these settings must survive a loss of power. Returns 0 or a
 * negative errno.
 */
int vm_record_write_settings(const char *directory, const char *name, const VMRecord *record);

/* vm_record_remove() - returns 0, also when there is none, or a negative errno */
int vm_record_remove(const char *directory, const char *name);

#endif

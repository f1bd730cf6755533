/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The attach record: with it the hook, which runs as root, tells the emulator launcher, which
 * runs as QEMU's user, what to attach. Each domain with our element has one file while it runs,
 * named by its UUID, with lines KEY=VALUE.
 */
#ifndef VGPU_HOOKS_RECORD_H
#define VGPU_HOOKS_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "uuid.h"

#define RECORD_TEXT_SIZE 1024

typedef struct Record {
    /* What the mediator knows of the VM. */
    bool registered;
    char pool;    /* 'A' to 'Z' */
    int priority; /* VGPU_PRIORITY_* */
    uint32_t vm_id;
    uint64_t window_size; /* bytes */
    /* Only a process of a machine of systemd-machined may use the record: libvirt's system daemon
     * starts its domains in one, and no user's session can. */
    bool needs_machine;
    int slot; /* where the device was before, or SLOT_*; see slot.h */
    /* The start to come loads a machine's state that has the device. Only between the two calls of
     * the hook; a launcher never sees it. */
    bool loads_state;
    /* Texts of one line, empty where there is nothing to say. */
    char name[RECORD_TEXT_SIZE];     /* the domain's */
    char emulator[RECORD_TEXT_SIZE]; /* what the launcher runs; empty: the distribution's QEMU */
    char problem[RECORD_TEXT_SIZE];  /* why the domain gets no device */
} Record;

/*
 * record_write() - create or replace a record, complete or not at all
 * @directory: created where it is missing; its parent is not
 * @uuid: normalized
 * @record: is registered, or has a problem
 *
 * Returns 0 or a negative errno.
 */
int record_write(const char *directory, const char *uuid, const Record *record);

/*
 * record_read() - read a record, if it can be trusted
 * @owner: must own the file, and be the only user who may write it
 *
 * Returns 0, -ENOENT without a record, -EPERM for one that another user could
 * have written, -EBADMSG for one that makes no sense, or another negative errno.
 */
int record_read(const char *directory, const char *uuid, uid_t owner, Record *ret);

/*
 * record_tidy() - remove the records of domains that ended while no hook was there
 * @owner: as for record_read()
 * @is_running: does the domain of this name and UUID run?
 *
 * A record of the last minutes stays: its domain may be starting.
 */
void record_tidy(const char *directory, uid_t owner,
                 bool (*is_running)(const char *name, const char *uuid));

/* record_remove() - returns 0, -ENOENT without a record, or another negative errno */
int record_remove(const char *directory, const char *uuid);

#endif

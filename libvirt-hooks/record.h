/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The attach record: with it the hook, which runs as root, tells the emulator launcher, which
 * runs as QEMU's user, what to attach. Each domain that is to have a device has one file, named
 * by its UUID, with lines KEY=VALUE.
 */
#ifndef VGPU_HOOKS_RECORD_H
#define VGPU_HOOKS_RECORD_H

#include <stdint.h>
#include <sys/types.h>

#include "uuid.h"

typedef struct Record {
    char pool;    /* 'A' to 'Z' */
    int priority; /* VGPU_PRIORITY_* */
    uint32_t vm_id;
} Record;

/*
 * record_write() - create or replace a record, complete or not at all
 * @directory: created where it is missing; its parent is not
 * @uuid: normalized
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

/* record_remove() - returns 0, -ENOENT without a record, or another negative errno */
int record_remove(const char *directory, const char *uuid);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The attach record: what the hook, as root, tells the emulator launcher, which
 * runs as QEMU's user. One file for each domain that is to have a device, named
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
 * record_read() - read it, if it can be trusted
 * @owner: who must own the file, and be the only one who may write it
 *
 * Returns 0, -ENOENT without a record, -EPERM for one that another user could
 * have written, -EBADMSG for one that makes no sense, or another negative errno.
 */
int record_read(const char *directory, const char *uuid, uid_t owner, Record *ret);

/* record_remove() - 0, -ENOENT without a record, or another negative errno */
int record_remove(const char *directory, const char *uuid);

#endif

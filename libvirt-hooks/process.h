/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The QEMU of a domain that runs: which process it is, and whether it has our device. */
#ifndef VGPU_HOOKS_PROCESS_H
#define VGPU_HOOKS_PROCESS_H

#include <sys/types.h>

#include "uuid.h"

/* In QEMU's environment the launcher says why it has left out the device. */
#define PROCESS_PROBLEM "VGPU_DEVICE_PROBLEM"

#define PROCESS_TEXT_SIZE 1024

typedef struct Process {
    pid_t pid;
    int slot;                        /* of the device, SLOT_ANY or SLOT_NONE; see slot.h */
    char problem[PROCESS_TEXT_SIZE]; /* what the launcher said, as one line; may be empty */
} Process;

/*
 * process_find() - the QEMU of a domain
 * @directory: holds NAME.pid
 * @name: the domain's
 * @uuid: normalized; the process must have been started for it
 *
 * Returns 0, -ESRCH where there is no such process, or another negative errno.
 */
int process_find(const char *directory, const char *name, const char *uuid, Process *ret);

#endif

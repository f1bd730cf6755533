/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process that a VM is, remembered so that another one that got its number later is not taken
 * for it, also by a mediator that was started meanwhile. /proc shows a confined service no other
 * user's processes, so this asks the kernel with a pidfd.
 */
#ifndef VGPU_LEADER_H
#define VGPU_LEADER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Leader {
    pid_t pid; /* 0: none is known */
    /* Of its pidfd, which no other process gets until the next boot. 0: before Linux 6.9 there
     * is no such number, and then a process with its pid is taken for it. */
    uint64_t inode;
} Leader;

/* leader_of() - the process that has this number now */
Leader leader_of(pid_t pid);

/* leader_has_ended() - is one known, and does it run no more? A zombie does not */
bool leader_has_ended(const Leader *leader);

#endif

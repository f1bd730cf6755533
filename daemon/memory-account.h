/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The account of a VM's sessions: the page by which their executors together stay below the
 * device memory that the VM may have. session-protocol.h says how. What stands in a slot is an
 * executor's word, and is not read here.
 */
#ifndef VGPU_MEMORY_ACCOUNT_H
#define VGPU_MEMORY_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "session-protocol.h"

typedef struct MemoryAccount {
    unsigned n_refs;
    int fd; /* the memfd, for executors */
    SessionAccount *page;
    bool taken[SESSION_ACCOUNT_SLOTS];
} MemoryAccount;

/*
 * memory_account_new() - one that the caller has a reference of
 * @memory_max: bytes; UINT64_MAX: no limit
 *
 * Returns 0 or a negative errno.
 */
int memory_account_new(uint64_t memory_max, MemoryAccount **ret);

MemoryAccount *memory_account_ref(MemoryAccount *a);

/* memory_account_unref() - returns NULL. NULL is fine */
MemoryAccount *memory_account_unref(MemoryAccount *a);

/* memory_account_set_max() - from now on; what is allocated stays. @memory_max: as for new() */
void memory_account_set_max(MemoryAccount *a, uint64_t memory_max);

/* memory_account_take_slot() - for one more executor. Returns 0, or -ENOSPC when all are taken */
int memory_account_take_slot(MemoryAccount *a, uint32_t *ret);

/* memory_account_give_slot() - the executor is gone: its memory is nobody's */
void memory_account_give_slot(MemoryAccount *a, uint32_t slot);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The columns of the lists of VMs and pools; "top" shows the same. */
#ifndef VGPU_CTL_LIST_H
#define VGPU_CTL_LIST_H

#include "snapshot.h"
#include "table.h"

#define LIST_VM_COLUMNS 20
#define LIST_POOL_COLUMNS 22

extern const Column list_vm_columns[LIST_VM_COLUMNS];     /* of VMInfo */
extern const Column list_pool_columns[LIST_POOL_COLUMNS]; /* of PoolInfo */

/* list_hide_empty_times() - a VM or a pool without requests has no times instead of zeros */
void list_hide_empty_times(Snapshot *s);

#endif

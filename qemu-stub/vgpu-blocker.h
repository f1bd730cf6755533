/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps QEMU from saving or migrating the VM, for as long as anybody needs. */
#ifndef VGPU_BLOCKER_H
#define VGPU_BLOCKER_H

#include "qapi/error.h"

typedef struct VGPUBlocker {
    unsigned holds;
    Error *reason; /* as QEMU has it, while there are holds */
} VGPUBlocker;

/*
 * vgpu_blocker_hold() - one more reason not to be migrated
 * @what: what whoever tries to save or migrate the VM is told
 *
 * Returns 0, or a negative errno when the VM can't be kept from migrating:
 * -EBUSY while it is being saved or migrated, -EACCES where QEMU was told to
 * take nothing that keeps it from that (-only-migratable).
 */
int vgpu_blocker_hold(VGPUBlocker *blocker, const char *what);

/* vgpu_blocker_release() - one reason less */
void vgpu_blocker_release(VGPUBlocker *blocker);

#endif

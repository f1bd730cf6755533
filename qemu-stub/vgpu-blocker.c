/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU asks its migration blockers before a migration (which saving a VM to a
 * file is, too), and before a snapshot (savevm, snapshot-save).
 */

#include "qemu/osdep.h"
#include "qemu-compat.h"
#include "vgpu-blocker.h"

int vgpu_blocker_hold(VGPUBlocker *blocker, const char *what)
{
    if (blocker->holds == 0) {
        int r;

        error_setg(&blocker->reason, "%s", what);
        r = vgpu_compat_add_blocker(&blocker->reason);
        if (r < 0) {
            return r;
        }
    }
    blocker->holds++;
    return 0;
}

void vgpu_blocker_release(VGPUBlocker *blocker)
{
    assert(blocker->holds > 0);
    blocker->holds--;
    if (blocker->holds == 0) {
        vgpu_compat_del_blocker(&blocker->reason);
    }
}

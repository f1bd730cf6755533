/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CUDA sessions that processes of this machine have on a device. */
#ifndef VGPU_GUEST_SESSION_LIST_H
#define VGPU_GUEST_SESSION_LIST_H

#include "vgpu-ring.h"
#include "vgpu-session.h"
#include "vgpu.h"

typedef struct session_listed {
    uint32_t ring;
    uint32_t state;                         /* VGPU_RING_* */
    uint32_t pid;                           /* as the process said; 0: it has not yet */
    char command[VGPU_SESSION_COMMAND_MAX]; /* likewise; any bytes, ends with 0 */
    uint64_t memory;                        /* bytes of device memory, as the host says */
    uint64_t device_usec;                   /* likewise: how long the device has had work of it */
    uint32_t n_contexts;                    /* likewise */
} session_listed;

/*
 * session_list() - look at the rings of a device
 * @dev: any handle
 * @ret: room for VGPU_RINGS_MAX
 * @ret_rings: how many sessions the device has room for
 *
 * Returns how many sessions there are, or a negative errno; -EOPNOTSUPP when the device knows none.
 */
int session_list(vgpu_device *dev, session_listed ret[static VGPU_RINGS_MAX], uint32_t *ret_rings);

#endif

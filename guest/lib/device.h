/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An open device, as the files of this library see it. */
#ifndef VGPU_GUEST_DEVICE_H
#define VGPU_GUEST_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "deadline.h"
#include "device-access.h"
#include "interrupt.h"
#include "vgpu.h"

/* How far the last request of a handle has come. */
typedef enum request_state {
    REQUEST_NONE,
    REQUEST_SUBMITTED,
    REQUEST_FINISHED, /* the answer can be collected */
} request_state;

struct vgpu_device {
    char address[VGPU_ADDRESS_MAX];
    char *sysfs; /* the roots it was opened with */
    char *dev;

    const access_ops *access;
    int lock_fd;       /* carries the lock */
    struct vfio *vfio; /* with access_vfio */
    volatile uint32_t *bar;
    vgpu_counters counters;

    bool locked;
    bool ring_locked;          /* does this handle have ring 0? */
    uint32_t session_ring;     /* which ring this handle has for a session, or 0 */
    unsigned int window_users; /* how many rings of this handle share the window */
    request_state request;
    uint32_t tag;    /* REQUEST_ID of the last request */
    uint32_t status; /* STATUS that ended it */

    interrupt interrupt; /* for requests, unless they wait by polling */
};

/* The roots that a device was opened with. */
static inline vgpu_paths device_paths(const vgpu_device *dev)
{
    return (vgpu_paths){.sysfs = dev->sysfs, .dev = dev->dev};
}

/* Access a register, and count the access. @offset is a multiple of 4 inside BAR0. */
uint32_t device_read(vgpu_device *dev, uint32_t offset);
void device_write(vgpu_device *dev, uint32_t offset, uint32_t value);

/* device_forget() - in a child of the process that opened it: close the descriptors, and with them
 * the child's hold on the locks. Only vgpu_close() may follow. */
void device_forget(vgpu_device *dev);

/* The steps of a request as in vgpu.h, up to a point in time. */
int device_lock(vgpu_device *dev, deadline until);
int device_lock_ring(vgpu_device *dev, deadline until);
void device_unlock_ring(vgpu_device *dev);

/* device_try_session_ring() - take the lock of ring @ring, 1 to VGPU_RINGS_MAX - 1, which lasts
 * until device_unlock_session_ring() or the end of the process. Returns 0; -EAGAIN when another
 * handle has it; -EBUSY when a program that knows no sessions has the whole window; another
 * negative errno. */
int device_try_session_ring(vgpu_device *dev, uint32_t ring);
void device_unlock_session_ring(vgpu_device *dev, uint32_t ring);

/* device_try_all_session_rings() - keep all processes from having a session. For a handle without
 * one. Returns 0, -EAGAIN when one has a session, or another negative errno. */
int device_try_all_session_rings(vgpu_device *dev);
void device_unlock_all_session_rings(vgpu_device *dev);

/* device_session_ring_is_locked() - does another handle have it? Returns 1, 0, or a negative errno.
 */
int device_session_ring_is_locked(const vgpu_device *dev, uint32_t ring);

/* The lock of the process that turns off the rings of processes that have died: likewise. */
int device_try_keeper(vgpu_device *dev);
void device_unlock_keeper(vgpu_device *dev);
int device_keeper_is_locked(const vgpu_device *dev);

int device_submit(vgpu_device *dev, const void *request, size_t size, deadline until);
int device_wait(vgpu_device *dev, deadline until);
int device_call(vgpu_device *dev, const void *request, size_t size, deadline until, void *response,
                size_t response_size, size_t *ret_size);

/*
 * device_wait_while_busy() - wait until STATUS is not BUSY
 *
 * Returns 0; -ETIMEDOUT when it is BUSY at @until; -EPROTO for a STATUS that does not exist;
 * -ENODEV when the device no longer answers; others from waiting for interrupts.
 */
int device_wait_while_busy(vgpu_device *dev, deadline until, uint32_t *ret_status);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lock of a device: open file description locks on its resource0 file. They belong to the
 * handle, not to the process, and end with it. With VFIO they are on the file of the device's
 * group, of which there is one handle at a time, so they are always free.
 *
 * Two bytes are locked. A handle holds GATE while it waits for DEVICE. So a handle that unlocks and
 * at once locks again comes behind the one that has been waiting. Without that, a waiting handle
 * would hardly ever find the lock free: fcntl(2) cannot wait with a time limit, so the handle only
 * tries from time to time.
 *
 * The ring has a byte of its own. A handle holds it for as long as its ring is on, and every handle
 * can use the registers meanwhile.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#include "device.h"

enum {
    BYTE_DEVICE = 0,
    BYTE_GATE = 1,
    BYTE_RING = 2,
};

#define PAUSE_MAX_NS 1000000u

static int byte_set(vgpu_device *dev, int command, short type, off_t byte)
{
    struct flock lock = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = byte,
        .l_len = 1,
    };

    while (fcntl(dev->lock_fd, command, &lock) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static int byte_lock(vgpu_device *dev, off_t byte, deadline until)
{
    backoff pause = {0};

    if (until == DEADLINE_NEVER)
        return byte_set(dev, F_OFD_SETLKW, F_WRLCK, byte);

    for (;;) {
        int r = byte_set(dev, F_OFD_SETLK, F_WRLCK, byte);

        if (r != -EAGAIN && r != -EACCES)
            return r;
        if (!backoff_pause(&pause, until, PAUSE_MAX_NS))
            return -EBUSY;
    }
}

int device_lock(vgpu_device *dev, deadline until)
{
    int r;

    if (dev->locked)
        return -EALREADY;

    r = byte_lock(dev, BYTE_GATE, until);
    if (r < 0)
        return r;
    r = byte_lock(dev, BYTE_DEVICE, until);
    byte_set(dev, F_OFD_SETLK, F_UNLCK, BYTE_GATE);
    if (r < 0)
        return r;

    dev->locked = true;
    dev->request = REQUEST_NONE;
    return 0;
}

int vgpu_lock(vgpu_device *dev, int timeout_ms)
{
    return device_lock(dev, deadline_after(timeout_ms));
}

int device_lock_ring(vgpu_device *dev, deadline until)
{
    int r;

    if (dev->ring_locked)
        return -EALREADY;

    r = byte_lock(dev, BYTE_RING, until);
    if (r == 0)
        dev->ring_locked = true;
    return r;
}

void device_unlock_ring(vgpu_device *dev)
{
    assert(dev->ring_locked);
    byte_set(dev, F_OFD_SETLK, F_UNLCK, BYTE_RING);
    dev->ring_locked = false;
}

void vgpu_unlock(vgpu_device *dev)
{
    if (!dev->locked)
        return;

    byte_set(dev, F_OFD_SETLK, F_UNLCK, BYTE_DEVICE);
    dev->locked = false;
}

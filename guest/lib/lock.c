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
 * The rings and the memory of the window have bytes of their own. A handle holds that of its ring
 * for as long as the ring is on, and every handle can use the registers meanwhile. The window's
 * memory is shared out in extents (window-share.h), and each extent has a byte, too.
 *
 * Programs with a libvgpu before 1.3 know no extents: whoever has ring 0 has the whole window, and
 * says so by a write lock of WHOLE_WINDOW. All others have a read lock of it: so they exclude those
 * programs, and not each other. RING_0 is then what two users of ring 0 exclude each other by.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#include "device.h"

enum {
    BYTE_DEVICE = 0,
    BYTE_GATE = 1,
    BYTE_WHOLE_WINDOW = 2,
    BYTE_RING_0 = 3,
    BYTE_KEEPER = 4,
    BYTE_SESSION = 16, /* of ring i: + i */
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

/* Be one of those that share the window. */
static int share_window(vgpu_device *dev, deadline until)
{
    backoff pause = {0};
    int r = 0;

    if (dev->window_users == 0)
        while ((r = byte_set(dev, F_OFD_SETLK, F_RDLCK, BYTE_WHOLE_WINDOW)) == -EAGAIN ||
               r == -EACCES)
            if (!backoff_pause(&pause, until, PAUSE_MAX_NS))
                return -EBUSY;
    if (r == 0)
        dev->window_users++;
    return r;
}

static void unshare_window(vgpu_device *dev)
{
    assert(dev->window_users > 0);
    if (--dev->window_users == 0)
        byte_set(dev, F_OFD_SETLK, F_UNLCK, BYTE_WHOLE_WINDOW);
}

int device_lock_ring(vgpu_device *dev, deadline until)
{
    int r;

    if (dev->ring_locked)
        return -EALREADY;

    r = share_window(dev, until);
    if (r < 0)
        return r;
    r = byte_lock(dev, BYTE_RING_0, until);
    if (r == 0)
        dev->ring_locked = true;
    else
        unshare_window(dev);
    return r;
}

void device_unlock_ring(vgpu_device *dev)
{
    assert(dev->ring_locked);
    byte_set(dev, F_OFD_SETLK, F_UNLCK, BYTE_RING_0);
    unshare_window(dev);
    dev->ring_locked = false;
}

int device_try_session_ring(vgpu_device *dev, uint32_t ring)
{
    int r;

    r = share_window(dev, 0);
    if (r < 0)
        return r;
    r = byte_set(dev, F_OFD_SETLK, F_WRLCK, BYTE_SESSION + (off_t) ring);
    if (r < 0)
        unshare_window(dev);
    return r == -EACCES || r == -EAGAIN ? -EAGAIN : r;
}

void device_unlock_session_ring(vgpu_device *dev, uint32_t ring)
{
    byte_set(dev, F_OFD_SETLK, F_UNLCK, BYTE_SESSION + (off_t) ring);
    unshare_window(dev);
}

/* All of them at once, for a moment */
static int session_rings_set(vgpu_device *dev, short type)
{
    struct flock lock = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = BYTE_SESSION,
        .l_len = VGPU_RINGS_MAX,
    };

    while (fcntl(dev->lock_fd, F_OFD_SETLK, &lock) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int device_try_all_session_rings(vgpu_device *dev)
{
    int r;

    assert(dev->session_ring == 0);
    r = session_rings_set(dev, F_WRLCK);
    return r == -EACCES ? -EAGAIN : r;
}

void device_unlock_all_session_rings(vgpu_device *dev)
{
    session_rings_set(dev, F_UNLCK);
}

/* Does another handle have this byte? Returns 1 or 0, or a negative errno. */
static int byte_is_locked(const vgpu_device *dev, off_t byte)
{
    struct flock lock = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = byte,
        .l_len = 1,
    };

    if (fcntl(dev->lock_fd, F_OFD_GETLK, &lock) < 0)
        return -errno;
    return lock.l_type != F_UNLCK;
}

int device_session_ring_is_locked(const vgpu_device *dev, uint32_t ring)
{
    return byte_is_locked(dev, BYTE_SESSION + (off_t) ring);
}

int device_try_keeper(vgpu_device *dev)
{
    int r = byte_set(dev, F_OFD_SETLK, F_WRLCK, BYTE_KEEPER);

    return r == -EACCES || r == -EAGAIN ? -EAGAIN : r;
}

void device_unlock_keeper(vgpu_device *dev)
{
    byte_set(dev, F_OFD_SETLK, F_UNLCK, BYTE_KEEPER);
}

int device_keeper_is_locked(const vgpu_device *dev)
{
    return byte_is_locked(dev, BYTE_KEEPER);
}

void vgpu_unlock(vgpu_device *dev)
{
    if (!dev->locked)
        return;

    byte_set(dev, F_OFD_SETLK, F_UNLCK, BYTE_DEVICE);
    dev->locked = false;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is there a ring, and room in the window, for one process more? */
#include <inttypes.h>
#include <sys/mman.h>

#include "copy-out.h"
#include "device.h"
#include "doctor.h"
#include "session-list.h"
#include "window-share.h"

#define MIB (UINT64_C(1) << 20)
/* Below this, pinned and managed memory of a usual program has no room. */
#define WINDOW_LOW (64 * MIB)
/* A session's area, and small pieces for copies */
#define ROOM_MIN (2 * MIB)
#define WINDOW_MEND                                                                              \
    "with libvirt: window-size='512M' of the element in the domain's XML, see vgpu-libvirt(7); " \
    "without: the property window-size of the device; then shut the machine down and start it"
#define TRIAL 16384u /* bytes */

/* Returns whether one is free. */
static bool doctor_list_sessions(doctor *d, vgpu_device *dev)
{
    session_listed listed[VGPU_RINGS_MAX];
    uint32_t rings;
    int n = session_list(dev, listed, &rings);

    d->n_sessions = n;
    if (n < 0)
        doctor_add(d, "rings", DOCTOR_FAIL, NULL, "Cannot look at the device's rings: %s.",
                   vgpu_strerror(n));
    else if ((uint32_t) n >= rings)
        doctor_add(d, "rings", DOCTOR_FAIL,
                   "end a program that has one; 'vgpu smi' lists them. The device's property rings "
                   "allows 15 at most",
                   "All %" PRIu32 " rings for CUDA sessions are taken.", rings);
    else
        doctor_add(d, "rings", DOCTOR_OK, NULL,
                   "%d of %" PRIu32 " rings for CUDA sessions are taken.", n, rings);
    return n >= 0 && (uint32_t) n < rings;
}

/* Without locks, by VFIO, there is nobody else. @size: of the whole window */
static uint64_t largest_piece(vgpu_device *dev, uint64_t size)
{
    window_share share = {0};
    uint64_t largest = 0;

    if (share_init(&share, dev->lock_fd, size, NULL, NULL) == 0)
        largest = share_largest(&share);
    share_destroy(&share);
    return largest;
}

/* Is the window slow to read for this processor? */
static bool window_is_slow(vgpu_device *dev, uint64_t size)
{
    bool is_slow;
    void *window;

    if (size < TRIAL || dev->access->map(dev, BAR_WINDOW, size, NULL, &window) < 0)
        return false;
    is_slow = copy_out_is_slow(window, TRIAL);
    munmap(window, (size_t) size);
    return is_slow;
}

static bool doctor_window(doctor *d, vgpu_device *dev, uint64_t size)
{
    uint64_t largest = largest_piece(dev, size);
    const char *speed =
        window_is_slow(dev, size) ? " Reading it is slow word by word; copies use wide loads." : "";

    if (largest < ROOM_MIN) {
        doctor_add(d, "window", DOCTOR_FAIL,
                   "end a program that has much of it ('vgpu smi'), or " WINDOW_MEND,
                   "The window's %" PRIu64 " MiB are full: the largest piece has %" PRIu64 " KiB.",
                   size / MIB, largest >> 10);
        return false;
    }
    if (size < WINDOW_LOW)
        doctor_add(d, "window", DOCTOR_WARN, WINDOW_MEND,
                   "The window is small: %" PRIu64 " MiB, of which %" PRIu64
                   " are free in one piece. The pinned and managed memory of all programs has to "
                   "fit, and their copies are "
                   "slower.%s",
                   size / MIB, largest / MIB, speed);
    else
        doctor_add(d, "window", DOCTOR_OK, NULL,
                   "The window has %" PRIu64 " MiB, of which %" PRIu64 " are free in one piece.%s",
                   size / MIB, largest / MIB, speed);
    return true;
}

static bool doctor_no_rings(doctor *d, const vgpu_extension *extension)
{
    if (extension && extension->features & VGPU_EXT_FEATURE_SESSIONS)
        doctor_add(d, "rings", DOCTOR_FAIL,
                   "set the device's property rings to 16, and start the machine again",
                   "The device has one ring, for requests, and none for CUDA sessions.");
    else
        doctor_add(
            d, "rings", DOCTOR_FAIL,
            "update vgpu-mediator and its plugin for QEMU on the host, then shut the machine "
            "down and start it",
            "The host is too old: its device has no rings for CUDA sessions.");
    return false;
}

bool doctor_rings(doctor *d, vgpu_device *dev)
{
    vgpu_extension extension;
    bool has_ring;
    int r = vgpu_get_extension(dev, &extension);

    if (r < 0 || !(extension.features & VGPU_EXT_FEATURE_SESSIONS) ||
        device_read(dev, VGPU_REG_RINGS) < 2)
        return doctor_no_rings(d, r < 0 ? NULL : &extension);
    has_ring = doctor_list_sessions(d, dev);
    return doctor_window(d, dev, extension.window_size) && has_ring;
}

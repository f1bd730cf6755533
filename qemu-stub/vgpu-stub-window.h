/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data window: memory that the guest, the mediator and its executors share. */
#ifndef VGPU_STUB_WINDOW_H
#define VGPU_STUB_WINDOW_H

#include "qemu-compat.h"
#include "vgpu-ring.h"

typedef struct VGPUWindow {
    /* Properties */
    uint64_t size; /* 0: no window, no ring, and no session */
    bool hugepages;

    MemoryRegion region;
} VGPUWindow;

/*
 * vgpu_window_init() - makes the window
 * @window: with its properties set; the size is not 0
 * @dev: owns the window
 *
 * Returns false, and sets @errp, when there can be none.
 */
bool vgpu_window_init(VGPUWindow *window, DeviceState *dev, Error **errp);

/* vgpu_window_cleanup() - gives up the window; nobody may have it any more */
void vgpu_window_cleanup(VGPUWindow *window, DeviceState *dev);

/* vgpu_window_fd() - the window's memfd, which stays the window's own */
static inline int vgpu_window_fd(VGPUWindow *window)
{
    return memory_region_get_fd(&window->region);
}

/*
 * vgpu_window_changed() - another process had the window
 *
 * Migration reads the window like all RAM, but does not see what other
 * processes write there. So all of it counts as changed.
 */
static inline void vgpu_window_changed(VGPUWindow *window)
{
    memory_region_set_dirty(&window->region, 0, window->size);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "qemu/memfd.h"
#include "qapi/error.h"
#include "migration/vmstate.h"
#include "vgpu-stub-window.h"

static bool window_check_size(uint64_t size, Error **errp)
{
    if (!is_power_of_2(size) || size < VGPU_WINDOW_SIZE_MIN ||
        size > VGPU_WINDOW_SIZE_MAX) {
        error_setg(errp, "window-size must be 0 or a power of two from %" PRIu64
                   " to %" PRIu64 ", not %" PRIu64, VGPU_WINDOW_SIZE_MIN,
                   VGPU_WINDOW_SIZE_MAX, size);
        return false;
    }
    return true;
}

bool vgpu_window_init(VGPUWindow *window, DeviceState *dev, Error **errp)
{
    Error *error = NULL;
    int fd;

    if (!window_check_size(window->size, errp)) {
        return false;
    }
    /* Sealed: nobody who maps the window then needs to fear SIGBUS. */
    fd = qemu_memfd_create("vgpu-window", window->size, window->hugepages, 0,
                           F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, errp);
    if (fd < 0) {
        return false;
    }
    memory_region_init_ram_from_fd(&window->region, OBJECT(dev), "vgpu-window",
                                   window->size, RAM_SHARED, fd, 0, &error);
    if (error) {
        error_propagate(errp, error);
        close(fd);
        return false;
    }
    vmstate_register_ram(&window->region, dev);
    return true;
}

void vgpu_window_cleanup(VGPUWindow *window, DeviceState *dev)
{
    vmstate_unregister_ram(&window->region, dev);
}

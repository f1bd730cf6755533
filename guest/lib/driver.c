/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving a device to one of the kernel's drivers. */
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "cleanup.h"
#include "sysfs.h"
#include "vgpu.h"

/* Open the attribute "bind" of the driver. Returns a descriptor or a negative errno. */
static int driver_open_bind(const vgpu_paths *paths, const char *driver)
{
    char path[PATH_MAX];
    int fd, n;

    n = snprintf(path, sizeof(path), "%s/bus/pci/drivers/%s/bind", paths_sysfs(paths), driver);
    if (n < 0 || (size_t) n >= sizeof(path))
        return -ENAMETOOLONG;

    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int driver_bind(const vgpu_paths *paths, const char *address, const char *driver)
{
    CLEANUP_CLOSE int bind_fd = -1;
    int r;

    if (!sysfs_is_vgpu(paths, address))
        return -ENODEV;
    r = sysfs_has_driver(paths, address, driver);
    if (r == 1)
        return 0;
    if (r == 0)
        return -EBUSY;
    if (r != -ENODATA)
        return r;

    bind_fd = driver_open_bind(paths, driver);
    if (bind_fd < 0)
        return bind_fd;

    /* The driver knows no device by number; the override makes it take this one and no other. */
    r = sysfs_write_close(sysfs_open(paths, address, "driver_override", O_WRONLY), driver);
    if (r < 0)
        return r;
    r = sysfs_write_close(TAKE_FD(bind_fd), address);
    if (r < 0)
        sysfs_write_close(sysfs_open(paths, address, "driver_override", O_WRONLY), "\n");
    return r;
}

int vgpu_bind_uio(const vgpu_paths *paths, const char *address)
{
    return driver_bind(paths, address, DRIVER_UIO);
}

int vgpu_bind_vfio(const vgpu_paths *paths, const char *address)
{
    return driver_bind(paths, address, DRIVER_VFIO);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way to a device through its files in sysfs. A kernel that is locked down refuses it: -EPERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "device-access.h"
#include "device.h"
#include "mapping.h"
#include "sysfs.h"
#include "uio.h"

/* The registers of a device that is not enabled read as all ones. A device that has a driver is
 * enabled already, and the kernel would refuse to enable it. */
static int sysfs_enable_memory(const vgpu_paths *paths, const char *address)
{
    uint32_t enabled;
    int r;

    r = sysfs_read_u32(paths, address, "enable", &enabled);
    if (r < 0 || enabled > 0)
        return r;

    return sysfs_write_close(sysfs_open(paths, address, "enable", O_WRONLY), "1");
}

static int sysfs_access_open(vgpu_device *dev)
{
    const vgpu_paths paths = device_paths(dev);
    int r;

    r = sysfs_enable_memory(&paths, dev->address);
    if (r < 0)
        return r;

    dev->lock_fd = sysfs_open(&paths, dev->address, "resource0", O_RDWR);
    return dev->lock_fd < 0 ? dev->lock_fd : 0;
}

static void sysfs_access_close(vgpu_device *dev)
{
    if (dev->lock_fd >= 0)
        close(dev->lock_fd);
}

/* The window is mapped write-combining where the kernel offers that, which it does for a
 * prefetchable BAR: for memory it is never slower than uncached, which is what the other file
 * gives.
 */
static int sysfs_open_bar(const vgpu_paths *paths, const char *address, unsigned int bar)
{
    int fd;

    if (bar == BAR_REGISTERS)
        return sysfs_open(paths, address, "resource0", O_RDWR);
    fd = sysfs_open(paths, address, "resource2_wc", O_RDWR);
    return fd == -ENOENT ? sysfs_open(paths, address, "resource2", O_RDWR) : fd;
}

static int sysfs_access_map(vgpu_device *dev, unsigned int bar, uint64_t size, void *at, void **ret)
{
    const vgpu_paths paths = device_paths(dev);
    CLEANUP_CLOSE int fd = -1;
    struct stat st;

    fd = sysfs_open_bar(&paths, dev->address, bar);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size < 0 || (uint64_t) st.st_size < size)
        return -ERANGE;

    return mapping_create(at, size, fd, 0, ret);
}

static int sysfs_access_map_over(vgpu_device *dev, unsigned int bar, uint64_t offset, uint64_t size,
                                 void *at)
{
    const vgpu_paths paths = device_paths(dev);
    CLEANUP_CLOSE int fd = sysfs_open_bar(&paths, dev->address, bar);

    return fd < 0 ? fd : mapping_replace(at, size, fd, offset);
}

/* Each open file of /dev/uioN counts the interrupts that it has seen by itself. */
static int sysfs_access_open_interrupt(vgpu_device *dev, interrupt_cause cause, interrupt *ret)
{
    const vgpu_paths paths = device_paths(dev);

    (void) cause;
    return uio_open(&paths, dev->address, ret);
}

static int sysfs_access_reset(vgpu_device *dev)
{
    const vgpu_paths paths = device_paths(dev);

    return sysfs_write_close(sysfs_open(&paths, dev->address, "reset", O_WRONLY), "1");
}

const access_ops access_sysfs = {
    .name = "sysfs",
    .open = sysfs_access_open,
    .close = sysfs_access_close,
    .map = sysfs_access_map,
    .map_over = sysfs_access_map_over,
    .open_interrupt = sysfs_access_open_interrupt,
    .reset = sysfs_access_reset,
};

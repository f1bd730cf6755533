/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "address.h"
#include "cleanup.h"
#include "driver.h"
#include "sysfs.h"

static void cleanup_device(vgpu_device **dev)
{
    vgpu_close(*dev);
}

static int device_map_registers(vgpu_device *dev)
{
    void *bar;
    int r;

    r = dev->access->map(dev, BAR_REGISTERS, VGPU_BAR0_SIZE, NULL, &bar);
    if (r < 0)
        return r == -ERANGE ? -ENODEV : r;

    dev->bar = bar;
    return 0;
}

/* Choose a tag that other programs are not likely to use. The tags of this handle count up from it.
 */
static uint32_t first_tag(void)
{
    uint64_t seed = now_nsec() ^ (uint64_t) getpid() << 20;

    return (uint32_t) (seed ^ seed >> 32);
}

static int check_protocol(vgpu_device *dev)
{
    uint32_t version = device_read(dev, VGPU_REG_PROTOCOL_VER);

    if (version == UINT32_MAX)
        return -ENODEV;
    return version == VGPU_PROTOCOL_VERSION ? 0 : -EPROTONOSUPPORT;
}

int vgpu_open(const vgpu_paths *paths, const char *name, vgpu_device **ret)
{
    CLEANUP(cleanup_device) vgpu_device *dev = NULL;
    int r;

    dev = calloc(1, sizeof(*dev));
    if (!dev)
        return -ENOMEM;
    dev->access = &access_sysfs;
    dev->lock_fd = -1;
    dev->interrupt = INTERRUPT_CLOSED;
    dev->tag = first_tag();

    dev->sysfs = strdup(paths_sysfs(paths));
    dev->dev = strdup(paths_dev(paths));
    if (!dev->sysfs || !dev->dev)
        return -ENOMEM;

    r = address_find(paths, name, dev->address);
    if (r < 0)
        return r;
    if (sysfs_has_driver(paths, dev->address, DRIVER_VFIO) == 1)
        dev->access = &access_vfio;
    r = dev->access->open(dev);
    if (r < 0)
        return r;
    r = device_map_registers(dev);
    if (r < 0)
        return r;
    r = check_protocol(dev);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(dev);
    return 0;
}

/* Can the kernel reset the device in the one way that the device knows? The kernel's other ways are
 * for a whole bus or slot, or do nothing to the device. */
static int check_has_flr(const vgpu_paths *paths, const char *address)
{
    CLEANUP_CLOSE int fd = sysfs_open(paths, address, "reset_method", O_RDONLY);
    char methods[64];
    ssize_t n;

    if (fd < 0)
        return fd == -ENOENT ? -EOPNOTSUPP : fd;

    n = read(fd, methods, sizeof(methods) - 1);
    if (n < 0)
        return -errno;
    methods[n] = '\0';
    return strstr(methods, "flr") ? 0 : -EOPNOTSUPP;
}

int vgpu_reset(vgpu_device *dev)
{
    const vgpu_paths paths = device_paths(dev);
    int r;

    if (!dev->locked)
        return -ENOLCK;

    r = check_has_flr(&paths, dev->address);
    if (r < 0)
        return r;

    r = device_try_all_session_rings(dev);
    if (r < 0)
        return r == -EAGAIN ? -EBUSY : r;
    dev->request = REQUEST_NONE;
    r = dev->access->reset(dev);
    device_unlock_all_session_rings(dev);
    return r;
}

vgpu_device *vgpu_close(vgpu_device *dev)
{
    if (!dev)
        return NULL;

    vgpu_disable_interrupts(dev);
    if (dev->bar)
        munmap((void *) dev->bar, VGPU_BAR0_SIZE);
    dev->access->close(dev); /* and with it the lock */
    free(dev->sysfs);
    free(dev->dev);
    free(dev);
    return NULL;
}

void device_forget(vgpu_device *dev)
{
    interrupt_close(&dev->interrupt);
    dev->access->close(dev);
    dev->lock_fd = -1;
    dev->vfio = NULL;
}

int vgpu_enable_interrupts(vgpu_device *dev)
{
    if (interrupt_is_open(&dev->interrupt))
        return 0;
    return dev->access->open_interrupt(dev, INTERRUPT_REQUEST, &dev->interrupt);
}

void vgpu_disable_interrupts(vgpu_device *dev)
{
    interrupt_close(&dev->interrupt);
}

const char *vgpu_get_access(const vgpu_device *dev)
{
    return dev->access->name;
}

const char *vgpu_get_address(const vgpu_device *dev)
{
    return dev->address;
}

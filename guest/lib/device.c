/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "parse.h"
#include "sysfs.h"

static void cleanup_device(vgpu_device **dev)
{
    vgpu_close(*dev);
}

/* Write a PCI address as sysfs writes it. */
static int parse_address(const char *name, char ret_address[static VGPU_ADDRESS_MAX])
{
    unsigned int domain = 0, bus, slot, function;
    int end = 0;

    if (sscanf(name, "%x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) != 4 ||
        name[end] != '\0') {
        domain = 0;
        end = 0;
        if (sscanf(name, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) != 3 || name[end] != '\0')
            return -EINVAL;
    }

    snprintf(ret_address, VGPU_ADDRESS_MAX, "%04x:%02x:%02x.%x", domain, bus, slot, function);
    return 0;
}

/* Find the device that @name means. */
static int choose_address(const vgpu_paths *paths, const char *name,
                          char ret_address[static VGPU_ADDRESS_MAX])
{
    CLEANUP_FREE vgpu_found *list = NULL;
    char address[VGPU_ADDRESS_MAX] = "";
    uint64_t index = 0;
    size_t n;
    int r;

    if (name && parse_u64(name, 0, UINT64_MAX, &index) < 0 && parse_address(name, address) < 0)
        return -EINVAL;

    r = vgpu_find(paths, &list, &n);
    if (r < 0)
        return r;

    if (address[0] != '\0')
        for (index = 0; index < n && strcmp(list[index].address, address) != 0;)
            index++;
    if (index >= n)
        return -ENODEV;

    memcpy(ret_address, list[index].address, VGPU_ADDRESS_MAX);
    return 0;
}

/* The registers of a device that is not enabled read as all ones. A device that has a driver is
 * enabled already, and the kernel would refuse to enable it. */
static int enable_memory(const vgpu_paths *paths, const char *address)
{
    uint32_t enabled;
    int r;

    r = sysfs_read_u32(paths, address, "enable", &enabled);
    if (r < 0 || enabled > 0)
        return r;

    return sysfs_write_close(sysfs_open(paths, address, "enable", O_WRONLY), "1");
}

static int map_registers(vgpu_device *dev, const vgpu_paths *paths)
{
    struct stat st;
    void *bar;

    dev->resource_fd = sysfs_open(paths, dev->address, "resource0", O_RDWR);
    if (dev->resource_fd < 0)
        return dev->resource_fd;

    if (fstat(dev->resource_fd, &st) < 0)
        return -errno;
    if (st.st_size < (off_t) VGPU_BAR0_SIZE)
        return -ENODEV;

    bar = mmap(NULL, VGPU_BAR0_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, dev->resource_fd, 0);
    if (bar == MAP_FAILED)
        return -errno;

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
    dev->resource_fd = dev->uio_fd = dev->config_fd = -1;
    dev->tag = first_tag();

    dev->sysfs = strdup(paths_sysfs(paths));
    dev->dev = strdup(paths_dev(paths));
    if (!dev->sysfs || !dev->dev)
        return -ENOMEM;

    r = choose_address(paths, name, dev->address);
    if (r < 0)
        return r;
    r = enable_memory(paths, dev->address);
    if (r < 0)
        return r;
    r = map_registers(dev, paths);
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
    const vgpu_paths paths = {.sysfs = dev->sysfs, .dev = dev->dev};
    int r;

    if (!dev->locked)
        return -ENOLCK;

    r = check_has_flr(&paths, dev->address);
    if (r < 0)
        return r;

    dev->request = REQUEST_NONE;
    return sysfs_write_close(sysfs_open(&paths, dev->address, "reset", O_WRONLY), "1");
}

vgpu_device *vgpu_close(vgpu_device *dev)
{
    if (!dev)
        return NULL;

    vgpu_disable_interrupts(dev);
    if (dev->bar)
        munmap((void *) dev->bar, VGPU_BAR0_SIZE);
    if (dev->resource_fd >= 0)
        close(dev->resource_fd); /* and with it the lock */
    free(dev->sysfs);
    free(dev->dev);
    free(dev);
    return NULL;
}

const char *vgpu_get_address(const vgpu_device *dev)
{
    return dev->address;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "device.h"
#include "sysfs.h"

#define DRIVER "uio_pci_generic"

/* Offsets and bits in the PCI configuration space. */
#define PCI_COMMAND 4
#define PCI_COMMAND_INTX_DISABLE 0x400u

int uio_find_number(const vgpu_paths *paths, const char *address)
{
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_CLOSEDIR DIR *dir = NULL;
    struct dirent *entry;

    /* Other UIO drivers have the same files, but do not mask the interrupt the same way. */
    if (sysfs_has_driver(paths, address, DRIVER) != 1)
        return -ENXIO;

    fd = sysfs_open(paths, address, "uio", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return -ENXIO;
    dir = fdopendir(fd);
    if (!dir)
        return -errno;
    TAKE_FD(fd);

    while ((entry = readdir(dir))) {
        int number, end = 0;

        if (sscanf(entry->d_name, "uio%d%n", &number, &end) == 1 && entry->d_name[end] == '\0')
            return number;
    }
    return -ENXIO;
}

/* Open the attribute "bind" of the driver. Returns a descriptor or a negative errno. */
static int open_bind(const vgpu_paths *paths)
{
    char path[PATH_MAX];
    int fd, n;

    n = snprintf(path, sizeof(path), "%s/bus/pci/drivers/" DRIVER "/bind", paths_sysfs(paths));
    if (n < 0 || (size_t) n >= sizeof(path))
        return -ENAMETOOLONG;

    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int vgpu_bind_uio(const vgpu_paths *paths, const char *address)
{
    CLEANUP_CLOSE int bind_fd = -1;
    int r;

    if (!sysfs_is_vgpu(paths, address))
        return -ENODEV;
    r = sysfs_has_driver(paths, address, DRIVER);
    if (r == 1)
        return 0;
    if (r == 0)
        return -EBUSY;
    if (r != -ENODATA)
        return r;

    bind_fd = open_bind(paths);
    if (bind_fd < 0)
        return bind_fd;

    /* The driver knows no device by number; the override makes it take this one and no other. */
    r = sysfs_write_close(sysfs_open(paths, address, "driver_override", O_WRONLY), DRIVER);
    if (r < 0)
        return r;
    r = sysfs_write_close(TAKE_FD(bind_fd), address);
    if (r < 0)
        sysfs_write_close(sysfs_open(paths, address, "driver_override", O_WRONLY), "\n");
    return r;
}

int uio_open(const vgpu_device *dev, int *ret_uio_fd, int *ret_config_fd)
{
    const vgpu_paths paths = {.sysfs = dev->sysfs, .dev = dev->dev};
    CLEANUP_CLOSE int uio_fd = -1, config_fd = -1;
    char path[PATH_MAX];
    int n, number;

    number = uio_find_number(&paths, dev->address);
    if (number < 0)
        return number;

    n = snprintf(path, sizeof(path), "%s/uio%d", dev->dev, number);
    if (n < 0 || (size_t) n >= sizeof(path))
        return -ENAMETOOLONG;
    uio_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (uio_fd < 0)
        return -errno;
    config_fd = sysfs_open(&paths, dev->address, "config", O_RDWR);
    if (config_fd < 0)
        return config_fd;

    *ret_uio_fd = TAKE_FD(uio_fd);
    *ret_config_fd = TAKE_FD(config_fd);
    return 0;
}

int vgpu_enable_interrupts(vgpu_device *dev)
{
    return dev->uio_fd >= 0 ? 0 : uio_open(dev, &dev->uio_fd, &dev->config_fd);
}

void vgpu_disable_interrupts(vgpu_device *dev)
{
    if (dev->uio_fd >= 0)
        close(dev->uio_fd);
    if (dev->config_fd >= 0)
        close(dev->config_fd);
    dev->uio_fd = dev->config_fd = -1;
}

int uio_unmask(int config_fd)
{
    uint16_t command;
    ssize_t n;

    n = pread(config_fd, &command, sizeof(command), PCI_COMMAND);
    if (n != sizeof(command))
        return n < 0 ? -errno : -EIO;
    if (!(command & PCI_COMMAND_INTX_DISABLE))
        return 0;

    command &= (uint16_t) ~PCI_COMMAND_INTX_DISABLE;
    n = pwrite(config_fd, &command, sizeof(command), PCI_COMMAND);
    if (n != sizeof(command))
        return n < 0 ? -errno : -EIO;
    return 0;
}

int uio_sleep(int uio_fd, int wake_fd, deadline until)
{
    struct pollfd fds[] = {
        {.fd = uio_fd, .events = POLLIN},
        {.fd = wake_fd, .events = POLLIN},
    };
    uint64_t wakes;
    int32_t count;
    ssize_t n;
    int r;

    do {
        uint64_t left = deadline_left(until, now_nsec());
        struct timespec ts = {
            .tv_sec = (time_t) (left / NSEC_PER_SEC),
            .tv_nsec = (long) (left % NSEC_PER_SEC),
        };

        r = ppoll(fds, ELEMENTSOF(fds), until == DEADLINE_NEVER ? NULL : &ts, NULL);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    if (r == 0)
        return -ETIMEDOUT;

    if (fds[1].revents && read(wake_fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
        return -errno;
    if (!fds[0].revents)
        return 1;

    /* This reads the number of interrupts so far, and marks them as seen. The number is of no use:
     * the device says what has happened. */
    n = read(uio_fd, &count, sizeof(count));
    if (n != sizeof(count))
        return n < 0 ? -errno : -EIO;
    return 0;
}

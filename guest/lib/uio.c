/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "cleanup.h"
#include "driver.h"
#include "sysfs.h"

int uio_find_number(const vgpu_paths *paths, const char *address)
{
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_CLOSEDIR DIR *dir = NULL;
    struct dirent *entry;

    /* Other UIO drivers have the same files, but do not mask the interrupt the same way. */
    if (sysfs_has_driver(paths, address, DRIVER_UIO) != 1)
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

int uio_open(const vgpu_paths *paths, const char *address, interrupt *ret)
{
    CLEANUP_CLOSE int uio_fd = -1, config_fd = -1;
    char path[PATH_MAX];
    int n, number;

    number = uio_find_number(paths, address);
    if (number < 0)
        return number;

    n = snprintf(path, sizeof(path), "%s/uio%d", paths_dev(paths), number);
    if (n < 0 || (size_t) n >= sizeof(path))
        return -ENAMETOOLONG;
    uio_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (uio_fd < 0)
        return -errno;
    config_fd = sysfs_open(paths, address, "config", O_RDWR);
    if (config_fd < 0)
        return config_fd;

    *ret = (interrupt){.fd = TAKE_FD(uio_fd), .config_fd = TAKE_FD(config_fd)};
    return 0;
}

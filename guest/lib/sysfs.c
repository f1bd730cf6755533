/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

const char *paths_sysfs(const vgpu_paths *paths)
{
    return paths && paths->sysfs ? paths->sysfs : "/sys";
}

const char *paths_dev(const vgpu_paths *paths)
{
    return paths && paths->dev ? paths->dev : "/dev";
}

static int device_path(const vgpu_paths *paths, const char *address, const char *file,
                       char ret_path[static PATH_MAX])
{
    int n =
        snprintf(ret_path, PATH_MAX, "%s/bus/pci/devices/%s/%s", paths_sysfs(paths), address, file);

    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int sysfs_open(const vgpu_paths *paths, const char *address, const char *file, int flags)
{
    char path[PATH_MAX];
    int fd, r;

    r = device_path(paths, address, file, path);
    if (r < 0)
        return r;

    fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int sysfs_read_u32(const vgpu_paths *paths, const char *address, const char *file,
                   uint32_t *ret_value)
{
    CLEANUP_CLOSE int fd = sysfs_open(paths, address, file, O_RDONLY);
    char text[32];
    char *end;
    unsigned long value;
    ssize_t n;

    if (fd < 0)
        return fd;

    n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';

    errno = 0;
    value = strtoul(text, &end, 0);
    if (errno != 0 || end == text || (*end != '\n' && *end != '\0') || value > UINT32_MAX)
        return -EBADMSG;

    *ret_value = (uint32_t) value;
    return 0;
}

int sysfs_write_close(int fd, const char *text)
{
    CLEANUP_CLOSE int owned = fd;
    size_t size = strlen(text);
    ssize_t n;

    if (owned < 0)
        return owned;

    n = write(owned, text, size);
    if (n < 0)
        return -errno;
    return (size_t) n == size ? 0 : -EIO;
}

bool sysfs_is_vgpu(const vgpu_paths *paths, const char *address)
{
    static const struct {
        const char *file;
        uint32_t value;
    } wanted[] = {
        {"vendor", VGPU_PCI_VENDOR_ID},
        {"device", VGPU_PCI_DEVICE_ID},
        {"class", VGPU_PCI_CLASS_CODE},
        {"revision", VGPU_PCI_REVISION},
    };

    for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
        uint32_t value = 0;

        if (sysfs_read_u32(paths, address, wanted[i].file, &value) < 0 || value != wanted[i].value)
            return false;
    }

    return true;
}

int sysfs_read_link(const vgpu_paths *paths, const char *address, const char *file,
                    char ret_target[static PATH_MAX])
{
    char path[PATH_MAX];
    ssize_t n;
    int r;

    r = device_path(paths, address, file, path);
    if (r < 0)
        return r;

    n = readlink(path, ret_target, PATH_MAX - 1);
    if (n < 0)
        return -errno;
    ret_target[n] = '\0';
    return 0;
}

const char *sysfs_last_component(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

int sysfs_has_driver(const vgpu_paths *paths, const char *address, const char *driver)
{
    char target[PATH_MAX];
    int r;

    r = sysfs_read_link(paths, address, "driver", target);
    if (r < 0)
        return r == -ENOENT ? -ENODATA : r;

    return strcmp(sysfs_last_component(target), driver) == 0;
}

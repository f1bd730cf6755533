/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "sysfs.h"
#include "uio.h"
#include "vgpu.h"

static int compare_found(const void *a, const void *b)
{
    const vgpu_found *x = a, *y = b;
    size_t x_len = strlen(x->address), y_len = strlen(y->address);

    /* Domains beyond ffff have more digits; of equal length, text order is number order. */
    if (x_len != y_len)
        return x_len < y_len ? -1 : 1;
    return strcmp(x->address, y->address);
}

static vgpu_found found_describe(const vgpu_paths *paths, const char *address)
{
    vgpu_found found = {.uio = uio_find_number(paths, address)};
    uint32_t enabled;

    snprintf(found.address, sizeof(found.address), "%s", address);
    found.enabled = sysfs_read_u32(paths, address, "enable", &enabled) == 0 && enabled > 0;
    if (found.uio < 0)
        found.uio = -1;
    return found;
}

/* Append to an array. Its room is always a power of two, or nothing. */
static int found_append(vgpu_found **list, size_t *n, vgpu_found found)
{
    if ((*n & (*n - 1)) == 0) {
        vgpu_found *bigger = reallocarray(*list, *n == 0 ? 1 : *n * 2, sizeof(found));

        if (!bigger)
            return -ENOMEM;
        *list = bigger;
    }

    (*list)[(*n)++] = found;
    return 0;
}

int vgpu_find(const vgpu_paths *paths, vgpu_found **ret_list, size_t *ret_n)
{
    CLEANUP_FREE vgpu_found *list = NULL;
    CLEANUP_CLOSEDIR DIR *dir = NULL;
    char path[PATH_MAX];
    struct dirent *entry;
    size_t n = 0;
    int length, r;

    length = snprintf(path, sizeof(path), "%s/bus/pci/devices", paths_sysfs(paths));
    if (length < 0 || (size_t) length >= sizeof(path))
        return -ENAMETOOLONG;

    dir = opendir(path);
    if (!dir && errno != ENOENT)
        return -errno;

    while (dir && (errno = 0, entry = readdir(dir))) {
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= VGPU_ADDRESS_MAX ||
            !sysfs_is_vgpu(paths, entry->d_name))
            continue;

        r = found_append(&list, &n, found_describe(paths, entry->d_name));
        if (r < 0)
            return r;
    }
    if (dir && errno != 0)
        return -errno;

    if (n > 0)
        qsort(list, n, sizeof(*list), compare_found);

    *ret_list = TAKE_PTR(list);
    *ret_n = n;
    return 0;
}

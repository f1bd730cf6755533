/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "parse.h"

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

int address_find(const vgpu_paths *paths, const char *name,
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-util.h"

#include <errno.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

#include "names.h"

/* What a client written with sd-bus gets as errno. */
static const sd_bus_error_map error_map[] = {
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_NO_SUCH_VM, ENOENT),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_NO_SUCH_POOL, ENODEV),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_INVALID_PRIORITY, EINVAL),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_INVALID_NAME, EINVAL),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_INVALID_UUID, EINVAL),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_INVALID_LIMIT, ERANGE),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_VM_EXISTS, EEXIST),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_VM_ID_TAKEN, EBUSY),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_NOT_REGISTERED, EPERM),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_NOT_KEPT, EROFS),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_UNREADABLE, EIO),
    SD_BUS_ERROR_MAP_END,
};

int bus_add_errors(void)
{
    return sd_bus_error_add_map(error_map);
}

char *bus_object_path(const char *prefix, const char *name)
{
    char *path = NULL;

    return sd_bus_path_encode(prefix, name, &path) < 0 ? NULL : path;
}

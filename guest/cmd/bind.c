/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu bind: gives a device to vfio-pci. */
#include <errno.h>
#include <string.h>

#include "command.h"

static int complain_bind(const char *address, int result)
{
    switch (result) {
    case -ENOENT:
        complain("%s: the kernel's driver vfio-pci is not there; load it with 'modprobe vfio-pci'",
                 address);
        break;
    case -EBUSY:
        complain("%s: the device is bound to another driver; free it with 'echo %s "
                 ">/sys/bus/pci/devices/%s/driver/unbind'",
                 address, address, address);
        break;
    case -EINVAL:
        complain("%s: vfio-pci does not take the device, because this machine has no IOMMU, or has "
                 "it switched off; see SECURE BOOT in vgpu(1)",
                 address);
        break;
    default:
        complain("%s: cannot bind the device to vfio-pci: %s", address, strerror(-result));
    }
    return EXIT_SYSTEM;
}

int command_bind(const options *o, char **argv)
{
    char address[VGPU_ADDRESS_MAX];
    int r;

    (void) argv;
    r = choose_device(o->device, address);
    if (r != EXIT_OK)
        return r;

    r = vgpu_bind_vfio(NULL, address);
    return r < 0 ? complain_bind(address, r) : EXIT_OK;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the device is. */
#include <stdio.h>
#include <string.h>

#include "client-internal.h"
#include "session-device.h"

/* An operation that fills @size bytes of the window */
static int device_ask(vgpu_session *s, uint16_t opcode, void *ret, size_t size)
{
    VGPUSessionDeviceInfo parameters;
    VGPUSessionReply reply;
    void *into;
    int r;

    r = vgpu_session_window_alloc(s, size, 0, &into);
    if (r != 0)
        return r;
    (void) vgpu_session_window_bytes(s, into, size, &parameters.into);
    r = vgpu_session_call(s, opcode, NULL, &parameters, sizeof(parameters), NULL, 0, &reply);
    if (r == 0 && reply.value[0] < size)
        r = VGPU_CUDA_ERROR_UNKNOWN;
    if (r == 0)
        memcpy(ret, into, size);
    if (client_usable(s) == 0)
        vgpu_session_window_free(s, into);
    return r;
}

int vgpu_session_device_get(vgpu_session *s, VGPUSessionDevice *ret)
{
    int r = device_ask(s, VGPU_SESSION_OP_DEVICE_INFO, ret, sizeof(*ret));

    if (r == 0)
        ret->name[sizeof(ret->name) - 1] = '\0';
    return r;
}

int vgpu_session_board_get(vgpu_session *s, VGPUSessionBoard *ret)
{
    int r = device_ask(s, VGPU_SESSION_OP_BOARD_INFO, ret, sizeof(*ret));

    if (r == 0)
        ret->driver[sizeof(ret->driver) - 1] = '\0';
    return r;
}

void session_device_uuid_text(const VGPUSessionDevice *device,
                              char ret[static SESSION_UUID_TEXT_SIZE])
{
    char *p = stpcpy(ret, "GPU-");

    for (int i = 0; i < 16; i++)
        p +=
            sprintf(p, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", device->uuid[i]);
}

void session_device_set_address(VGPUSessionDevice *device, const char *name)
{
    enum { PCI_BUS_ID = 33, PCI_DEVICE_ID = 34, PCI_DOMAIN_ID = 50 };
    unsigned domain, bus, number;

    if (sscanf(name, "%x:%x:%x.", &domain, &bus, &number) != 3)
        return;
    device->attribute[PCI_DOMAIN_ID].value = (int) domain;
    device->attribute[PCI_BUS_ID].value = (int) bus;
    device->attribute[PCI_DEVICE_ID].value = (int) number;
}

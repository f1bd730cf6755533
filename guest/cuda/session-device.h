/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How this machine's programs know the device of a session. */
#ifndef VGPU_GUEST_SESSION_DEVICE_H
#define VGPU_GUEST_SESSION_DEVICE_H

#include "vgpu-session.h"

/* With the 0 */
#define SESSION_UUID_TEXT_SIZE 41

/* session_device_uuid_text() - "GPU-" and the UUID */
void session_device_uuid_text(const VGPUSessionDevice *device,
                              char ret[static SESSION_UUID_TEXT_SIZE]);

/*
 * session_device_set_address() - set the attributes that say where it is on the bus
 * @name: the session's
 *
 * In a guest the device has the address of its PCI device there, so that sysfs and CUDA speak of
 * the same. A container sees the host's devices, and the host's address with them.
 */
void session_device_set_address(VGPUSessionDevice *device, const char *name);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_GUEST_ADDRESS_H
#define VGPU_GUEST_ADDRESS_H

#include "vgpu.h"

/* address_find() - which device does @name, as in vgpu_open(), mean? The device is not touched.
 * Returns 0; -EINVAL, -ENODEV as vgpu_open(); or as vgpu_find(). */
int address_find(const vgpu_paths *paths, const char *name,
                 char ret_address[static VGPU_ADDRESS_MAX]);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VGPU_STUB_H
#define VGPU_STUB_H

#define TYPE_VGPU_STUB "vgpu-stub"

/*
 * vgpu_stub_register_types() - makes the device known to QEMU
 *
 * QEMU calls it by itself when the device is built in; the plugin has to.
 */
void vgpu_stub_register_types(void);

#endif

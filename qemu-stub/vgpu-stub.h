/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VGPU_STUB_H
#define VGPU_STUB_H

#define TYPE_VGPU_STUB "vgpu-stub"

/*
 * vgpu_stub_register_types() - makes the device known to QEMU
 *
 * A QEMU that has the device built in calls this by itself; the plugin calls it
 * here.
 */
void vgpu_stub_register_types(void);

#endif

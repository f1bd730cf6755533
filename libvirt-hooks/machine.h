/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's machine types. */
#ifndef VGPU_HOOKS_MACHINE_H
#define VGPU_HOOKS_MACHINE_H

/*
 * machine_root_bus() - the name of the PCI bus that the device goes to
 * @type: a machine type, "pc-q35-7.2" for example; need not be terminated
 * @length: its characters
 *
 * Returns a static string, or NULL for a type that has no PCI or is not known.
 */
const char *machine_root_bus(const char *type, unsigned length);

#endif

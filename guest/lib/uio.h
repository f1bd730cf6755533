/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's INTx, by way of the kernel's uio_pci_generic driver. */
#ifndef VGPU_GUEST_UIO_H
#define VGPU_GUEST_UIO_H

#include "interrupt.h"
#include "vgpu.h"

/* Returns the N of the device's /dev/uioN, or -ENXIO when the device is not bound to
 * uio_pci_generic. */
int uio_find_number(const vgpu_paths *paths, const char *address);

/* Open the device's /dev/uioN and its PCI configuration space. Returns 0, or as
 * vgpu_enable_interrupts(). */
int uio_open(const vgpu_paths *paths, const char *address, interrupt *ret);

#endif

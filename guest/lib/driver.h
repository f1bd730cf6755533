/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's drivers that can have the device. */
#ifndef VGPU_GUEST_DRIVER_H
#define VGPU_GUEST_DRIVER_H

#define DRIVER_UIO "uio_pci_generic"
#define DRIVER_VFIO "vfio-pci"

#endif

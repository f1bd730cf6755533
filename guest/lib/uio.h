/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's interrupt, by way of the kernel's uio_pci_generic driver. */
#ifndef VGPU_GUEST_UIO_H
#define VGPU_GUEST_UIO_H

#include "deadline.h"
#include "vgpu.h"

/* Returns the N of the device's /dev/uioN, or -ENXIO when the device is not bound to
 * uio_pci_generic. */
int uio_find_number(const vgpu_paths *paths, const char *address);

/* Open the device's /dev/uioN and its PCI configuration space. Returns 0, or as
 * vgpu_enable_interrupts(). */
int uio_open(const vgpu_device *dev, int *ret_uio_fd, int *ret_config_fd);

/* Clear Interrupt Disable in the PCI command register. Returns 0 or a negative errno. */
int uio_unmask(int config_fd);

/* Sleep until there is an interrupt that nobody has read yet, and read it; or until the eventfd
 * @wake_fd (or -1) is set, and read that. Returns 0 after an interrupt, 1 after @wake_fd alone,
 * -ETIMEDOUT at @until, or another negative errno. */
int uio_sleep(int uio_fd, int wake_fd, deadline until);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ways to a device: through its files in sysfs and the kernel's uio_pci_generic, or through
 * VFIO where the device is bound to vfio-pci. vgpu_open() chooses; the rest of this library does
 * not know which it is.
 */
#ifndef VGPU_GUEST_DEVICE_ACCESS_H
#define VGPU_GUEST_DEVICE_ACCESS_H

#include <stdint.h>

#include "interrupt.h"
#include "vgpu.h"

/* PCI base address registers. */
#define BAR_REGISTERS 0u
#define BAR_WINDOW 2u

typedef struct access_ops {
    const char *name; /* for vgpu_get_access() */

    /*
     * open() - open the device at @dev->address and enable its memory
     *
     * Sets @dev->lock_fd, a descriptor that carries the lock, and with VFIO @dev->vfio. Returns 0
     * or as vgpu_open(); close() is called after a failure too.
     */
    int (*open)(vgpu_device *dev);

    /* close() - undo that; does nothing to what has not been opened */
    void (*close)(vgpu_device *dev);

    /* map() - map the first @size bytes of a BAR, shared, at the address @at, or, if that is NULL,
     * anywhere; unmap them with munmap(). Returns 0, -ERANGE when it is smaller, -EEXIST when there
     * is something at @at, or another negative errno. */
    int (*map)(vgpu_device *dev, unsigned int bar, uint64_t size, void *at, void **ret);

    /* map_over() - map @size bytes of a BAR from @offset on at @at, over what is there: whole
     * pages. For any thread. Returns 0 or a negative errno. */
    int (*map_over)(vgpu_device *dev, unsigned int bar, uint64_t offset, uint64_t size, void *at);

    /* open_interrupt() - open an interrupt; the caller closes @ret. For any thread. Returns 0 or as
     * vgpu_enable_interrupts(). */
    int (*open_interrupt)(vgpu_device *dev, interrupt_cause cause, interrupt *ret);

    /* reset() - a function level reset, which the kernel can do. Returns 0 or a negative errno. */
    int (*reset)(vgpu_device *dev);
} access_ops;

extern const access_ops access_sysfs;
extern const access_ops access_vfio;

#endif

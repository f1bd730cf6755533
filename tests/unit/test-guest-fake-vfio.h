/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's VFIO, as far as libvgpu uses it, in front of the model of a device. Takes the place
 * of ioctl(), open() and mmap(), by the linker's --wrap; what is not for VFIO goes to the real
 * ones.
 */
#ifndef TEST_GUEST_FAKE_VFIO_H
#define TEST_GUEST_FAKE_VFIO_H

#include <stdbool.h>

#include "interrupt.h"
#include "test-guest-model.h"
#include "test-guest-sysfs.h"

typedef struct fake_vfio {
    /* What differs from a machine where all is well. */
    bool is_used;     /* does another program have the device? */
    bool is_unviable; /* does another driver have a device of the group? */
    bool has_no_iommu;
    int iommu_error; /* of VFIO_SET_IOMMU, if not 0 */
    unsigned int n_vectors;
    int n_vectors_left; /* what VFIO_DEVICE_SET_IRQS returns */

    /* What was done to the device. */
    unsigned int resets;

    /* Only the fake itself uses these. */
    model *model;
    fake_sysfs *sysfs;
    int group_fd, device_fd; /* the library's own, or -1 */
    bool has_container, has_iommu;
    int messages[INTERRUPT_N_CAUSES]; /* eventfds that the library has set */
} fake_vfio;

/* Bind the device at FAKE_ADDRESS to vfio-pci. @m: its registers and window. */
void fake_vfio_add(fake_vfio *v, model *m, fake_sysfs *sysfs);

/* Ends it; fails the test if the library has left something open. */
void fake_vfio_remove(fake_vfio *v);

/* The PCI command register. */
uint16_t fake_vfio_command(const fake_vfio *v);

#endif

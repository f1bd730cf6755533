/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which slots of a PCI bus a QEMU command line takes. */
#ifndef VGPU_HOOKS_SLOTS_H
#define VGPU_HOOKS_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define N_SLOTS 32u

/* What our device is called in QEMU: nobody else is likely to choose it for one of his. */
#define DEVICE_ID "vgpu-mediator"

typedef struct DeviceArgument {
    bool has_slot;
    unsigned slot; /* 0 to 31 */
    bool on_bus;   /* on the bus asked for, or on one that QEMU chooses, which may be that */
    bool is_vgpu;  /* the driver is vgpu-stub */
} DeviceArgument;

/*
 * device_argument_parse() - what the value of a -device option says
 * @value: JSON, or QEMU's KEY=VALUE form
 * @bus: the bus in question
 *
 * A value that QEMU itself would refuse comes out as a device without a slot. Returns 0 or
 * -ENOMEM.
 */
int device_argument_parse(const char *value, const char *bus, DeviceArgument *ret);

/*
 * slots_find_free() - the highest slot that nobody is likely to want
 * @taken: bit n: slot n is taken
 *
 * QEMU, and libvirt when something is plugged in later, choose the lowest free slot. The highest
 * stays out of their way.
 *
 * Returns the slot, or -ENOSPC.
 */
int slots_find_free(uint32_t taken);

#endif

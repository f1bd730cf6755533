/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vgpu-stub of a QEMU under test, found and used as a guest would do it. */
#ifndef VGPU_TEST_STUB_DEVICE_H
#define VGPU_TEST_STUB_DEVICE_H

#include "qtest.h"
#include "vgpu-builtin.h"
#include "vgpu-protocol.h"

/* Where tests put BAR0 */
#define DEVICE_BAR0 0xe0000000u

typedef struct Device {
    QTest *qtest;
    uint8_t bus;
    uint8_t slot;
} Device;

/* PCI configuration space of any function 0 */
uint32_t pci_read32(QTest *q, uint8_t bus, uint8_t slot, uint8_t offset);
void pci_write32(QTest *q, uint8_t bus, uint8_t slot, uint8_t offset, uint32_t value);

/* pci_capability() - the offset of a capability, or 0 */
uint8_t pci_capability(QTest *q, uint8_t bus, uint8_t slot, uint8_t id);

/*
 * pci_open_bridge() - makes the bridge in @slot of bus 0 lead to bus 1
 *
 * Its memory window is the megabyte that begins at DEVICE_BAR0.
 */
void pci_open_bridge(QTest *q, uint8_t slot);

/*
 * device_find() - looks for the device on a bus, maps BAR0 and switches the device on
 *
 * Returns false when it is not there.
 */
bool device_find(QTest *q, uint8_t bus, Device *ret);

/* device_enable() - maps BAR0 and switches the device on, also after a reset */
void device_enable(Device *d);

uint32_t device_read(Device *d, uint32_t reg);
void device_write(Device *d, uint32_t reg, uint32_t value);

/* device_write_request() - fills REQUEST, REQUEST_LEN and REQUEST_ID */
void device_write_request(Device *d, uint32_t id, const void *request, uint32_t size);

/* device_submit_add() - writes a scalar addition, enables the interrupt, rings the doorbell */
void device_submit_add(Device *d, uint32_t id, uint32_t a, uint32_t b);

/*
 * device_wait() - waits for the interrupt of a completion, and acknowledges it
 *
 * Returns STATUS.
 */
uint32_t device_wait(Device *d);

/* device_result() - results[0] of the response */
uint32_t device_result(Device *d);

/* device_reset() - function level reset; the device must be an express one */
void device_reset(Device *d);

/* device_eject() - asks an i440FX machine to eject its slot, as a guest does by ACPI */
void device_eject(Device *d);

/* device_is_there() - is it still in its slot? */
bool device_is_there(const Device *d);

#endif

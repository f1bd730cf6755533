/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stub-device.h"

#include <linux/pci_regs.h>
#include <stdlib.h>

#define PCI_ADDRESS_PORT 0xcf8
#define PCI_DATA_PORT 0xcfc

/* QEMU's i440FX machine: the guest writes here which slots to eject, and on which bus */
#define ACPI_PCI_EJECT 0xae08
#define ACPI_PCI_SELECT 0xae10

static void pci_select(QTest *q, uint8_t bus, uint8_t slot, uint8_t offset)
{
    qtest_out32(q, PCI_ADDRESS_PORT,
                0x80000000u | (uint32_t) bus << 16 | (uint32_t) slot << 11 | (offset & 0xfcu));
}

uint32_t pci_read32(QTest *q, uint8_t bus, uint8_t slot, uint8_t offset)
{
    pci_select(q, bus, slot, offset);
    return qtest_in32(q, PCI_DATA_PORT);
}

void pci_write32(QTest *q, uint8_t bus, uint8_t slot, uint8_t offset, uint32_t value)
{
    pci_select(q, bus, slot, offset);
    qtest_out32(q, PCI_DATA_PORT, value);
}

uint8_t pci_capability(QTest *q, uint8_t bus, uint8_t slot, uint8_t id)
{
    uint8_t at;

    if (!(pci_read32(q, bus, slot, PCI_COMMAND) >> 16 & PCI_STATUS_CAP_LIST))
        return 0;
    at = pci_read32(q, bus, slot, PCI_CAPABILITY_LIST) & 0xfc;
    while (at != 0) {
        uint32_t header = pci_read32(q, bus, slot, at);

        if ((header & 0xff) == id)
            break;
        at = header >> 8 & 0xfc;
    }
    return at;
}

void pci_open_bridge(QTest *q, uint8_t slot)
{
    const uint32_t window = DEVICE_BAR0 >> 16;

    pci_write32(q, 0, slot, PCI_PRIMARY_BUS, 0x00010100);
    pci_write32(q, 0, slot, PCI_MEMORY_BASE, window << 16 | window);
    pci_write32(q, 0, slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

bool device_find(QTest *q, uint8_t bus, Device *ret)
{
    for (uint8_t slot = 0; slot < 32; slot++) {
        const Device found = {.qtest = q, .bus = bus, .slot = slot};

        if (!device_is_there(&found))
            continue;
        *ret = found;
        device_enable(ret);
        return true;
    }
    return false;
}

void device_enable(Device *d)
{
    pci_write32(d->qtest, d->bus, d->slot, PCI_BASE_ADDRESS_0, DEVICE_BAR0);
    pci_write32(d->qtest, d->bus, d->slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

uint32_t device_read(Device *d, uint32_t reg)
{
    return (uint32_t) qtest_read(d->qtest, DEVICE_BAR0 + reg, 4);
}

void device_write(Device *d, uint32_t reg, uint32_t value)
{
    qtest_write(d->qtest, DEVICE_BAR0 + reg, 4, value);
}

void device_write_request(Device *d, uint32_t id, const void *request, uint32_t size)
{
    qtest_write_buffer(d->qtest, DEVICE_BAR0 + VGPU_REG_REQUEST, request, size);
    device_write(d, VGPU_REG_REQUEST_LEN, size);
    device_write(d, VGPU_REG_REQUEST_ID, id);
}

void device_submit_add(Device *d, uint32_t id, uint32_t a, uint32_t b)
{
    const struct {
        VGPURequest header;
        uint32_t params[2];
    } request = {
        .header =
            {
                .version = VGPU_PROTOCOL_VERSION,
                .opcode = VGPU_OP_CUDA_KERNEL,
                .param_count = 2,
            },
        .params = {a, b},
    };

    device_write_request(d, id, &request, sizeof(request));
    device_write(d, VGPU_REG_IRQ_CTRL, VGPU_IRQ_COMPLETION);
    device_write(d, VGPU_REG_DOORBELL, 1);
}

uint32_t device_wait(Device *d)
{
    qtest_wait_irq(d->qtest, true);
    device_write(d, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    qtest_wait_irq(d->qtest, false);
    return device_read(d, VGPU_REG_STATUS);
}

uint32_t device_result(Device *d)
{
    return device_read(d, VGPU_REG_RESPONSE + sizeof(VGPUResponse));
}

void device_reset(Device *d)
{
    uint8_t at = pci_capability(d->qtest, d->bus, d->slot, PCI_CAP_ID_EXP);

    if (at == 0)
        abort();
    pci_write32(d->qtest, d->bus, d->slot, (uint8_t) (at + PCI_EXP_DEVCTL), PCI_EXP_DEVCTL_BCR_FLR);
}

void device_eject(Device *d)
{
    qtest_out32(d->qtest, ACPI_PCI_SELECT, 0);
    qtest_out32(d->qtest, ACPI_PCI_EJECT, 1u << d->slot);
}

bool device_is_there(const Device *d)
{
    return pci_read32(d->qtest, d->bus, d->slot, PCI_VENDOR_ID) ==
           (VGPU_PCI_DEVICE_ID << 16 | VGPU_PCI_VENDOR_ID);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-ring.h"

#include <linux/pci_regs.h>
#include <stdlib.h>

void device_map_window(Device *d)
{
    pci_write32(d->qtest, d->bus, d->slot, PCI_BASE_ADDRESS_2, (uint32_t) DEVICE_BAR2);
    pci_write32(d->qtest, d->bus, d->slot, PCI_BASE_ADDRESS_3, (uint32_t) (DEVICE_BAR2 >> 32));
    pci_write32(d->qtest, d->bus, d->slot, PCI_BASE_ADDRESS_4, DEVICE_BAR4);
}

void device_ring_place(Device *d, uint64_t offset, uint32_t entries)
{
    device_write(d, VGPU_REG_RING_OFFSET_LO, (uint32_t) offset);
    device_write(d, VGPU_REG_RING_OFFSET_HI, (uint32_t) (offset >> 32));
    device_write(d, VGPU_REG_RING_ENTRIES, entries);
}

void device_ring_start(Device *d)
{
    device_ring_place(d, RING_OFFSET, RING_ENTRIES);
    device_write(d, VGPU_REG_RING_IRQ_CTRL, VGPU_IRQ_COMPLETION);
    device_write(d, VGPU_REG_RING_CTRL, 1);
}

uint32_t ring_state(Testbed *t)
{
    return device_read(&t->device, VGPU_REG_RING_CTRL);
}

void ring_expect(Testbed *t, uint32_t state)
{
    qtest_wait_irq(t->qtest, true);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), VGPU_IRQ_COMPLETION);
    device_write(&t->device, VGPU_REG_RING_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    qtest_wait_irq(t->qtest, false);
    assert_int_equal(ring_state(t), state);
}

void ring_expect_failed(Testbed *t, uint32_t error)
{
    ring_expect(t, VGPU_RING_FAILED);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_ERROR), error);
}

void ring_agree(Testbed *t)
{
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    ring_expect(t, VGPU_RING_ON);
}

FakeRing *ring_open(Testbed *t)
{
    FakeMediator *m = &t->mediator;
    FakeRing *r;

    device_ring_start(&t->device);
    assert_int_equal(ring_state(t), VGPU_RING_STARTING);
    r = m->peer < 0 ? fake_accept_setup(m) : fake_expect_setup(m);
    assert_int_equal(r->setup.offset, RING_OFFSET);
    assert_int_equal(r->setup.entries, RING_ENTRIES);
    ring_agree(t);
    return r;
}

FakeRing *ring_accept(Testbed *t)
{
    fake_accept_setup(&t->mediator);
    ring_agree(t);
    return t->mediator.ring;
}

static void assert_same_ring(const FakeRing *r)
{
    assert_memory_equal(&r->setup, &r->earlier->setup, sizeof(r->setup));
}

FakeRing *ring_take_up(Testbed *t)
{
    fake_accept_setup(&t->mediator);
    assert_same_ring(t->mediator.ring);
    assert_int_equal(ring_state(t), VGPU_RING_ON);
    ring_agree(t);
    return t->mediator.ring;
}

FakeRing *ring_resume(Testbed *t)
{
    qtest_resume(t->qtest);
    fake_expect_setup(&t->mediator); /* on the same connection */
    assert_same_ring(t->mediator.ring);
    ring_agree(t);
    return t->mediator.ring;
}

/* Operands of the entry @index, behind the ring */
static uint64_t data_offset(uint32_t index)
{
    return 0x8000 + 12 * (uint64_t) (index % RING_ENTRIES);
}

void ring_submit_add(Device *d, uint32_t index, int32_t a, int32_t b)
{
    const uint64_t ring = DEVICE_BAR2 + RING_OFFSET, data = data_offset(index);
    const VGPUSubmission s = {
        .tag = index,
        .opcode = VGPU_OP_RING_ADD,
        .type = VGPU_TYPE_INT32,
        .count = 1,
        .a = {.offset = data, .stride = 1},
        .b = {.offset = data + 4, .stride = 1},
        .c = {.offset = data + 8, .stride = 1},
    };
    uint32_t event;

    qtest_write(d->qtest, DEVICE_BAR2 + data, 4, (uint32_t) a);
    qtest_write(d->qtest, DEVICE_BAR2 + data + 4, 4, (uint32_t) b);
    qtest_write_buffer(d->qtest, ring + sizeof(VGPURingHeader) + index % RING_ENTRIES * sizeof(s),
                       &s, sizeof(s));
    qtest_write(d->qtest, ring + offsetof(VGPURingHeader, sq_tail), 4, index + 1);
    event = (uint32_t) qtest_read(d->qtest, ring + offsetof(VGPURingHeader, sq_event), 4);
    if (vgpu_ring_must_notify(event, index + 1, index))
        device_write(d, VGPU_REG_RING_DOORBELL, 1);
}

int32_t ring_take_sum(Device *d, uint32_t index)
{
    const uint64_t ring = DEVICE_BAR2 + RING_OFFSET;
    VGPUCompletion c;

    assert_true(qtest_read(d->qtest, ring + offsetof(VGPURingHeader, cq_tail), 4) > index);
    qtest_read_buffer(d->qtest,
                      ring + sizeof(VGPURingHeader) + RING_ENTRIES * sizeof(VGPUSubmission) +
                          index % RING_ENTRIES * sizeof(c),
                      &c, sizeof(c));
    assert_int_equal(c.tag, index);
    assert_int_equal(c.status, VGPU_ERROR_NONE);
    qtest_write(d->qtest, ring + offsetof(VGPURingHeader, cq_head), 4, index + 1);
    qtest_write(d->qtest, ring + offsetof(VGPURingHeader, cq_event), 4, index + 1);
    return (int32_t) qtest_read(d->qtest, DEVICE_BAR2 + data_offset(index) + 8, 4);
}

void ring_fill(Device *d, FakeRing *r)
{
    for (uint32_t i = 0; i < RING_ENTRIES; i++) {
        ring_submit_add(d, i, (int32_t) i, 1000);
        if (i == 2)
            assert_int_equal(fake_compute(r), 3);
    }
    assert_int_equal(r->host.header->sq_tail - r->host.header->cq_head, RING_ENTRIES);
}

void ring_finish(Device *d, FakeRing *r)
{
    assert_int_equal(fake_compute(r), RING_ENTRIES - 3);
    for (uint32_t i = 0; i < RING_ENTRIES; i++)
        assert_int_equal(ring_take_sum(d, i), 1000 + i);
    assert_int_equal(r->host.header->cq_tail, RING_ENTRIES);
}

void ring_clear(Device *d)
{
    static const char zeros[sizeof(VGPURingHeader) +
                            RING_ENTRIES * (sizeof(VGPUSubmission) + sizeof(VGPUCompletion))];

    qtest_write_buffer(d->qtest, DEVICE_BAR2 + RING_OFFSET, zeros, sizeof(zeros));
}

/* Masks the vector while its message changes, as PCI demands. */
void msix_set_vector(Device *d, unsigned vector, uint32_t address, uint32_t value, bool masked)
{
    const uint64_t entry = DEVICE_BAR4 + vector * PCI_MSIX_ENTRY_SIZE;

    qtest_write(d->qtest, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
    qtest_write(d->qtest, entry + PCI_MSIX_ENTRY_LOWER_ADDR, 4, address);
    qtest_write(d->qtest, entry + PCI_MSIX_ENTRY_UPPER_ADDR, 4, 0);
    qtest_write(d->qtest, entry + PCI_MSIX_ENTRY_DATA, 4, value);
    qtest_write(d->qtest, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4,
                masked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0);
}

void msix_write_flags(Device *d, uint32_t flags)
{
    uint8_t at = pci_capability(d->qtest, d->bus, d->slot, PCI_CAP_ID_MSIX);
    uint32_t header = pci_read32(d->qtest, d->bus, d->slot, at);

    assert_int_not_equal(at, 0);
    pci_write32(d->qtest, d->bus, d->slot, at, (header & 0x3fffffff) | flags << 16);
}

void msix_enable(Device *d, uint32_t address, uint32_t value)
{
    for (unsigned i = 0; i < 2; i++)
        msix_set_vector(d, i, address + 4 * i, value + i, false);
    msix_write_flags(d, PCI_MSIX_FLAGS_ENABLE);
}

void msix_disable(Device *d)
{
    msix_write_flags(d, 0);
}

int ring_setup(void **state)
{
    testbed_setup(state);
    device_map_window(&((Testbed *) *state)->device);
    return 0;
}

int ring_setup_on(void **state)
{
    ring_setup(state);
    ring_open(*state);
    return 0;
}

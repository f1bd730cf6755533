/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring's doorbell, and the interrupts of the ring and of requests: INTx and MSI-X. */
#include "device-ring.h"

#include <linux/pci_regs.h>
#include <stdlib.h>

#define PATH "/machine/peripheral/gpu"

/* Where the messages go: RAM of the test's machine */
#define MESSAGES 0x200000u
#define VALUE 0xc0de0000u

enum { REQUEST, RING };

/* Waits until the main loop has taken up an event, where no interrupt tells. */
static void wait_status(Testbed *t)
{
    int64_t begin = now_ms();

    while (device_read(&t->device, VGPU_REG_RING_IRQ_STATUS) == 0)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
}

static uint32_t message(Testbed *t, unsigned vector)
{
    return (uint32_t) qtest_read(t->qtest, MESSAGES + 4 * vector, 4);
}

static void clear_messages(Testbed *t)
{
    qtest_write(t->qtest, MESSAGES, 8, 0);
}

/* Waits until it is there: QEMU's main loop brings it, and each access goes through that. */
static void wait_message(Testbed *t, unsigned vector)
{
    int64_t begin = now_ms();

    while (message(t, vector) == 0)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
    assert_int_equal(message(t, vector), VALUE + vector);
    assert_int_equal(message(t, !vector), 0);
    clear_messages(t);
}

/* ---- The doorbell -------------------------------------------------------------------- */

static void test_doorbell_by_every_width(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    for (unsigned size = 1; size <= 8; size *= 2) {
        qtest_write(t->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL, size, 0);
        assert_int_equal(fake_rung(r), 1);
        qtest_write(t->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL, size, UINT64_MAX);
        assert_int_equal(fake_rung(r), 1);
    }
    /* By the rule for all registers, every access that touches the word counts. */
    for (unsigned shift = 1; shift < 4; shift++) {
        qtest_write(t->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL + shift, 1, 0);
        assert_int_equal(fake_rung(r), 1);
        qtest_write(t->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL - shift, 4, 0);
        assert_int_equal(fake_rung(r), 1);
    }
    for (unsigned i = 0; i < 5; i++)
        device_write(&t->device, VGPU_REG_RING_DOORBELL, i);
    assert_int_equal(fake_rung(r), 5);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_DOORBELL), 0);
    assert_int_equal(fake_rung(r), 0);
}

/* The doorbell is no register access: under KVM no thread of QEMU would run for it. */
static void test_doorbell_is_no_register_access(void **state)
{
    Testbed *t = *state;
    uint64_t writes;
    FakeRing *r;

    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1); /* off: a write like any other */
    writes = qtest_counter(t->qtest, PATH, "mmio-writes");
    assert_int_equal(writes, 1);
    r = ring_open(t);
    writes = qtest_counter(t->qtest, PATH, "mmio-writes");
    for (unsigned size = 1; size <= 8; size *= 2)
        qtest_write(t->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL, size, 1);
    assert_int_equal(fake_rung(r), 4);
    assert_int_equal(qtest_counter(t->qtest, PATH, "mmio-writes"), writes);

    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    assert_int_equal(qtest_counter(t->qtest, PATH, "mmio-writes"), writes + 2);
    assert_int_equal(fake_rung(r), 0);
}

static void test_nothing_else_rings(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    for (uint32_t at = 0; at < VGPU_BAR0_SIZE; at += 4)
        if (at != VGPU_REG_RING_DOORBELL && at != VGPU_REG_RING_CTRL)
            device_write(&t->device, at, 1);
    for (uint32_t at = 0; at < VGPU_BAR0_SIZE; at += 4)
        device_read(&t->device, at);
    qtest_write(t->qtest, DEVICE_BAR2 + VGPU_REG_RING_DOORBELL, 4, 1);
    qtest_write(t->qtest, DEVICE_BAR2 + RING_OFFSET, 4, 1); /* sq_tail alone says nothing */
    assert_int_equal(fake_rung(r), 0);
}

/* ---- INTx ------------------------------------------------------------------------------- */

static void test_intx(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    assert_false(qtest_irq(t->qtest));
    fake_signal(r);
    qtest_wait_irq(t->qtest, true);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 1);
    assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 0);
    assert_true(pci_read32(t->qtest, 0, 3, PCI_COMMAND) >> 16 & PCI_STATUS_INTERRUPT);

    /* Only a 1 written to the bit clears it. */
    device_write(&t->device, VGPU_REG_RING_IRQ_STATUS, 0xfffffffe);
    qtest_write(t->qtest, DEVICE_BAR0 + VGPU_REG_RING_IRQ_STATUS + 1, 1, 0xff);
    device_write(&t->device, VGPU_REG_IRQ_STATUS, 1); /* the other's */
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 1);
    assert_true(qtest_irq(t->qtest));
    device_write(&t->device, VGPU_REG_RING_IRQ_STATUS, 1);
    qtest_wait_irq(t->qtest, false);

    /* Many signals at once make one interrupt. */
    for (int i = 0; i < 5; i++)
        fake_signal(r);
    ring_expect(t, VGPU_RING_ON);
    qtest_synchronize(t->qtest);
    assert_false(qtest_irq(t->qtest));
}

static void test_intx_not_wanted(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    device_write(&t->device, VGPU_REG_RING_IRQ_CTRL, 0);
    fake_signal(r);
    wait_status(t);
    assert_false(qtest_irq(t->qtest));
    device_write(&t->device, VGPU_REG_IRQ_CTRL, 1); /* the other's */
    assert_false(qtest_irq(t->qtest));
    device_write(&t->device, VGPU_REG_RING_IRQ_CTRL, 1); /* late, but not too late */
    qtest_wait_irq(t->qtest, true);
    device_write(&t->device, VGPU_REG_RING_IRQ_CTRL, 0);
    qtest_wait_irq(t->qtest, false);
}

/* Ring and requests share the line, which stays up as long as one of them wants it. */
static void test_intx_of_both(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    device_submit_add(&t->device, 1, 1, 2);
    fake_serve_add(&t->mediator, 1);
    qtest_wait_irq(t->qtest, true);
    fake_signal(r);
    wait_status(t);
    device_write(&t->device, VGPU_REG_IRQ_STATUS, 1);
    assert_true(qtest_irq(t->qtest));
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 1);
    device_write(&t->device, VGPU_REG_RING_IRQ_STATUS, 1);
    qtest_wait_irq(t->qtest, false);
}

/* As uio_pci_generic does it: Interrupt Disable takes the line down, then the guest looks. */
static void test_interrupt_disable_bit(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;
    uint32_t command;

    fake_signal(r);
    qtest_wait_irq(t->qtest, true);
    command = pci_read32(t->qtest, 0, 3, PCI_COMMAND) & 0xffff;
    pci_write32(t->qtest, 0, 3, PCI_COMMAND, command | PCI_COMMAND_INTX_DISABLE);
    qtest_wait_irq(t->qtest, false);
    device_write(&t->device, VGPU_REG_RING_IRQ_STATUS, 1);
    pci_write32(t->qtest, 0, 3, PCI_COMMAND, command);
    qtest_synchronize(t->qtest);
    assert_false(qtest_irq(t->qtest));
    fake_signal(r);
    ring_expect(t, VGPU_RING_ON);
}

/* ---- MSI-X ---------------------------------------------------------------------------------- */

static void check_msix_capability(Testbed *t, unsigned vectors)
{
    uint8_t at = pci_capability(t->qtest, 0, 3, PCI_CAP_ID_MSIX);
    uint32_t flags, table, pba;

    assert_int_not_equal(at, 0);
    flags = pci_read32(t->qtest, 0, 3, at) >> 16;
    table = pci_read32(t->qtest, 0, 3, (uint8_t) (at + PCI_MSIX_TABLE));
    pba = pci_read32(t->qtest, 0, 3, (uint8_t) (at + PCI_MSIX_PBA));
    assert_int_equal((flags & PCI_MSIX_FLAGS_QSIZE) + 1, vectors);
    assert_false(flags & PCI_MSIX_FLAGS_ENABLE);
    assert_int_equal(table & PCI_MSIX_TABLE_BIR, 4);
    assert_int_equal(pba & PCI_MSIX_PBA_BIR, 4);
}

static void test_msix_capability(void **state)
{
    check_msix_capability(*state, 1 + VGPU_RINGS_MAX);
}

static void test_msix_capability_of_one_ring(void **state)
{
    check_msix_capability(*state, 2);
}

static void test_msix(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    msix_enable(&t->device, MESSAGES, VALUE);
    fake_signal(r);
    wait_message(t, RING);
    fake_signal(r); /* RING_IRQ_STATUS was not cleared, and need not be */
    wait_message(t, RING);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 1);

    device_submit_add(&t->device, 1, 1, 2);
    fake_serve_add(&t->mediator, 1);
    wait_message(t, REQUEST);
    device_submit_add(&t->device, 2, 1, 2);
    fake_serve_add(&t->mediator, 2);
    wait_message(t, REQUEST);
    assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 1);
    assert_false(qtest_irq(t->qtest));
    assert_false(pci_read32(t->qtest, 0, 3, PCI_COMMAND) >> 16 & PCI_STATUS_INTERRUPT);
}

static void test_msix_not_wanted(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    msix_enable(&t->device, MESSAGES, VALUE);
    device_write(&t->device, VGPU_REG_RING_IRQ_CTRL, 0);
    clear_messages(t);
    fake_signal(r);
    wait_status(t);
    assert_int_equal(message(t, RING), 0);
    device_write(&t->device, VGPU_REG_RING_IRQ_CTRL, 1); /* what came before is not lost */
    wait_message(t, RING);
    device_write(&t->device, VGPU_REG_RING_IRQ_CTRL, 1); /* nor said again */
    device_write(&t->device, VGPU_REG_RING_IRQ_STATUS, 1);
    assert_int_equal(message(t, RING), 0);

    device_write(&t->device, VGPU_REG_IRQ_CTRL, 0);
    device_write(&t->device, VGPU_REG_DOORBELL, 1); /* INVALID_LENGTH, on the spot */
    assert_int_equal(message(t, REQUEST), 0);
    device_write(&t->device, VGPU_REG_IRQ_CTRL, 1);
    wait_message(t, REQUEST);
}

static void test_msix_masked(void **state)
{
    const uint64_t control = DEVICE_BAR4 + PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;
    uint32_t pba;

    msix_enable(&t->device, MESSAGES, VALUE);
    clear_messages(t);
    pba = pci_read32(t->qtest, 0, 3,
                     (uint8_t) (pci_capability(t->qtest, 0, 3, PCI_CAP_ID_MSIX) + PCI_MSIX_PBA));
    pba &= PCI_MSIX_PBA_OFFSET;
    qtest_write(t->qtest, control, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
    fake_signal(r);
    assert_int_equal(qtest_read(t->qtest, DEVICE_BAR4 + pba, 4), 1u << RING); /* by then it is */
    assert_int_equal(message(t, RING), 0);
    qtest_write(t->qtest, control, 4, 0);
    wait_message(t, RING);
    assert_int_equal(qtest_read(t->qtest, DEVICE_BAR4 + pba, 4), 0);
}

/* A pending interrupt moves from INTx to MSI-X and back. */
static void test_between_intx_and_msix(void **state)
{
    Testbed *t = *state;
    FakeRing *r = t->mediator.ring;

    fake_signal(r);
    qtest_wait_irq(t->qtest, true);
    msix_enable(&t->device, MESSAGES, VALUE);
    qtest_wait_irq(t->qtest, false);
    clear_messages(t);
    fake_signal(r);
    wait_message(t, RING);
    msix_disable(&t->device);
    qtest_wait_irq(t->qtest, true);
    assert_int_equal(message(t, RING), 0);
    device_write(&t->device, VGPU_REG_RING_IRQ_STATUS, 1);
    qtest_wait_irq(t->qtest, false);
}

/* The end of STARTING, a failure and a new mediator send a message, too. */
static void test_msix_of_the_rings_state(void **state)
{
    Testbed *t = *state;

    msix_enable(&t->device, MESSAGES, VALUE);
    clear_messages(t);
    device_ring_start(&t->device);
    fake_accept_setup(&t->mediator);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    wait_message(t, RING);
    assert_int_equal(ring_state(t), VGPU_RING_ON);

    fake_hang_up(&t->mediator);
    fake_accept_setup(&t->mediator);
    fake_ready(&t->mediator, VGPU_ERROR_NONE);
    wait_message(t, RING);

    fake_ready(&t->mediator, VGPU_ERROR_INVALID_REQUEST);
    wait_message(t, RING);
    assert_int_equal(ring_state(t), VGPU_RING_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_ON_TEST(test_doorbell_by_every_width, NULL),
        RING_TEST(test_doorbell_is_no_register_access, NULL),
        RING_ON_TEST(test_nothing_else_rings, NULL),
        RING_ON_TEST(test_intx, NULL),
        RING_ON_TEST(test_intx_not_wanted, NULL),
        RING_ON_TEST(test_intx_of_both, NULL),
        RING_ON_TEST(test_interrupt_disable_bit, NULL),
        RING_TEST(test_msix_capability, NULL),
        RING_TEST(test_msix_capability_of_one_ring, ",rings=1"),
        RING_ON_TEST(test_msix, NULL),
        RING_ON_TEST(test_msix_not_wanted, NULL),
        RING_ON_TEST(test_msix_masked, NULL),
        RING_ON_TEST(test_between_intx_and_msix, NULL),
        RING_TEST(test_msix_of_the_rings_state, NULL),
    };

    return cmocka_run_group_tests_name("interrupts", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring's doorbell, and the interrupts of both lanes: INTx and MSI-X. */
#include "device-ring.h"

#include <linux/pci_regs.h>
#include <stdlib.h>

#define PATH "/machine/peripheral/gpu"

/* Where the messages go: RAM of the test's machine */
#define MESSAGES 0x200000u
#define VALUE 0xc0de0000u

enum { REQUEST, RING };

/* Lets QEMU's main loop look at the eventfds. */
static void synchronize(World *w)
{
    qtest_qmp_ok(w->qtest, "{\"execute\": \"query-status\"}");
}

/* Until the main loop has taken up an event; nothing else tells when nobody wants an interrupt. */
static void wait_status(World *w)
{
    int64_t begin = now_ms();

    while (device_read(&w->device, VGPU_REG_RING_IRQ_STATUS) == 0)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
}

static uint32_t message(World *w, unsigned vector)
{
    return (uint32_t) qtest_read(w->qtest, MESSAGES + 4 * vector, 4);
}

static void clear_messages(World *w)
{
    qtest_write(w->qtest, MESSAGES, 8, 0);
}

/* Until it is there: what brings it happens in QEMU's main loop, which each access goes through. */
static void wait_message(World *w, unsigned vector)
{
    int64_t begin = now_ms();

    while (message(w, vector) == 0)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
    assert_int_equal(message(w, vector), VALUE + vector);
    assert_int_equal(message(w, !vector), 0);
    clear_messages(w);
}

/* ---- The doorbell -------------------------------------------------------------------- */

static void test_doorbell_by_every_width(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    for (unsigned size = 1; size <= 8; size *= 2) {
        qtest_write(w->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL, size, 0);
        assert_int_equal(fake_rung(&r), 1);
        qtest_write(w->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL, size, UINT64_MAX);
        assert_int_equal(fake_rung(&r), 1);
    }
    /* Whatever touches the word, by the rule for all registers */
    for (unsigned shift = 1; shift < 4; shift++) {
        qtest_write(w->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL + shift, 1, 0);
        assert_int_equal(fake_rung(&r), 1);
        qtest_write(w->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL - shift, 4, 0);
        assert_int_equal(fake_rung(&r), 1);
    }
    for (unsigned i = 0; i < 5; i++)
        device_write(&w->device, VGPU_REG_RING_DOORBELL, i);
    assert_int_equal(fake_rung(&r), 5);
    assert_int_equal(device_read(&w->device, VGPU_REG_RING_DOORBELL), 0);
    assert_int_equal(fake_rung(&r), 0);
    fake_ring_close(&r);
}

/* It is no register access: under KVM no thread of QEMU would run for it. */
static void test_doorbell_is_no_register_access(void **state)
{
    World *w = *state;
    uint64_t writes;
    FakeRing r;

    device_write(&w->device, VGPU_REG_RING_DOORBELL, 1); /* off: a write like any other */
    writes = qtest_counter(w->qtest, PATH, "mmio-writes");
    assert_int_equal(writes, 1);
    ring_open(w, &r);
    writes = qtest_counter(w->qtest, PATH, "mmio-writes");
    for (unsigned size = 1; size <= 8; size *= 2)
        qtest_write(w->qtest, DEVICE_BAR0 + VGPU_REG_RING_DOORBELL, size, 1);
    assert_int_equal(fake_rung(&r), 4);
    assert_int_equal(qtest_counter(w->qtest, PATH, "mmio-writes"), writes);

    device_write(&w->device, VGPU_REG_RING_CTRL, 0);
    device_write(&w->device, VGPU_REG_RING_DOORBELL, 1);
    assert_int_equal(qtest_counter(w->qtest, PATH, "mmio-writes"), writes + 2);
    assert_int_equal(fake_rung(&r), 0);
    fake_ring_close(&r);
}

static void test_nothing_else_rings(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    for (uint32_t at = 0; at < VGPU_BAR0_SIZE; at += 4)
        if (at != VGPU_REG_RING_DOORBELL && at != VGPU_REG_RING_CTRL)
            device_write(&w->device, at, 1);
    for (uint32_t at = 0; at < VGPU_BAR0_SIZE; at += 4)
        device_read(&w->device, at);
    qtest_write(w->qtest, DEVICE_BAR2 + VGPU_REG_RING_DOORBELL, 4, 1);
    qtest_write(w->qtest, DEVICE_BAR2 + RING_OFFSET, 4, 1); /* sq_tail alone says nothing */
    assert_int_equal(fake_rung(&r), 0);
    fake_ring_close(&r);
}

/* ---- INTx ------------------------------------------------------------------------------- */

static void test_intx(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    assert_false(qtest_irq(w->qtest));
    fake_signal(&r);
    qtest_wait_irq(w->qtest, true);
    assert_int_equal(device_read(&w->device, VGPU_REG_RING_IRQ_STATUS), 1);
    assert_int_equal(device_read(&w->device, VGPU_REG_IRQ_STATUS), 0);
    assert_true(pci_read32(w->qtest, 0, 3, PCI_COMMAND) >> 16 & PCI_STATUS_INTERRUPT);

    /* Only a 1 where it stands clears it. */
    device_write(&w->device, VGPU_REG_RING_IRQ_STATUS, 0xfffffffe);
    qtest_write(w->qtest, DEVICE_BAR0 + VGPU_REG_RING_IRQ_STATUS + 1, 1, 0xff);
    device_write(&w->device, VGPU_REG_IRQ_STATUS, 1); /* the other's */
    assert_int_equal(device_read(&w->device, VGPU_REG_RING_IRQ_STATUS), 1);
    assert_true(qtest_irq(w->qtest));
    device_write(&w->device, VGPU_REG_RING_IRQ_STATUS, 1);
    qtest_wait_irq(w->qtest, false);

    /* Many at once are one. */
    for (int i = 0; i < 5; i++)
        fake_signal(&r);
    assert_int_equal(device_wait_ring(&w->device), VGPU_RING_ON);
    synchronize(w);
    assert_false(qtest_irq(w->qtest));
    fake_ring_close(&r);
}

static void test_intx_not_wanted(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    device_write(&w->device, VGPU_REG_RING_IRQ_CTRL, 0);
    fake_signal(&r);
    wait_status(w);
    assert_false(qtest_irq(w->qtest));
    device_write(&w->device, VGPU_REG_IRQ_CTRL, 1); /* the other's */
    assert_false(qtest_irq(w->qtest));
    device_write(&w->device, VGPU_REG_RING_IRQ_CTRL, 1); /* late, but not too late */
    qtest_wait_irq(w->qtest, true);
    device_write(&w->device, VGPU_REG_RING_IRQ_CTRL, 0);
    qtest_wait_irq(w->qtest, false);
    fake_ring_close(&r);
}

/* The line is shared by both, and stays up as long as one wants it. */
static void test_intx_of_both(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    device_submit_add(&w->device, 1, 1, 2);
    fake_serve_add(&w->mediator, 1);
    qtest_wait_irq(w->qtest, true);
    fake_signal(&r);
    wait_status(w);
    device_write(&w->device, VGPU_REG_IRQ_STATUS, 1);
    assert_true(qtest_irq(w->qtest));
    assert_int_equal(device_read(&w->device, VGPU_REG_RING_IRQ_STATUS), 1);
    device_write(&w->device, VGPU_REG_RING_IRQ_STATUS, 1);
    qtest_wait_irq(w->qtest, false);
    fake_ring_close(&r);
}

/* As uio_pci_generic does it: the line goes down by Interrupt Disable, then the guest looks. */
static void test_interrupt_disable_bit(void **state)
{
    World *w = *state;
    FakeRing r;
    uint32_t command;

    ring_open(w, &r);
    fake_signal(&r);
    qtest_wait_irq(w->qtest, true);
    command = pci_read32(w->qtest, 0, 3, PCI_COMMAND) & 0xffff;
    pci_write32(w->qtest, 0, 3, PCI_COMMAND, command | PCI_COMMAND_INTX_DISABLE);
    qtest_wait_irq(w->qtest, false);
    device_write(&w->device, VGPU_REG_RING_IRQ_STATUS, 1);
    pci_write32(w->qtest, 0, 3, PCI_COMMAND, command);
    synchronize(w);
    assert_false(qtest_irq(w->qtest));
    fake_signal(&r);
    assert_int_equal(device_wait_ring(&w->device), VGPU_RING_ON);
    fake_ring_close(&r);
}

/* ---- MSI-X ---------------------------------------------------------------------------------- */

static void test_msix_capability(void **state)
{
    World *w = *state;
    uint8_t at = pci_capability(w->qtest, 0, 3, PCI_CAP_ID_MSIX);
    uint32_t flags, table, pba;

    assert_int_not_equal(at, 0);
    flags = pci_read32(w->qtest, 0, 3, at) >> 16;
    table = pci_read32(w->qtest, 0, 3, (uint8_t) (at + PCI_MSIX_TABLE));
    pba = pci_read32(w->qtest, 0, 3, (uint8_t) (at + PCI_MSIX_PBA));
    assert_int_equal((flags & PCI_MSIX_FLAGS_QSIZE) + 1, 2);
    assert_false(flags & PCI_MSIX_FLAGS_ENABLE);
    assert_int_equal(table & PCI_MSIX_TABLE_BIR, 4);
    assert_int_equal(pba & PCI_MSIX_PBA_BIR, 4);
}

static void test_msix(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    msix_enable(&w->device, MESSAGES, VALUE);
    fake_signal(&r);
    wait_message(w, RING);
    fake_signal(&r); /* RING_IRQ_STATUS was not cleared, and need not be */
    wait_message(w, RING);
    assert_int_equal(device_read(&w->device, VGPU_REG_RING_IRQ_STATUS), 1);

    device_submit_add(&w->device, 1, 1, 2);
    fake_serve_add(&w->mediator, 1);
    wait_message(w, REQUEST);
    device_submit_add(&w->device, 2, 1, 2);
    fake_serve_add(&w->mediator, 2);
    wait_message(w, REQUEST);
    assert_int_equal(device_read(&w->device, VGPU_REG_IRQ_STATUS), 1);
    assert_false(qtest_irq(w->qtest));
    assert_false(pci_read32(w->qtest, 0, 3, PCI_COMMAND) >> 16 & PCI_STATUS_INTERRUPT);
    fake_ring_close(&r);
}

static void test_msix_not_wanted(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    msix_enable(&w->device, MESSAGES, VALUE);
    device_write(&w->device, VGPU_REG_RING_IRQ_CTRL, 0);
    clear_messages(w);
    fake_signal(&r);
    wait_status(w);
    assert_int_equal(message(w, RING), 0);
    device_write(&w->device, VGPU_REG_RING_IRQ_CTRL, 1); /* what came before is not lost */
    wait_message(w, RING);
    device_write(&w->device, VGPU_REG_RING_IRQ_CTRL, 1); /* nor said again */
    device_write(&w->device, VGPU_REG_RING_IRQ_STATUS, 1);
    assert_int_equal(message(w, RING), 0);

    device_write(&w->device, VGPU_REG_IRQ_CTRL, 0);
    device_write(&w->device, VGPU_REG_DOORBELL, 1); /* INVALID_LENGTH, on the spot */
    assert_int_equal(message(w, REQUEST), 0);
    device_write(&w->device, VGPU_REG_IRQ_CTRL, 1);
    wait_message(w, REQUEST);
    fake_ring_close(&r);
}

static void test_msix_masked(void **state)
{
    const uint64_t control = DEVICE_BAR4 + PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;
    World *w = *state;
    uint32_t pba;
    FakeRing r;

    ring_open(w, &r);
    msix_enable(&w->device, MESSAGES, VALUE);
    clear_messages(w);
    pba = pci_read32(w->qtest, 0, 3,
                     (uint8_t) (pci_capability(w->qtest, 0, 3, PCI_CAP_ID_MSIX) + PCI_MSIX_PBA));
    pba &= PCI_MSIX_PBA_OFFSET;
    qtest_write(w->qtest, control, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
    fake_signal(&r);
    assert_int_equal(qtest_read(w->qtest, DEVICE_BAR4 + pba, 4), 1u << RING); /* by then it is */
    assert_int_equal(message(w, RING), 0);
    qtest_write(w->qtest, control, 4, 0);
    wait_message(w, RING);
    assert_int_equal(qtest_read(w->qtest, DEVICE_BAR4 + pba, 4), 0);
    fake_ring_close(&r);
}

/* What is pending moves from the one to the other and back. */
static void test_between_intx_and_msix(void **state)
{
    World *w = *state;
    FakeRing r;

    ring_open(w, &r);
    fake_signal(&r);
    qtest_wait_irq(w->qtest, true);
    msix_enable(&w->device, MESSAGES, VALUE);
    qtest_wait_irq(w->qtest, false);
    clear_messages(w);
    fake_signal(&r);
    wait_message(w, RING);
    msix_disable(&w->device);
    qtest_wait_irq(w->qtest, true);
    assert_int_equal(message(w, RING), 0);
    device_write(&w->device, VGPU_REG_RING_IRQ_STATUS, 1);
    qtest_wait_irq(w->qtest, false);
    fake_ring_close(&r);
}

/* The end of STARTING, a failure and a new mediator are told by a message too. */
static void test_msix_of_the_rings_state(void **state)
{
    World *w = *state;
    FakeRing r;

    msix_enable(&w->device, MESSAGES, VALUE);
    clear_messages(w);
    device_ring_start(&w->device);
    fake_accept_setup(&w->mediator, &r);
    fake_ready(&w->mediator, VGPU_ERROR_NONE);
    wait_message(w, RING);
    assert_int_equal(device_read(&w->device, VGPU_REG_RING_CTRL), VGPU_RING_ON);

    fake_hang_up(&w->mediator);
    fake_ring_close(&r);
    fake_accept_setup(&w->mediator, &r);
    fake_ready(&w->mediator, VGPU_ERROR_NONE);
    wait_message(w, RING);

    fake_ready(&w->mediator, VGPU_ERROR_INVALID_REQUEST);
    wait_message(w, RING);
    assert_int_equal(device_read(&w->device, VGPU_REG_RING_CTRL), VGPU_RING_FAILED);
    fake_ring_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, ring_setup, world_teardown)
        CASE(test_doorbell_by_every_width),
        CASE(test_doorbell_is_no_register_access),
        CASE(test_nothing_else_rings),
        CASE(test_intx),
        CASE(test_intx_not_wanted),
        CASE(test_intx_of_both),
        CASE(test_interrupt_disable_bit),
        CASE(test_msix_capability),
        CASE(test_msix),
        CASE(test_msix_not_wanted),
        CASE(test_msix_masked),
        CASE(test_between_intx_and_msix),
        CASE(test_msix_of_the_rings_state),
#undef CASE
    };

    return cmocka_run_group_tests_name("interrupts", tests, NULL, NULL);
}

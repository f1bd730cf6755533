/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The doorbells and the interrupts of several rings at once. */
#include "device-rings.h"

#include <linux/pci_regs.h>

#define PATH "/machine/peripheral/gpu"

/* Where the messages go: RAM of the test's machine */
#define MESSAGES 0x200000u
#define VALUE 0xc0de0000u
#define N_VECTORS (1 + VGPU_RINGS_MAX)

static void open_all(Testbed *t, FakeSession sessions[static VGPU_RINGS_MAX])
{
    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++)
        session_open(t, ring, &sessions[ring]);
}

static void free_all(FakeSession sessions[static VGPU_RINGS_MAX])
{
    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++)
        fake_session_free(&sessions[ring]);
}

/* ---- Doorbells ------------------------------------------------------------------------ */

/* Each doorbell is heard by its own ring, by a write of any width. */
static void test_doorbells(void **state)
{
    FakeSession sessions[VGPU_RINGS_MAX];
    Testbed *t = *state;
    uint64_t writes;

    open_all(t, sessions);
    writes = qtest_counter(t->qtest, PATH, "mmio-writes");
    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++)
        for (uint32_t i = 0; i < ring; i++)
            qtest_write(t->qtest, DEVICE_BAR0 + vgpu_ring_doorbell(ring), 1u << i % 4, i);
    device_write(&t->device, VGPU_REG_RING_DOORBELL, 1);
    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++)
        assert_int_equal(fake_session_rung(&sessions[ring]), ring);
    assert_int_equal(fake_rung(t->mediator.ring), 1);
    /* No doorbell is a register access: under KVM no thread of QEMU would run for it. */
    assert_int_equal(qtest_counter(t->qtest, PATH, "mmio-writes"), writes);
    free_all(sessions);
}

/* Only while its ring is on is a doorbell anything but a register that ignores writes. */
static void test_doorbell_of_a_ring_that_is_off(void **state)
{
    FakeSession one, two;
    Testbed *t = *state;
    uint64_t writes;

    session_open(t, 1, &one);
    session_open(t, 2, &two);
    session_write(t, 1, VGPU_SESSION_REG_CTRL, 0);
    writes = qtest_counter(t->qtest, PATH, "mmio-writes");
    session_ring_doorbell(t, 1);
    session_ring_doorbell(t, 3);
    session_ring_doorbell(t, 2);
    assert_int_equal(qtest_counter(t->qtest, PATH, "mmio-writes"), writes + 2);
    assert_int_equal(fake_session_rung(&one), 0);
    assert_int_equal(fake_session_rung(&two), 1);

    /* By the rule for all registers, every access that touches the word counts. */
    qtest_write(t->qtest, DEVICE_BAR0 + vgpu_ring_doorbell(1), 8, 0);
    assert_int_equal(fake_session_rung(&two), 1);
    fake_session_free(&one);
    fake_session_free(&two);
}

static void test_nothing_else_rings(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 4, &s);
    for (uint32_t at = 0; at < VGPU_BAR0_SIZE; at += 4)
        if (at != vgpu_ring_doorbell(4) && at != vgpu_session_register(4, VGPU_SESSION_REG_CTRL))
            device_write(&t->device, at, 2);
    for (uint32_t at = 0; at < VGPU_BAR0_SIZE; at += 4)
        device_read(&t->device, at);
    assert_int_equal(fake_session_rung(&s), 0);
    fake_session_free(&s);
}

/* ---- INTx ------------------------------------------------------------------------------- */

/* The rings share the line, which stays up as long as one of them wants it. */
static void test_intx(void **state)
{
    Testbed *t = *state;
    FakeSession one, two;

    session_open(t, 1, &one);
    session_open(t, 15, &two);
    assert_false(qtest_irq(t->qtest));
    fake_session_signal(&one);
    qtest_wait_irq(t->qtest, true);
    assert_int_equal(session_read(t, 1, VGPU_SESSION_REG_IRQ_STATUS), 1);
    assert_int_equal(session_read(t, 15, VGPU_SESSION_REG_IRQ_STATUS), 0);
    assert_int_equal(device_read(&t->device, VGPU_REG_RING_IRQ_STATUS), 0);

    session_write(t, 15, VGPU_SESSION_REG_IRQ_STATUS, 1); /* the others' */
    device_write(&t->device, VGPU_REG_RING_IRQ_STATUS, 1);
    device_write(&t->device, VGPU_REG_IRQ_STATUS, 1);
    session_write(t, 1, VGPU_SESSION_REG_IRQ_STATUS, 0xfffffffe);
    assert_true(qtest_irq(t->qtest));

    fake_session_signal(&two);
    session_wait_status(t, 15);
    session_wait_event(t, 1);
    assert_true(qtest_irq(t->qtest));
    session_wait_event(t, 15);
    qtest_wait_irq(t->qtest, false);
    fake_session_free(&one);
    fake_session_free(&two);
}

static void test_intx_not_wanted(void **state)
{
    Testbed *t = *state;
    FakeSession one, two;

    session_open(t, 1, &one);
    session_open(t, 2, &two);
    session_write(t, 1, VGPU_SESSION_REG_IRQ_CTRL, 0);
    fake_session_signal(&one);
    session_wait_status(t, 1);
    assert_false(qtest_irq(t->qtest));
    session_write(t, 2, VGPU_SESSION_REG_IRQ_CTRL, 1); /* the other's */
    assert_false(qtest_irq(t->qtest));
    session_write(t, 1, VGPU_SESSION_REG_IRQ_CTRL, 1); /* late, but not too late */
    qtest_wait_irq(t->qtest, true);
    session_write(t, 1, VGPU_SESSION_REG_IRQ_CTRL, 0);
    qtest_wait_irq(t->qtest, false);
    fake_session_free(&one);
    fake_session_free(&two);
}

/* ---- MSI-X ---------------------------------------------------------------------------------- */

static void enable_messages(Testbed *t)
{
    for (unsigned i = 0; i < N_VECTORS; i++)
        msix_set_vector(&t->device, i, MESSAGES + 4 * i, VALUE + i, false);
    msix_write_flags(&t->device, PCI_MSIX_FLAGS_ENABLE);
}

static uint32_t message(Testbed *t, unsigned vector)
{
    return (uint32_t) qtest_read(t->qtest, MESSAGES + 4 * vector, 4);
}

static void clear_messages(Testbed *t)
{
    for (unsigned i = 0; i < N_VECTORS; i++)
        qtest_write(t->qtest, MESSAGES + 4 * i, 4, 0);
}

/* Waits until it is there. No other may be. */
static void wait_message(Testbed *t, unsigned vector)
{
    int64_t begin = now_ms();

    while (message(t, vector) == 0)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
    for (unsigned i = 0; i < N_VECTORS; i++)
        assert_int_equal(message(t, i), i == vector ? VALUE + i : 0);
    clear_messages(t);
}

static void test_msix(void **state)
{
    FakeSession sessions[VGPU_RINGS_MAX];
    Testbed *t = *state;

    open_all(t, sessions);
    enable_messages(t);
    clear_messages(t);
    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++) {
        fake_session_signal(&sessions[ring]);
        wait_message(t, 1 + ring);
        fake_session_signal(&sessions[ring]); /* IRQ_STATUS was not cleared, and need not be */
        wait_message(t, 1 + ring);
    }
    fake_signal(t->mediator.ring);
    wait_message(t, 1);
    assert_false(qtest_irq(t->qtest));
    free_all(sessions);
}

static uint32_t pending(Testbed *t)
{
    uint8_t at = pci_capability(t->qtest, 0, 3, PCI_CAP_ID_MSIX);
    uint32_t pba = pci_read32(t->qtest, 0, 3, (uint8_t) (at + PCI_MSIX_PBA));

    return (uint32_t) qtest_read(t->qtest, DEVICE_BAR4 + (pba & PCI_MSIX_PBA_OFFSET), 4);
}

/* A vector that is masked keeps its message, and no other's. */
static void test_msix_masked(void **state)
{
    FakeSession sessions[VGPU_RINGS_MAX];
    Testbed *t = *state;

    open_all(t, sessions);
    enable_messages(t);
    msix_set_vector(&t->device, 1 + 9, MESSAGES + 4 * 10, VALUE + 10, true);
    clear_messages(t);
    fake_session_signal(&sessions[9]);
    assert_int_equal(pending(t), 1u << 10); /* by then it is */
    fake_session_signal(&sessions[8]);
    wait_message(t, 1 + 8);
    msix_set_vector(&t->device, 1 + 9, MESSAGES + 4 * 10, VALUE + 10, false);
    wait_message(t, 1 + 9);
    assert_int_equal(pending(t), 0);
    free_all(sessions);
}

static void test_msix_not_wanted(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    session_open(t, 5, &s);
    enable_messages(t);
    session_write(t, 5, VGPU_SESSION_REG_IRQ_CTRL, 0);
    clear_messages(t);
    fake_session_signal(&s);
    session_wait_status(t, 5);
    assert_int_equal(message(t, 6), 0);
    session_write(t, 5, VGPU_SESSION_REG_IRQ_CTRL, 1); /* what came before is not lost */
    wait_message(t, 6);
    fake_session_free(&s);
}

/* The end of STARTING and a failure send a message, too. */
static void test_msix_of_the_sessions_state(void **state)
{
    Testbed *t = *state;
    FakeSession s;

    enable_messages(t);
    clear_messages(t);
    session_start(t, 5);
    fake_accept_open(&t->mediator, 5, &s);
    fake_session_ready(&t->mediator, 5, VGPU_ERROR_NONE, 0);
    wait_message(t, 6);
    assert_int_equal(session_state(t, 5), VGPU_RING_ON);
    fake_session_ready(&t->mediator, 5, VGPU_ERROR_CUDA_ERROR, 719);
    wait_message(t, 6);
    assert_int_equal(session_state(t, 5), VGPU_RING_FAILED);
    fake_session_free(&s);
}

static int setup_beside_a_ring(void **state)
{
    Testbed *t;

    ring_setup(state);
    t = *state;
    device_ring_start(&t->device);
    fake_accept(&t->mediator, NULL);
    fake_welcome_sessions(&t->mediator);
    fake_expect_setup(&t->mediator);
    ring_agree(t);
    return 0;
}

#define BESIDE_A_RING(test) \
    cmocka_unit_test_setup_teardown(test, setup_beside_a_ring, testbed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BESIDE_A_RING(test_doorbells),
        RING_TEST(test_doorbell_of_a_ring_that_is_off, NULL),
        RING_TEST(test_nothing_else_rings, NULL),
        RING_TEST(test_intx, NULL),
        RING_TEST(test_intx_not_wanted, NULL),
        BESIDE_A_RING(test_msix),
        BESIDE_A_RING(test_msix_masked),
        RING_TEST(test_msix_not_wanted, NULL),
        RING_TEST(test_msix_of_the_sessions_state, NULL),
    };

    return cmocka_run_group_tests_name("signals of rings", tests, NULL, NULL);
}

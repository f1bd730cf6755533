/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rings' interrupts and their doorbells under KVM, as the processor takes and makes them: QEMU
 * has no part in them, and nothing is lost when QEMU takes part for a while.
 *
 * QEMU's system calls tell whether it took part: an eventfd that QEMU takes up costs a read() each
 * time, and one that it signals a write().
 */
#include "device-rings.h"
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define N 1000

/* What QEMU may do meanwhile, for reasons of its own */
#define OTHER_TRANSFERS (N / 20)

/* N completions, each of which the program has taken before the next. Returns QEMU's transfers. */
static uint64_t complete_many(Guest *g, const FakeRing *r, unsigned interrupt)
{
    uint64_t before = qtest_n_transfers(g->testbed.qtest);

    for (int i = 0; i < N; i++) {
        fake_signal(r);
        guest_wait_interrupt(g, interrupt);
    }
    return qtest_n_transfers(g->testbed.qtest) - before;
}

/* KVM alone has interrupted the program for each of many completions. */
static void assert_by_kvm(Guest *g, const FakeRing *r)
{
    assert_true(complete_many(g, r, 0) < OTHER_TRANSFERS);
    guest_expect_no_interrupt(g);
    assert_int_equal(device_read(&g->testbed.device, VGPU_REG_RING_IRQ_STATUS), 0);
}

/* The event of a new ring or a new mediator comes from QEMU, which sets this. */
static void clear_status(Guest *g)
{
    device_write(&g->testbed.device, VGPU_REG_RING_IRQ_STATUS, VGPU_IRQ_COMPLETION);
}

/* Until QEMU has taken up an event. */
static void wait_status(Guest *g)
{
    int64_t begin = now_ms();

    while (device_read(&g->testbed.device, VGPU_REG_RING_IRQ_STATUS) == 0)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
}

static FakeRing *open_ring(Guest *g)
{
    FakeRing *r = guest_ring_open(g);

    clear_status(g);
    return r;
}

static bool is_pending(Guest *g)
{
    Device *d = &g->testbed.device;
    uint8_t at = pci_capability(d->qtest, d->bus, d->slot, PCI_CAP_ID_MSIX);
    uint32_t pba = pci_read32(d->qtest, d->bus, d->slot, (uint8_t) (at + PCI_MSIX_PBA));

    return qtest_read(d->qtest, DEVICE_BAR4 + (pba & PCI_MSIX_PBA_OFFSET), 4) & 1u << 1;
}

/* ---- The way through KVM, and the way around it ------------------------------------------- */

static void test_completions(void **state)
{
    Guest *g = *state;
    FakeRing *r = open_ring(g);

    assert_by_kvm(g, r);
}

static void test_doorbell(void **state)
{
    Guest *g = *state;
    uint64_t transfers;
    FakeRing *r = open_ring(g);

    g->state->address = DEVICE_BAR0 + VGPU_REG_RING_DOORBELL;
    g->state->writes = N;
    transfers = qtest_n_transfers(g->testbed.qtest);
    guest_kick(g);
    assert_true(qtest_n_transfers(g->testbed.qtest) - transfers < OTHER_TRANSFERS);
    assert_int_equal(fake_rung(r), N);
}

/* The same without KVM: it works, and QEMU is seen in it. */
static void test_without_kvm(void **state)
{
    Guest *g = *state;
    uint64_t transfers;
    FakeRing *r = open_ring(g);

    assert_true(complete_many(g, r, 0) >= N);
    guest_expect_no_interrupt(g);

    g->state->address = DEVICE_BAR0 + VGPU_REG_RING_DOORBELL;
    g->state->writes = N;
    transfers = qtest_n_transfers(g->testbed.qtest);
    guest_kick(g);
    assert_true(qtest_n_transfers(g->testbed.qtest) - transfers >= N);
    assert_int_equal(fake_rung(r), N);
}

/* ---- What the guest does to the vector ---------------------------------------------------- */

/* Events that come while the vector is masked are kept, and make one interrupt. */
static void check_mask(Guest *g, void (*mask)(Guest *g, bool on))
{
    FakeRing *r = open_ring(g);

    for (int i = 0; i < 3; i++) {
        mask(g, true);
        assert_false(is_pending(g));
        for (int j = 0; j < 3; j++)
            fake_signal(r);
        assert_true(is_pending(g));
        guest_expect_no_interrupt(g);
        mask(g, false);
        guest_wait_interrupt(g, 0);
        guest_expect_no_interrupt(g);
        assert_false(is_pending(g));

        mask(g, true);
        mask(g, false); /* nothing came */
        guest_expect_no_interrupt(g);
    }
    clear_status(g);
    assert_by_kvm(g, r);
}

static void mask_vector(Guest *g, bool on)
{
    guest_set_vector(g, GUEST_VECTOR, on);
}

static void mask_function(Guest *g, bool on)
{
    msix_write_flags(&g->testbed.device, PCI_MSIX_FLAGS_ENABLE | (on ? PCI_MSIX_FLAGS_MASKALL : 0));
}

static void test_vector_masked(void **state)
{
    check_mask(*state, mask_vector);
}

static void test_function_masked(void **state)
{
    check_mask(*state, mask_function);
}

/* An event that comes while the vector is masked for the change makes the new message. */
static void test_message_changed(void **state)
{
    Guest *g = *state;
    FakeRing *r = open_ring(g);

    for (unsigned i = 0; i < 10; i++) {
        unsigned to = !(i % 2);

        guest_set_vector(g, GUEST_VECTOR + to, true);
        fake_signal(r);
        guest_set_vector(g, GUEST_VECTOR + to, false);
        guest_wait_interrupt(g, to);
        assert_true(complete_many(g, r, to) < OTHER_TRANSFERS);
        guest_expect_no_interrupt(g);
    }
}

static void test_not_wanted(void **state)
{
    Guest *g = *state;
    FakeRing *r = open_ring(g);

    device_write(&g->testbed.device, VGPU_REG_RING_IRQ_CTRL, 0);
    fake_signal(r);
    wait_status(g);
    guest_expect_no_interrupt(g);
    device_write(&g->testbed.device, VGPU_REG_RING_IRQ_CTRL, 1);
    guest_wait_interrupt(g, 0);
    clear_status(g);
    assert_by_kvm(g, r);
}

static bool is_asserted(Device *d)
{
    return pci_read32(d->qtest, d->bus, d->slot, PCI_COMMAND) >> 16 & PCI_STATUS_INTERRUPT;
}

/* The interrupts come from QEMU again, and so does the register that goes with them. */
static void test_msix_disabled(void **state)
{
    Guest *g = *state;
    Device *d = &g->testbed.device;
    FakeRing *r = open_ring(g);

    for (int i = 0; i < 3; i++) {
        msix_write_flags(d, 0);
        assert_false(is_asserted(d));
        fake_signal(r);
        wait_status(g);
        assert_true(is_asserted(d));
        clear_status(g);
        assert_false(is_asserted(d));
        guest_expect_no_interrupt(g);

        msix_write_flags(d, PCI_MSIX_FLAGS_ENABLE);
        guest_expect_no_interrupt(g);
        assert_by_kvm(g, r);
    }
}

/* Messages are writes to memory, and a device that is no bus master makes none. */
static void test_no_bus_master(void **state)
{
    Guest *g = *state;
    Device *d = &g->testbed.device;
    FakeRing *r = open_ring(g);

    pci_write32(d->qtest, d->bus, d->slot, PCI_COMMAND, PCI_COMMAND_MEMORY);
    fake_signal(r);
    wait_status(g);
    clear_status(g);
    guest_expect_no_interrupt(g);
    pci_write32(d->qtest, d->bus, d->slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_by_kvm(g, r);
}

/* ---- What becomes of the ring ------------------------------------------------------------- */

static void test_off_and_on(void **state)
{
    Guest *g = *state;
    FakeRing *r = open_ring(g), *next;

    for (int i = 0; i < 3; i++) {
        device_write(&g->testbed.device, VGPU_REG_RING_CTRL, 0);
        fake_signal(r); /* nobody listens any more */
        guest_expect_no_interrupt(g);
        fake_expect_off(&g->testbed.mediator);
        fake_stopped(&g->testbed.mediator);
        next = open_ring(g);
        fake_signal(r);
        assert_by_kvm(g, next);
        r = next;
    }
}

/* A mediator takes up the ring. That is an event, and what was signalled before it is another. They
 * make one interrupt or two; while the vector is masked, one. */
static void take_up(Guest *g)
{
    mask_vector(g, true);
    fake_ready(&g->testbed.mediator, VGPU_ERROR_NONE);
    wait_status(g);
    assert_true(is_pending(g));
    mask_vector(g, false);
    guest_wait_interrupt(g, 0);
    clear_status(g);
}

/* What is signalled while no mediator has the ring waits. */
static void test_mediator_restarted(void **state)
{
    Guest *g = *state;
    FakeMediator *m = &g->testbed.mediator;
    FakeRing *r = open_ring(g), *next;

    fake_hang_up(m);
    next = fake_accept_setup(m);
    fake_signal(r);
    guest_expect_no_interrupt(g);
    take_up(g);
    assert_by_kvm(g, next);
}

static void test_stopped_vm(void **state)
{
    Guest *g = *state;
    FakeRing *r = open_ring(g), *again;

    fake_obey_meanwhile(&g->testbed.mediator, r);
    qtest_pause(g->testbed.qtest);
    fake_obeyed(&g->testbed.mediator);
    fake_signal(r);
    qtest_resume(g->testbed.qtest);
    guest_wait_interrupt(g, 0); /* its last word before it let go */
    guest_expect_no_interrupt(g);

    again = fake_expect_setup(&g->testbed.mediator);
    take_up(g);
    assert_by_kvm(g, again);
}

/* ---- What becomes of the device ----------------------------------------------------------- */

static void system_reset(Guest *g)
{
    uint32_t starts = g->state->starts;

    qtest_system_reset(g->testbed.qtest);
    guest_wait(&g->state->starts, starts + 1);
}

static void function_level_reset(Guest *g)
{
    device_reset(&g->testbed.device);
}

static void check_reset(Guest *g, void (*reset)(Guest *g))
{
    for (int i = 0; i < 3; i++) {
        FakeRing *r;

        r = open_ring(g);
        assert_by_kvm(g, r);
        fake_obey_meanwhile(&g->testbed.mediator, NULL);
        reset(g);
        fake_obeyed(&g->testbed.mediator);
        fake_hang_up(&g->testbed.mediator);
        fake_signal(r);
        guest_expect_no_interrupt(g);
        guest_set_up_device(g);
        guest_expect_no_interrupt(g);
    }
}

static void test_system_reset(void **state)
{
    check_reset(*state, system_reset);
}

static void test_function_level_reset(void **state)
{
    check_reset(*state, function_level_reset);
}

/* What was pending arrives in the new machine, and its mediator reaches the program, too. */
static void test_migrated(void **state)
{
    Guest *g = *state, there;
    FakeRing *r = open_ring(g), *next;

    assert_by_kvm(g, r);
    mask_vector(g, true);
    fake_obey_meanwhile(&g->testbed.mediator, r); /* signals, too */
    guest_migrate(g, &there);
    fake_obeyed(&g->testbed.mediator);
    assert_true(is_pending(&there));
    guest_expect_no_interrupt(&there);
    mask_vector(&there, false);
    guest_wait_interrupt(&there, 0);

    clear_status(&there);
    next = fake_accept_setup(&there.testbed.mediator);
    take_up(&there);
    assert_by_kvm(&there, next);
    guest_close(&there);
}

/* The vector was not masked, so only the stream says that its message is wanted. */
static void test_migrated_unmasked(void **state)
{
    Guest *g = *state, there;
    FakeRing *next;

    open_ring(g);
    fake_obey_meanwhile(&g->testbed.mediator, NULL);
    guest_migrate(g, &there);
    fake_obeyed(&g->testbed.mediator);
    next = fake_accept_setup(&there.testbed.mediator);
    take_up(&there);
    assert_by_kvm(&there, next);
    guest_close(&there);
}

/* ---- Sessions ------------------------------------------------------------------------------ */

/* The rings of two sessions, whose interrupts are GUEST_VECTOR and the next one */
static const uint32_t session_rings[2] = {1, 15};

static void open_sessions(Guest *g, FakeSession s[static 2])
{
    Testbed *t = &g->testbed;

    for (unsigned i = 0; i < 2; i++) {
        msix_set_vector(&t->device, 1 + session_rings[i], GUEST_APIC, GUEST_VECTOR + i, false);
        session_open(t, session_rings[i], &s[i]);
        guest_wait_interrupt(g, i); /* of the session's begin */
    }
}

/* As for completions: KVM makes each interrupt, and it is the one of that session. */
static void assert_sessions_by_kvm(Guest *g, const FakeSession s[static 2])
{
    uint64_t before = qtest_n_transfers(g->testbed.qtest);

    for (int i = 0; i < N; i++) {
        fake_session_signal(&s[i % 2]);
        guest_wait_interrupt(g, i % 2);
    }
    assert_true(qtest_n_transfers(g->testbed.qtest) - before < OTHER_TRANSFERS);
    guest_expect_no_interrupt(g);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(session_read(&g->testbed, session_rings[i], VGPU_SESSION_REG_IRQ_STATUS),
                         0);
}

static void test_sessions(void **state)
{
    Guest *g = *state;
    FakeSession s[2];

    open_sessions(g, s);
    assert_sessions_by_kvm(g, s);

    /* An event of one that is masked is kept, and the other one's comes. */
    msix_set_vector(&g->testbed.device, 1 + session_rings[0], GUEST_APIC, GUEST_VECTOR, true);
    fake_session_signal(&s[0]);
    fake_session_signal(&s[1]);
    guest_wait_interrupt(g, 1);
    guest_expect_no_interrupt(g);
    msix_set_vector(&g->testbed.device, 1 + session_rings[0], GUEST_APIC, GUEST_VECTOR, false);
    guest_wait_interrupt(g, 0);
    session_write(&g->testbed, session_rings[0], VGPU_SESSION_REG_IRQ_STATUS, 1);
    assert_sessions_by_kvm(g, s);

    /* One ends, and the other goes on. */
    session_write(&g->testbed, session_rings[0], VGPU_SESSION_REG_CTRL, 0);
    fake_expect_close(&g->testbed.mediator, session_rings[0]);
    fake_session_signal(&s[0]);
    fake_session_signal(&s[1]);
    guest_wait_interrupt(g, 1);
    guest_expect_no_interrupt(g);
    for (unsigned i = 0; i < 2; i++)
        fake_session_free(&s[i]);
}

static void test_doorbells_of_sessions(void **state)
{
    Guest *g = *state;
    uint64_t transfers;
    FakeSession s[2];

    open_sessions(g, s);
    for (unsigned i = 0; i < 2; i++) {
        g->state->address = DEVICE_BAR0 + vgpu_ring_doorbell(session_rings[i]);
        g->state->writes = N;
        transfers = qtest_n_transfers(g->testbed.qtest);
        guest_kick(g);
        assert_true(qtest_n_transfers(g->testbed.qtest) - transfers < OTHER_TRANSFERS);
        assert_int_equal(fake_session_rung(&s[i]), N);
        assert_int_equal(fake_session_rung(&s[!i]), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        fake_session_free(&s[i]);
}

/* ---- The program -------------------------------------------------------------------------- */

static int setup(void **state, const char *accel)
{
    Guest *g = malloc(sizeof(*g));

    if (!g)
        return -1;
    guest_open(g, accel, "q35");
    *state = g;
    return 0;
}

static int setup_kvm(void **state)
{
    return setup(state, "kvm");
}

static int setup_tcg(void **state)
{
    return setup(state, "tcg");
}

static int teardown(void **state)
{
    guest_close(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_kvm, teardown)
        CASE(test_completions),
        CASE(test_doorbell),
        cmocka_unit_test_setup_teardown(test_without_kvm, setup_tcg, teardown),
        CASE(test_vector_masked),
        CASE(test_function_masked),
        CASE(test_message_changed),
        CASE(test_not_wanted),
        CASE(test_msix_disabled),
        CASE(test_no_bus_master),
        CASE(test_off_and_on),
        CASE(test_mediator_restarted),
        CASE(test_stopped_vm),
        CASE(test_system_reset),
        CASE(test_function_level_reset),
        CASE(test_migrated),
        CASE(test_migrated_unmasked),
        CASE(test_sessions),
        CASE(test_doorbells_of_sessions),
#undef CASE
    };
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        printf("1..0 # SKIP /dev/kvm: %s\n", strerror(errno));
        return 0;
    }
    close(fd);
    return cmocka_run_group_tests_name("irqfd", tests, NULL, NULL);
}

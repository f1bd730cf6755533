/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's window and ring, used as a guest would use them. */
#ifndef VGPU_TEST_DEVICE_RING_H
#define VGPU_TEST_DEVICE_RING_H

#include "fake-ring.h"
#include "testbed.h"

/* Where tests put the other BARs: the window above 4 GiB, MSI-X behind BAR0 */
#define DEVICE_BAR2 UINT64_C(0x800000000)
#define DEVICE_BAR4 (DEVICE_BAR0 + 0x10000u)

/* Where the tests' ring lies, unless a test says otherwise */
#define RING_OFFSET 0x1000u
#define RING_ENTRIES 8u

/* device_map_window() - maps BAR2 and BAR4 */
void device_map_window(Device *d);

/* device_ring_place() - sets the ring's place and size */
void device_ring_place(Device *d, uint64_t offset, uint32_t entries);

/* device_ring_start() - turns the ring on, with interrupts, in the default place */
void device_ring_start(Device *d);

/* ring_state() - RING_CTRL as it reads */
uint32_t ring_state(Testbed *t);

/* ring_expect() - the ring interrupts, and RING_CTRL reads @state then */
void ring_expect(Testbed *t, uint32_t state);

/* ring_expect_failed() - the same for FAILED, with this RING_ERROR */
void ring_expect_failed(Testbed *t, uint32_t error);

/* ring_agree() - the mediator takes up the ring that it was told of, and the guest hears of it */
void ring_agree(Testbed *t);

/* ring_open() - turns the ring on and lets the mediator agree; the window is mapped already */
FakeRing *ring_open(Testbed *t);

/* ring_accept() - a new connection's mediator takes up the ring that is on, or starting */
FakeRing *ring_accept(Testbed *t);

/* ring_take_up() - the same, with a ring that another mediator had: the guest notices nothing but
 * the interrupt */
FakeRing *ring_take_up(Testbed *t);

/* ring_resume() - the stopped machine goes on, and its mediator takes up the ring again */
FakeRing *ring_resume(Testbed *t);

/*
 * ring_submit_add() - publishes one sum, and rings if the mediator wants that
 * @index: of the entry; its operands lie at a place of its own
 */
void ring_submit_add(Device *d, uint32_t index, int32_t a, int32_t b);

/* ring_take_sum() - the completion @index must be that of the entry @index. Returns its sum */
int32_t ring_take_sum(Device *d, uint32_t index);

/* msix_set_vector() - writes the vector's entry in the table: its message, and its mask */
void msix_set_vector(Device *d, unsigned vector, uint32_t address, uint32_t value, bool masked);

/* msix_write_flags() - writes the capability's two writable bits, PCI_MSIX_FLAGS_* */
void msix_write_flags(Device *d, uint32_t flags);

/*
 * ring_fill() - fills a new ring
 *
 * The mediator has done some entries and signalled that, but their completions are not taken. The
 * other entries are as they were submitted.
 */
void ring_fill(Device *d, FakeRing *r);

/* ring_finish() - the mediator does the rest of such a ring. All sums must be right */
void ring_finish(Device *d, FakeRing *r);

/* ring_clear() - makes the ring new, while it is off */
void ring_clear(Device *d);

/*
 * msix_enable() - switches MSI-X on; vector i writes @value + i to @address + 4 * i
 * @address: in RAM
 */
void msix_enable(Device *d, uint32_t address, uint32_t value);

/* msix_disable() - switches it off */
void msix_disable(Device *d);

/*
 * RING_TEST() - a line of cmocka's table: a test with a testbed whose window is mapped
 * RING_ON_TEST() - the same, and the ring is on; it is t->mediator.ring
 */
#define RING_TEST(test, options) \
    cmocka_unit_test_prestate_setup_teardown(test, ring_setup, testbed_teardown, options)
#define RING_ON_TEST(test, options) \
    cmocka_unit_test_prestate_setup_teardown(test, ring_setup_on, testbed_teardown, options)

int ring_setup(void **state);
int ring_setup_on(void **state);

#endif

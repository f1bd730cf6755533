/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's fast lane, used as a guest would. */
#ifndef VGPU_TEST_DEVICE_RING_H
#define VGPU_TEST_DEVICE_RING_H

#include "fake-ring.h"
#include "testbed.h"

/* Where tests put the other BARs: the window above 4 GiB, MSI-X behind BAR0 */
#define DEVICE_BAR2 UINT64_C(0x800000000)
#define DEVICE_BAR4 (DEVICE_BAR0 + 0x10000u)

/* Where the tests' ring lies, if nothing else is said */
#define RING_OFFSET 0x1000u
#define RING_ENTRIES 8u

/* device_map_window() - BAR2 and BAR4 */
void device_map_window(Device *d);

/* device_ring_place() - the ring's place and size */
void device_ring_place(Device *d, uint64_t offset, uint32_t entries);

/* device_ring_start() - with interrupts, to the default place */
void device_ring_start(Device *d);

/* ring_state() - RING_CTRL as it reads */
uint32_t ring_state(Testbed *t);

/* device_wait_ring() - until the ring interrupts. Acknowledges it. Returns RING_CTRL */
uint32_t device_wait_ring(Device *d);

/* ring_open() - turns the ring on and lets the mediator agree; the window is mapped already */
void ring_open(Testbed *t, FakeRing *ret);

/* ring_take_up() - a new connection's mediator finds the ring @old again, which the guest notices
 * by an interrupt only. Leaves the new descriptors in @ring */
void ring_take_up(Testbed *t, FakeRing *ring);

/*
 * ring_submit_add() - one sum: publishes it and rings, if that is wanted
 * @index: of the entry; its operands lie at a place of its own
 */
void ring_submit_add(Device *d, uint32_t index, int32_t a, int32_t b);

/* ring_take_sum() - the completion @index must be that of the entry @index. Returns its sum */
int32_t ring_take_sum(Device *d, uint32_t index);

/* msix_set_vector() - its entry in the table: the message, and is it masked? */
void msix_set_vector(Device *d, unsigned vector, uint32_t address, uint32_t value, bool masked);

/* msix_write_flags() - the two bits of the capability that can be written, PCI_MSIX_FLAGS_* */
void msix_write_flags(Device *d, uint32_t flags);

/*
 * ring_fill() - leaves no room on a ring that is new
 *
 * Some entries are done, and that was signalled; their completions are not taken. The others are
 * as they were submitted.
 */
void ring_fill(Device *d, FakeRing *r);

/* ring_finish() - does what is left on such a ring. All sums must be right */
void ring_finish(Device *d, FakeRing *r);

/* ring_clear() - makes it new, while it is off */
void ring_clear(Device *d);

/*
 * msix_enable() - switch it on; vector i writes @value + i to @address + 4 * i
 * @address: in RAM
 */
void msix_enable(Device *d, uint32_t address, uint32_t value);

/* msix_disable() - switch it off */
void msix_disable(Device *d);

/* For cmocka: a testbed with the window mapped, also with a reconnect-timeout of 1 s */
int ring_setup(void **state);
int ring_setup_impatient(void **state);

#endif

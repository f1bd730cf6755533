/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine whose processor runs a program, under KVM or TCG. The program counts the
 * interrupts that it takes, and writes to a register when it is told to. The test
 * sees both without QEMU's help, in memory that it shares with the program.
 */
#ifndef VGPU_TEST_GUEST_H
#define VGPU_TEST_GUEST_H

#include "device-ring.h"
#include "guest-layout.h"

typedef struct GuestState {
    _Atomic uint32_t starts;        /* how often the processor started */
    _Atomic uint32_t interrupts[2]; /* of GUEST_VECTOR and the next one */
    _Atomic uint32_t kicks;
    _Atomic uint32_t address; /* at each kick the program writes there */
    _Atomic uint32_t writes;  /* so many times */
} GuestState;

typedef struct Guest {
    Testbed testbed;
    GuestState *state;
    uint32_t seen[2]; /* interrupts that the test has waited for */
} Guest;

/*
 * guest_open() - starts the machine and the program
 * @accel: as for QEMU's option -accel
 * @machine: the machine's type
 *
 * The device has the id "gpu", and guest_set_up_device() has set it up.
 */
void guest_open(Guest *g, const char *accel, const char *machine);

/* guest_migrate() - migrates it into another, which is under KVM */
void guest_migrate(Guest *from, Guest *to);

/* guest_close() - ends it */
void guest_close(Guest *g);

/*
 * guest_set_up_device() - maps its BARs, and turns MSI-X on
 *
 * The ring's vector is GUEST_VECTOR, the other is masked. Call this again after a reset, and for
 * a new device.
 */
void guest_set_up_device(Guest *g);

/* guest_set_vector() - sets the message and the mask of the device's vector for the ring */
void guest_set_vector(Guest *g, uint32_t interrupt, bool masked);

/* guest_kick() - the program takes an interrupt and does its writes in it */
void guest_kick(Guest *g);

/* guest_wait_interrupt() - waits until GUEST_VECTOR + @i has come once more */
void guest_wait_interrupt(Guest *g, unsigned i);

/* guest_expect_no_interrupt() - no interrupt has come but those that the test waited for */
void guest_expect_no_interrupt(Guest *g);

/* guest_wait() - waits until *@value is @wanted */
void guest_wait(const _Atomic uint32_t *value, uint32_t wanted);

/* guest_ring_open() - turns the ring on, and lets the mediator agree */
FakeRing *guest_ring_open(Guest *g);

#endif

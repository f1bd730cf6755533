/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the fake mediator does with a ring. Its end of the ring is the mediator's own,
 * ring-host.h; what it says to the device is what the test wants.
 */
#ifndef VGPU_TEST_FAKE_RING_H
#define VGPU_TEST_FAKE_RING_H

#include "fake-mediator.h"
#include "ring-host.h"

/* A window with a ring, as the device handed it over. */
typedef struct FakeRing {
    struct FakeRing *earlier; /* that the mediator was handed before, or NULL */
    VGPURingSetup setup;
    int window_fd;
    int doorbell;   /* the guest rings */
    int completion; /* the mediator interrupts */
    uint64_t size;  /* of the window, by fstat() */
    uint8_t *window;
    RingHost host;
} FakeRing;

/* fake_welcome_ring() - answers a HELLO, and takes up the rings that it offers */
void fake_welcome_ring(FakeMediator *m);

/*
 * fake_expect_setup() - the next message must be RING_SETUP with three good descriptors
 *
 * Returns the ring, which m->ring is then, too. It stays until fake_close_rings().
 */
FakeRing *fake_expect_setup(FakeMediator *m);

/* fake_accept_setup() - takes a connection, its HELLO, answers that, and expects the setup */
FakeRing *fake_accept_setup(FakeMediator *m);

/* fake_close_rings() - gives all rings back */
void fake_close_rings(FakeMediator *m);

/* fake_ready() - sends RING_READY with this error */
void fake_ready(FakeMediator *m, uint32_t error);

/* fake_expect_off() - the next message must be RING_OFF */
void fake_expect_off(FakeMediator *m);

/* fake_stopped() - sends RING_STOPPED */
void fake_stopped(FakeMediator *m);

#define FAKE_LAST_WORD 0x77

/*
 * fake_obey_meanwhile() - a process waits for RING_OFF and answers it, while the test waits for
 * QEMU
 * @ring: NULL, or a ring on which the process finishes something first: it writes FAKE_LAST_WORD
 *     into the window's last byte, and signals
 *
 * Call fake_obeyed() after it, which fails the test if no RING_OFF came.
 */
void fake_obey_meanwhile(FakeMediator *m, const FakeRing *ring);
void fake_obeyed(FakeMediator *m);

/* fake_signal() - the completion eventfd */
void fake_signal(const FakeRing *r);

/* fake_rung() - how often the guest rang the doorbell since the last call; does not wait */
uint64_t fake_rung(const FakeRing *r);

/* fake_wait_rung() - until the guest rings */
void fake_wait_rung(const FakeRing *r);

/*
 * fake_compute() - takes what is on the ring and completes it. Signals if the guest wants that
 *
 * Computes additions of int32 only. Returns how many entries there were.
 */
unsigned fake_compute(FakeRing *r);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a mediator that says what the test wants does with a ring. */
#ifndef VGPU_TEST_FAKE_RING_H
#define VGPU_TEST_FAKE_RING_H

#include <sys/types.h>

#include "fake-mediator.h"

/* A window with a ring, as the device handed it over. */
typedef struct FakeRing {
    VGPURingSetup setup;
    int window_fd;
    int doorbell;   /* the guest rings */
    int completion; /* the mediator interrupts */
    uint64_t size;  /* of the window, by fstat() */
    uint8_t *window;
    VGPURingHeader *header; /* in the window, and so are */
    VGPUSubmission *submissions;
    VGPUCompletion *completions;
} FakeRing;

/* fake_welcome_ring() - answer a HELLO, and take up what it offers */
void fake_welcome_ring(FakeMediator *m);

/* fake_expect_setup() - the next message must be RING_SETUP with three good descriptors */
void fake_expect_setup(FakeMediator *m, FakeRing *ret);

/* fake_accept_setup() - a connection, its HELLO, WELCOME, and the setup */
void fake_accept_setup(FakeMediator *m, FakeRing *ret);

/* fake_ready() - RING_READY with this error */
void fake_ready(FakeMediator *m, uint32_t error);

/* fake_expect_off() - the next message must be RING_OFF */
void fake_expect_off(FakeMediator *m);

/* fake_stopped() - RING_STOPPED */
void fake_stopped(FakeMediator *m);

#define FAKE_LAST_WORD 0x77

/*
 * fake_obey_meanwhile() - a process that waits for RING_OFF and answers it, while the test waits
 * for QEMU
 * @ring: finishes something on it first: writes FAKE_LAST_WORD into the window's last byte, and
 *     signals; or NULL
 *
 * To be followed by fake_obeyed(), which fails the test if no RING_OFF came.
 */
pid_t fake_obey_meanwhile(FakeMediator *m, const FakeRing *ring);
void fake_obeyed(pid_t pid);

/* fake_ring_close() - gives all of it back */
void fake_ring_close(FakeRing *r);

/* fake_signal() - the completion eventfd */
void fake_signal(const FakeRing *r);

/* fake_rung() - how often the doorbell was rung since the last call; does not wait */
uint64_t fake_rung(const FakeRing *r);

/* fake_wait_rung() - until it is */
void fake_wait_rung(const FakeRing *r);

/*
 * fake_compute() - does what is on the ring, as a mediator would
 *
 * Knows additions of int32 and whatever needs no computing. Signals if the guest wants it.
 * Returns how many entries there were.
 */
unsigned fake_compute(FakeRing *r);

#endif

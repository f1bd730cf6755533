/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the fake mediator does with the rings of sessions: it says what the test wants, and never
 * looks into their areas. */
#ifndef VGPU_TEST_FAKE_SESSION_RING_H
#define VGPU_TEST_FAKE_SESSION_RING_H

#include "fake-mediator.h"

/* A session's ring as the device handed it over. */
typedef struct FakeSession {
    VGPUSessionOpen open;
    int window_fd;
    int doorbell;   /* the guest rings */
    int completion; /* the executor interrupts */
} FakeSession;

/* fake_welcome_sessions() - answers a HELLO, and takes up all rings that it offers */
void fake_welcome_sessions(FakeMediator *m);

/* fake_expect_open() - the next message must be SESSION_OPEN of this ring, with three good
 * descriptors. Give @ret back by fake_session_free() */
void fake_expect_open(FakeMediator *m, uint32_t ring, FakeSession *ret);

/* fake_accept_open() - takes a connection, its HELLO, answers that, and expects the same */
void fake_accept_open(FakeMediator *m, uint32_t ring, FakeSession *ret);

void fake_session_free(FakeSession *s);

/* fake_session_ready() - sends SESSION_READY; fake_session_closed() - sends SESSION_CLOSED */
void fake_session_ready(FakeMediator *m, uint32_t ring, uint32_t error, uint32_t cuda_result);
void fake_session_closed(FakeMediator *m, uint32_t ring);

/* fake_expect_close() - the next message must be SESSION_CLOSE of this ring */
void fake_expect_close(FakeMediator *m, uint32_t ring);

/* fake_session_signal() - the completion eventfd */
void fake_session_signal(const FakeSession *s);

/* fake_session_rung() - how often the guest rang since the last call; does not wait */
uint64_t fake_session_rung(const FakeSession *s);

/*
 * fake_close_meanwhile() - a process waits for @n SESSION_CLOSE and answers each, while the test
 * waits for QEMU
 *
 * Call fake_obeyed() after it, which fails the test if they did not come.
 */
void fake_close_meanwhile(FakeMediator *m, unsigned n);

#endif

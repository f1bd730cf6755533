/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's rings for sessions, used as a guest would use them. */
#ifndef VGPU_TEST_DEVICE_RINGS_H
#define VGPU_TEST_DEVICE_RINGS_H

#include "device-ring.h"
#include "fake-session-ring.h"

/* session_offset() - where the tests' area of that ring lies */
static inline uint64_t session_offset(uint32_t ring)
{
    return UINT64_C(0x10000) * ring;
}

/* A register of a ring from 1 on, VGPU_SESSION_REG_* */
uint32_t session_read(Testbed *t, uint32_t ring, uint32_t reg);
void session_write(Testbed *t, uint32_t ring, uint32_t reg, uint32_t value);

/* session_place() - sets the place of its area */
void session_place(Testbed *t, uint32_t ring, uint64_t offset);

/* session_start() - turns the ring on, with interrupts, in its default place */
void session_start(Testbed *t, uint32_t ring);

/* session_state() - CTRL as it reads */
uint32_t session_state(Testbed *t, uint32_t ring);

/* session_wait_status() - waits for the ring's IRQ_STATUS; session_wait_event() - clears it, too */
void session_wait_status(Testbed *t, uint32_t ring);
void session_wait_event(Testbed *t, uint32_t ring);

/* session_expect() - the ring has an event, and CTRL reads @state then */
void session_expect(Testbed *t, uint32_t ring, uint32_t state);

/* session_expect_failed() - the same for FAILED, with these in ERROR and CUDA_RESULT */
void session_expect_failed(Testbed *t, uint32_t ring, uint32_t error, uint32_t cuda_result);

/* session_agree() - the mediator begins the session that it was told of */
void session_agree(Testbed *t, uint32_t ring);

/* session_open() - turns the ring on and lets the mediator agree */
void session_open(Testbed *t, uint32_t ring, FakeSession *ret);

/* session_ring_doorbell() - writes the ring's doorbell */
void session_ring_doorbell(Testbed *t, uint32_t ring);

/* sessions_assert_power_on() - rings 1 to @rings - 1 have their power-on values, and nothing is
 * behind them */
void sessions_assert_power_on(Testbed *t, uint32_t rings);

#endif

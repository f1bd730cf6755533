/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-rings.h"

uint32_t session_read(Testbed *t, uint32_t ring, uint32_t reg)
{
    return device_read(&t->device, vgpu_session_register(ring, reg));
}

void session_write(Testbed *t, uint32_t ring, uint32_t reg, uint32_t value)
{
    device_write(&t->device, vgpu_session_register(ring, reg), value);
}

void session_place(Testbed *t, uint32_t ring, uint64_t offset)
{
    session_write(t, ring, VGPU_SESSION_REG_OFFSET_LO, (uint32_t) offset);
    session_write(t, ring, VGPU_SESSION_REG_OFFSET_HI, (uint32_t) (offset >> 32));
}

void session_start(Testbed *t, uint32_t ring)
{
    session_place(t, ring, session_offset(ring));
    session_write(t, ring, VGPU_SESSION_REG_IRQ_CTRL, VGPU_IRQ_COMPLETION);
    session_write(t, ring, VGPU_SESSION_REG_CTRL, 1);
}

uint32_t session_state(Testbed *t, uint32_t ring)
{
    return session_read(t, ring, VGPU_SESSION_REG_CTRL);
}

void session_wait_status(Testbed *t, uint32_t ring)
{
    int64_t begin = now_ms();

    while (session_read(t, ring, VGPU_SESSION_REG_IRQ_STATUS) == 0)
        assert_true(now_ms() - begin < QTEST_TIMEOUT_MSEC);
}

void session_wait_event(Testbed *t, uint32_t ring)
{
    session_wait_status(t, ring);
    session_write(t, ring, VGPU_SESSION_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    assert_int_equal(session_read(t, ring, VGPU_SESSION_REG_IRQ_STATUS), 0);
}

void session_expect(Testbed *t, uint32_t ring, uint32_t state)
{
    session_wait_event(t, ring);
    assert_int_equal(session_state(t, ring), state);
}

void session_expect_failed(Testbed *t, uint32_t ring, uint32_t error, uint32_t cuda_result)
{
    session_expect(t, ring, VGPU_RING_FAILED);
    assert_int_equal(session_read(t, ring, VGPU_SESSION_REG_ERROR), error);
    assert_int_equal(session_read(t, ring, VGPU_SESSION_REG_CUDA_RESULT), cuda_result);
}

void session_agree(Testbed *t, uint32_t ring)
{
    fake_session_ready(&t->mediator, ring, VGPU_ERROR_NONE, 0);
    session_expect(t, ring, VGPU_RING_ON);
}

void session_open(Testbed *t, uint32_t ring, FakeSession *ret)
{
    session_start(t, ring);
    assert_int_equal(session_state(t, ring), VGPU_RING_STARTING);
    if (t->mediator.peer < 0)
        fake_accept_open(&t->mediator, ring, ret);
    else
        fake_expect_open(&t->mediator, ring, ret);
    assert_int_equal(ret->open.offset, session_offset(ring));
    session_agree(t, ring);
}

void session_ring_doorbell(Testbed *t, uint32_t ring)
{
    device_write(&t->device, vgpu_ring_doorbell(ring), 1);
}

void sessions_assert_power_on(Testbed *t, uint32_t rings)
{
    assert_int_equal(device_read(&t->device, VGPU_REG_RINGS), rings > 1 ? rings : 0);
    for (uint32_t at = VGPU_REG_RINGS + 4; at < VGPU_BAR0_SIZE; at += 4)
        assert_int_equal(device_read(&t->device, at), 0);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-rings.h"

#include <errno.h>

#define PAUSE_MAX_NS 1000000u

uint32_t session_rings_count(vgpu_device *dev)
{
    uint32_t n;

    if (device_read(dev, VGPU_REG_EXT_MAGIC) != VGPU_EXT_MAGIC ||
        !(device_read(dev, VGPU_REG_EXT_FEATURES) & VGPU_EXT_FEATURE_SESSIONS))
        return 0;
    n = device_read(dev, VGPU_REG_RINGS);
    return n > VGPU_RINGS_MAX ? VGPU_RINGS_MAX : n;
}

int session_ring_turn_off(vgpu_device *dev, uint32_t ring, deadline until)
{
    const uint32_t control = vgpu_session_register(ring, VGPU_SESSION_REG_CTRL);
    backoff pause = {0};
    uint32_t state;

    device_write(dev, vgpu_session_register(ring, VGPU_SESSION_REG_IRQ_CTRL), 0);
    state = device_read(dev, control);
    if (state != VGPU_RING_OFF)
        device_write(dev, control, 0);
    while (state != VGPU_RING_OFF) {
        if (state == UINT32_MAX)
            return -ENODEV;
        if (!backoff_pause(&pause, until, PAUSE_MAX_NS))
            return -ETIMEDOUT;
        state = device_read(dev, control);
    }
    device_write(dev, vgpu_session_register(ring, VGPU_SESSION_REG_IRQ_STATUS),
                 VGPU_IRQ_COMPLETION);
    return 0;
}

int session_rings_turn_off_dead(vgpu_device *dev, deadline until)
{
    uint32_t n = session_rings_count(dev);
    int on = 0;

    for (uint32_t i = 1; i < n; i++) {
        int r;

        if (dev->session_ring == i || device_try_session_ring(dev, i) < 0)
            continue; /* it has an owner, who lives */
        r = 0;
        if (device_read(dev, vgpu_session_register(i, VGPU_SESSION_REG_CTRL)) != VGPU_RING_OFF) {
            on++;
            r = session_ring_turn_off(dev, i, until);
        }
        device_unlock_session_ring(dev, i);
        if (r < 0)
            return r;
    }
    return on;
}

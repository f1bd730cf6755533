/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring's interrupt: how to ask for it, to answer it, and to choose it. ring.h explains the
 * order of things. */
#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "ring.h"
#include "shared.h"

void ring_arm(vgpu_ring *ring, size_t wanted)
{
    uint32_t after = wanted > ring->outstanding ? ring->outstanding : (uint32_t) wanted;

    shared_store(&ring->header->cq_event, ring->cq_head + (after > 0 ? after - 1 : 0));
    shared_barrier();
}

void ring_disarm(vgpu_ring *ring)
{
    shared_store(&ring->header->cq_event, ring->cq_head + (UINT32_C(1) << 31));
}

int ring_acknowledge(vgpu_ring *ring)
{
    int r = 0;

    if (interrupt_is_level(&ring->interrupt)) {
        device_write(ring->dev, VGPU_REG_RING_IRQ_STATUS, VGPU_IRQ_COMPLETION);
        r = interrupt_unmask(&ring->interrupt);
    }
    shared_barrier();
    return r;
}

static int ring_open_interrupt(vgpu_ring *ring)
{
    CLEANUP_CLOSE int wake_fd = -1;
    int r;

    if (interrupt_is_open(&ring->interrupt))
        return 0;

    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0)
        return -errno;
    r = ring->dev->access->open_interrupt(ring->dev, INTERRUPT_RING, &ring->interrupt);
    if (r < 0)
        return r;
    ring->wake_fd = TAKE_FD(wake_fd);

    ring_disarm(ring);
    device_write(ring->dev, VGPU_REG_RING_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    device_write(ring->dev, VGPU_REG_RING_IRQ_CTRL, VGPU_IRQ_COMPLETION);
    r = interrupt_unmask(&ring->interrupt);
    if (r < 0)
        ring_close_interrupt(ring);
    return r;
}

void ring_close_interrupt(vgpu_ring *ring)
{
    if (!interrupt_is_open(&ring->interrupt))
        return;

    assert(!ring->leader);
    device_write(ring->dev, VGPU_REG_RING_IRQ_CTRL, 0);
    interrupt_close(&ring->interrupt);
    close(ring->wake_fd);
    ring->wake_fd = -1;
}

static int ring_set_wait(vgpu_ring *ring, vgpu_wait_mode mode, uint32_t spin_us)
{
    int r;

    if (ring->leader)
        return -EBUSY;

    if (mode == VGPU_WAIT_INTERRUPT) {
        r = ring_open_interrupt(ring);
        if (r < 0)
            return r;
    } else {
        ring_close_interrupt(ring);
    }
    ring->spin_us = spin_us;
    return 0;
}

int vgpu_ring_set_wait(vgpu_ring *ring, vgpu_wait_mode mode, uint32_t spin_us)
{
    int r;

    ring_lock(ring);
    r = ring_set_wait(ring, mode, spin_us);
    ring_unlock(ring);
    return r;
}

/* ---- A program's own event loop --------------------------------------------------- */

int vgpu_ring_get_fd(const vgpu_ring *ring)
{
    int fd;

    ring_lock(ring);
    fd = interrupt_is_open(&ring->interrupt) ? ring->interrupt.fd : -ENXIO;
    ring_unlock(ring);
    return fd;
}

static int ring_prepare_sleep(vgpu_ring *ring)
{
    bool woken;
    int r;

    if (!interrupt_is_open(&ring->interrupt))
        return -ENXIO;
    if (ring->leader)
        return -EBUSY; /* reading the interrupt here would take it from the leader */

    /* Answer an interrupt from before first, or the descriptor stays readable. */
    r = interrupt_sleep(&ring->interrupt, -1, 0);
    woken = r == 0;
    if (woken) {
        ring->counters.interrupts++;
        r = ring_acknowledge(ring);
    }
    if (r < 0 && r != -ETIMEDOUT)
        return r;

    ring_arm(ring, 1);
    if (ring_harvest(ring) == 0 && woken)
        ring_check(ring, true);
    if (ring->to_call.n == 0 && ring->to_take.n == 0)
        return 0;
    ring_disarm(ring);
    return -EAGAIN;
}

int vgpu_ring_arm(vgpu_ring *ring)
{
    int r;

    ring_lock(ring);
    r = ring_prepare_sleep(ring);
    ring_unlock(ring);
    return r;
}

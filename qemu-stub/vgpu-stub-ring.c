/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may touch the window
 * ------------------------
 * The guest may always. The mediator and its executors may from the moment the
 * link has told the mediator of the ring, until the mediator says that it has
 * let go of the window, or its connection ends. QEMU itself touches the window
 * while the VM is stopped, and the link does not let the VM stop before the
 * mediator has let go. Migration reads the window like all RAM, but does not
 * see what other processes write there, so all of it counts as changed whenever
 * a mediator lets go.
 *
 * Events
 * ------
 * A mediator that died may not have signalled its last completion. So the guest
 * gets one event each time a mediator takes up the ring.
 */

#include "qemu/osdep.h"
#include "vgpu-stub-ring.h"

/* ---- On and off ---------------------------------------------------------- */

static void ring_fail(VGPURing *ring, uint32_t error)
{
    vgpu_signals_close(&ring->signals);
    ring->state = VGPU_RING_FAILED;
    ring->error = error;
}

/* Hands the ring to the link. @agreed: see vgpu_link_ring_start() */
static int ring_start(VGPURing *ring, bool agreed)
{
    int r = vgpu_signals_open(&ring->signals);

    if (r < 0) {
        return r;
    }
    ring->link_ring = (VGPULinkRing) {
        .setup = { .offset = ring->offset, .entries = ring->entries },
    };
    vgpu_signals_get_fds(&ring->signals, vgpu_window_fd(ring->window),
                         ring->link_ring.fds);
    vgpu_link_ring_start(ring->link, &ring->link_ring, agreed);
    return 0;
}

static bool ring_is_on(const VGPURing *ring)
{
    return ring->state == VGPU_RING_STARTING || ring->state == VGPU_RING_ON;
}

static void ring_turn_on(VGPURing *ring)
{
    if (ring_is_on(ring)) {
        return;
    }
    if (!vgpu_ring_is_valid(ring->window->size, ring->offset, ring->entries)) {
        ring_fail(ring, VGPU_ERROR_INVALID_REQUEST);
        return;
    }
    ring->state = VGPU_RING_STARTING;
    ring->error = VGPU_ERROR_NONE;
    if (ring_start(ring, false) < 0) {
        ring_fail(ring, VGPU_ERROR_RATE_LIMITED); /* no descriptor is free */
    }
}

static void ring_turn_off(VGPURing *ring)
{
    ring->state = VGPU_RING_STOPPING;
    ring->error = VGPU_ERROR_NONE;
    if (!vgpu_link_ring_stop(ring->link)) {
        ring->state = VGPU_RING_OFF;
    }
    vgpu_signals_close(&ring->signals);
}

void vgpu_ring_ready(VGPURing *ring, uint32_t error)
{
    if (error == VGPU_ERROR_NONE) {
        ring->state = VGPU_RING_ON;
        vgpu_signals_listen(&ring->signals);
    } else {
        ring_fail(ring, error);
    }
    vgpu_signals_raise(&ring->signals);
}

void vgpu_ring_released(VGPURing *ring)
{
    vgpu_signals_ignore(&ring->signals);
    if (ring->state == VGPU_RING_STOPPING) {
        ring->state = VGPU_RING_OFF;
    }
    vgpu_window_changed(ring->window);
}

void vgpu_ring_reset(VGPURing *ring)
{
    vgpu_signals_reset(&ring->signals);
    ring->offset = 0;
    ring->entries = 0;
    ring->state = VGPU_RING_OFF;
    ring->error = VGPU_ERROR_NONE;
}

/* ---- Registers ----------------------------------------------------------- */

uint32_t vgpu_ring_load(const VGPURing *ring, hwaddr word)
{
    switch (word) {
    case VGPU_REG_EXT_MAGIC:
        return VGPU_EXT_MAGIC;
    case VGPU_REG_EXT_VERSION:
        return VGPU_EXT_VERSION;
    case VGPU_REG_EXT_FEATURES:
        return ring->features;
    case VGPU_REG_WINDOW_SIZE_LO:
        return ring->window->size;
    case VGPU_REG_WINDOW_SIZE_HI:
        return ring->window->size >> 32;
    case VGPU_REG_RING_OFFSET_LO:
        return ring->offset;
    case VGPU_REG_RING_OFFSET_HI:
        return ring->offset >> 32;
    case VGPU_REG_RING_ENTRIES:
        return ring->entries;
    case VGPU_REG_RING_CTRL:
        return ring->state;
    case VGPU_REG_RING_ERROR:
        return ring->error;
    case VGPU_REG_RING_IRQ_CTRL:
        return ring->signals.irq_ctrl;
    case VGPU_REG_RING_IRQ_STATUS:
        return ring->signals.irq_status;
    default:
        return 0;
    }
}

/* The place of the ring can be changed only while the ring is off. */
static void ring_store_place(VGPURing *ring, hwaddr word, uint32_t value,
                             uint32_t mask)
{
    if (ring_is_on(ring)) {
        return;
    }
    if (word == VGPU_REG_RING_ENTRIES) {
        ring->entries = (ring->entries & ~mask) | value;
    } else {
        unsigned shift = word == VGPU_REG_RING_OFFSET_HI ? 32 : 0;

        ring->offset = (ring->offset & ~((uint64_t)mask << shift)) |
                       (uint64_t)value << shift;
    }
}

void vgpu_ring_store(VGPURing *ring, hwaddr word, uint32_t value,
                     uint32_t mask)
{
    switch (word) {
    case VGPU_REG_RING_OFFSET_LO:
    case VGPU_REG_RING_OFFSET_HI:
    case VGPU_REG_RING_ENTRIES:
        ring_store_place(ring, word, value, mask);
        break;
    case VGPU_REG_RING_CTRL:
        if (value == 1) {
            ring_turn_on(ring);
        } else if (value == 0 && (mask & 1)) {
            ring_turn_off(ring);
        }
        break;
    case VGPU_REG_RING_IRQ_CTRL:
        vgpu_signals_store_ctrl(&ring->signals, value, mask);
        break;
    case VGPU_REG_RING_IRQ_STATUS:
        vgpu_signals_store_status(&ring->signals, value);
        break;
    case VGPU_REG_RING_DOORBELL:
        vgpu_signals_ring(&ring->signals);
        break;
    default: /* read-only */
        break;
    }
}

/* ---- Migration ----------------------------------------------------------- */

/*
 * Anybody may have made the stream. STOPPING is not possible in it: no mediator
 * of a stopped VM has the window.
 */
static bool ring_state_is_valid(const VGPURing *ring)
{
    if (ring->state > VGPU_RING_FAILED || ring->error >= VGPU_N_ERRORS ||
        !vgpu_signals_are_valid(&ring->signals)) {
        return false;
    }
    return !ring_is_on(ring) ||
           vgpu_ring_is_valid(ring->window->size, ring->offset, ring->entries);
}

int vgpu_ring_post_load(VGPURing *ring)
{
    if (!ring_state_is_valid(ring)) {
        return -EINVAL;
    }
    return ring_is_on(ring) ? ring_start(ring, ring->state == VGPU_RING_ON) : 0;
}

void vgpu_ring_init(VGPURing *ring, VGPULink *link, VGPUWindow *window,
                    uint32_t features)
{
    ring->link = link;
    ring->window = window;
    ring->features = features;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's part of the ring: the data window in BAR2, and the registers in
 * the extension block by which the guest puts a ring into the window. The
 * contract is vgpu-ring.h.
 *
 * The device model touches neither the data nor the ring. It owns the memory,
 * hands it to the mediator with an eventfd for each direction, and is out of
 * the way then: the guest's doorbell is an ioeventfd, and what the mediator
 * signals on the other eventfd becomes an interrupt, made by KVM itself where
 * possible.
 */
#ifndef VGPU_STUB_RING_H
#define VGPU_STUB_RING_H

#include "qemu/event_notifier.h"
#include "qemu-compat.h"
#include "vgpu-irqfd.h"
#include "vgpu-link.h"
#include "vgpu-ring.h"

/* The guest may want an interrupt for something. Must not call back. */
typedef void VGPURingEvent(void *opaque);

typedef struct VGPURing {
    /* Properties */
    uint64_t window_size; /* 0: no window, and nothing else here is used */
    bool hugepages;

    VGPULink *link;
    MemoryRegion *bar0; /* where the doorbell is */
    VGPURingEvent *event;
    void *opaque;

    MemoryRegion window;
    EventNotifier doorbell;
    EventNotifier completion;
    bool has_notifiers;
    bool is_heard; /* do completions reach the guest? From ready to released */
    bool has_msix; /* as the guest is told */
    VGPUIrqfd irqfd; /* for the ring's vector; the device initialises it */
    VGPULinkRing link_ring; /* the ring as the link has it */

    /* Registers */
    uint64_t offset;
    uint32_t entries;
    uint32_t state; /* VGPU_RING_* */
    uint32_t error;
    uint32_t irq_ctrl;
    uint32_t irq_status;
} VGPURing;

/*
 * vgpu_ring_init() - makes the window
 * @ring: with its properties set
 * @dev: owns the window
 * @link, @bar0: must outlive the ring
 *
 * Returns false, and sets @errp, when there can be none.
 */
bool vgpu_ring_init(VGPURing *ring, DeviceState *dev, VGPULink *link,
                    MemoryRegion *bar0, VGPURingEvent *event, void *opaque,
                    Error **errp);

/* vgpu_ring_cleanup() - gives up the window; the link must have been reset */
void vgpu_ring_cleanup(VGPURing *ring, DeviceState *dev);

/*
 * vgpu_ring_reset() - every register takes its power-on value
 *
 * The link must have been reset. The window keeps its content, as a card keeps
 * its memory: it belongs to the same VM as before.
 */
void vgpu_ring_reset(VGPURing *ring);

/* vgpu_ring_irq() - does the guest want an interrupt now? */
static inline bool vgpu_ring_irq(const VGPURing *ring)
{
    return ring->irq_status & ring->irq_ctrl;
}

/*
 * vgpu_ring_load() - the word at @word, a multiple of 4 in the extension block
 */
uint32_t vgpu_ring_load(const VGPURing *ring, hwaddr word);

/* vgpu_ring_store() - writes those bits of the word at @word that @mask has */
void vgpu_ring_store(VGPURing *ring, hwaddr word, uint32_t value,
                     uint32_t mask);

/*
 * vgpu_ring_update_listener() - the device may send messages now, or no more
 *
 * See vgpu_irqfd_set() for when that can change.
 */
void vgpu_ring_update_listener(VGPURing *ring);

/*
 * vgpu_ring_poll() - takes up a completion that the main loop has not seen yet
 */
void vgpu_ring_poll(VGPURing *ring);

/* What the link tells the device, see VGPULinkOps */
void vgpu_ring_ready(VGPURing *ring, uint32_t error);
void vgpu_ring_released(VGPURing *ring);

/*
 * vgpu_ring_post_load() - takes up registers that came from a stream
 *
 * Returns 0, -EINVAL for registers that are not possible, or another negative
 * errno when there is no descriptor for the ring.
 */
int vgpu_ring_post_load(VGPURing *ring);

#endif

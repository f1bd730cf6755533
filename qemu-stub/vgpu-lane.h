/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fast lane: the data window in BAR2, and the registers in the extension
 * block by which the guest puts a ring into it. vgpu-ring.h is the contract.
 *
 * The device model touches neither the data nor the ring. It owns the memory,
 * hands it to the mediator with an eventfd for each direction, and is out of the
 * way: the guest's doorbell is an ioeventfd, and what the mediator says on the
 * other eventfd becomes an interrupt, by KVM itself where that is possible.
 */
#ifndef VGPU_LANE_H
#define VGPU_LANE_H

#include "qemu/event_notifier.h"
#include "qemu-compat.h"
#include "vgpu-irqfd.h"
#include "vgpu-link.h"
#include "vgpu-ring.h"

/* Something the guest may want an interrupt for. Must not call back. */
typedef void VGPULaneEvent(void *opaque);

typedef struct VGPULane {
    /* Properties */
    uint64_t window_size; /* 0: there is no lane, and nothing else here is used */
    bool hugepages;

    VGPULink *link;
    MemoryRegion *bar0; /* where the doorbell is */
    VGPULaneEvent *event;
    void *opaque;

    MemoryRegion window;
    EventNotifier doorbell;
    EventNotifier completion;
    bool has_notifiers;
    bool is_heard; /* are completions the guest's? So from ready to released */
    bool has_msix; /* what the guest is told */
    VGPUIrqfd irqfd; /* for its vector; made by the device */
    VGPULinkRing ring; /* as the link has it */

    /* Registers */
    uint64_t offset;
    uint32_t entries;
    uint32_t state; /* VGPU_RING_* */
    uint32_t error;
    uint32_t irq_ctrl;
    uint32_t irq_status;
} VGPULane;

/*
 * vgpu_lane_init() - makes the window
 * @lane: with its properties set
 * @dev: owns the window
 * @link, @bar0: must outlive the lane
 *
 * Returns false, and sets @errp, when that can't be.
 */
bool vgpu_lane_init(VGPULane *lane, DeviceState *dev, VGPULink *link,
                    MemoryRegion *bar0, VGPULaneEvent *event, void *opaque,
                    Error **errp);

/* vgpu_lane_cleanup() - the link must have been reset */
void vgpu_lane_cleanup(VGPULane *lane, DeviceState *dev);

/*
 * vgpu_lane_reset() - every register takes its power-on value
 *
 * The link must have been reset. The window's content stays, as a card's
 * memory does: it is the same VM's as before.
 */
void vgpu_lane_reset(VGPULane *lane);

/* vgpu_lane_irq() - does the guest want an interrupt now? */
static inline bool vgpu_lane_irq(const VGPULane *lane)
{
    return lane->irq_status & lane->irq_ctrl;
}

/* vgpu_lane_load() - the word at @word, a multiple of 4 in the extension block */
uint32_t vgpu_lane_load(const VGPULane *lane, hwaddr word);

/* vgpu_lane_store() - writes those bits of it that @mask has */
void vgpu_lane_store(VGPULane *lane, hwaddr word, uint32_t value,
                     uint32_t mask);

/*
 * vgpu_lane_update_listener() - whether messages may be sent has changed
 *
 * See vgpu_irqfd_set().
 */
void vgpu_lane_update_listener(VGPULane *lane);

/* vgpu_lane_poll() - takes up what the main loop has not taken up yet */
void vgpu_lane_poll(VGPULane *lane);

/* What the link has to say, see VGPULinkOps */
void vgpu_lane_ring_ready(VGPULane *lane, uint32_t error);
void vgpu_lane_ring_released(VGPULane *lane);

/*
 * vgpu_lane_post_load() - the registers came from a stream
 *
 * Returns -EINVAL when they can't be, or another negative errno when the ring
 * cannot be taken up.
 */
int vgpu_lane_post_load(VGPULane *lane);

#endif

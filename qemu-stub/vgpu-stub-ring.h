/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's part of ring 0: the registers in the extension block by which
 * the guest puts a ring into the window. The contract is vgpu-ring.h.
 *
 * The device model touches neither the data nor the ring. It owns the memory,
 * hands it to the mediator with an eventfd for each direction, and is out of
 * the way then.
 */
#ifndef VGPU_STUB_RING_H
#define VGPU_STUB_RING_H

#include "qemu-compat.h"
#include "vgpu-link.h"
#include "vgpu-ring.h"
#include "vgpu-stub-signals.h"
#include "vgpu-stub-window.h"

typedef struct VGPURing {
    VGPULink *link;
    VGPUWindow *window;
    uint32_t features;      /* EXT_FEATURES */
    VGPUSignals signals;    /* the device initialises them */
    VGPULinkRing link_ring; /* the ring as the link has it */

    /* Registers, beside those of the signals */
    uint64_t offset;
    uint32_t entries;
    uint32_t state; /* VGPU_RING_* */
    uint32_t error;
} VGPURing;

/*
 * vgpu_ring_init() - prepares a ring that is off
 * @link, @window: must outlive the ring
 * @features: VGPU_EXT_FEATURE_*, as the guest is told
 */
void vgpu_ring_init(VGPURing *ring, VGPULink *link, VGPUWindow *window,
                    uint32_t features);

/*
 * vgpu_ring_reset() - every register takes its power-on value
 *
 * The link must have been reset. The window keeps its content, as a card keeps
 * its memory: it belongs to the same VM as before.
 */
void vgpu_ring_reset(VGPURing *ring);

/*
 * vgpu_ring_load() - the word at @word, a multiple of 4 in the extension block
 */
uint32_t vgpu_ring_load(const VGPURing *ring, hwaddr word);

/* vgpu_ring_store() - writes those bits of the word at @word that @mask has */
void vgpu_ring_store(VGPURing *ring, hwaddr word, uint32_t value,
                     uint32_t mask);

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

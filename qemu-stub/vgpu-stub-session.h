/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's part of sessions: the rings beyond ring 0, and their registers.
 * The contract is vgpu-ring.h.
 *
 * Each ring serves one process of the guest. The device checks where the area
 * of a session begins, and looks at nothing in it: that is for the session's
 * executor.
 */
#ifndef VGPU_STUB_SESSION_H
#define VGPU_STUB_SESSION_H

#include "qemu-compat.h"
#include "vgpu-blocker.h"
#include "vgpu-link.h"
#include "vgpu-ring.h"
#include "vgpu-stub-signals.h"
#include "vgpu-stub-window.h"

/* One ring beyond ring 0. */
typedef struct VGPUSession {
    VGPUSignals signals;
    VGPULinkSessionRing link_ring; /* the ring as the link has it */
    bool blocks; /* does it keep the VM from being migrated? */

    /* Registers, beside those of the signals */
    uint64_t offset;
    uint32_t state; /* VGPU_RING_* */
    uint32_t error;
    uint32_t cuda_result;
} VGPUSession;

typedef struct VGPUSessions {
    /* Property: with ring 0; 1: there are no sessions */
    uint32_t rings;

    VGPULink *link;
    VGPUWindow *window;
    VGPUBlocker blocker;
    VGPUSession session[VGPU_RINGS_MAX]; /* by ring; 0 is not used */
} VGPUSessions;

/*
 * vgpu_sessions_init() - prepares the rings, which are off
 * @sessions: with its property set
 * @dev, @bar0, @link, @window: must outlive the sessions
 * @event: for their signals
 */
void vgpu_sessions_init(VGPUSessions *sessions, PCIDevice *dev,
                        MemoryRegion *bar0, VGPULink *link, VGPUWindow *window,
                        VGPUSignalsEvent *event, void *opaque);

/*
 * vgpu_sessions_reset() - every register takes its power-on value
 *
 * The link must have been reset. Nothing needs to be cleaned up after this.
 */
void vgpu_sessions_reset(VGPUSessions *sessions);

/*
 * vgpu_sessions_has_word() - is the word at @word, a multiple of 4 in the
 * extension block, one for vgpu_sessions_load() and vgpu_sessions_store()?
 */
bool vgpu_sessions_has_word(hwaddr word);

/* vgpu_sessions_load() - the word; 0 where this device has no register */
uint32_t vgpu_sessions_load(const VGPUSessions *sessions, hwaddr word);

/* vgpu_sessions_store() - writes those bits of the word that @mask has */
void vgpu_sessions_store(VGPUSessions *sessions, hwaddr word, uint32_t value,
                         uint32_t mask);

/* What the link tells the device, see VGPULinkOps */
void vgpu_sessions_ready(VGPUSessions *sessions, unsigned ring, uint32_t error,
                         uint32_t cuda_result);
void vgpu_sessions_released(VGPUSessions *sessions, unsigned ring);

/* vgpu_sessions_are_open() - is there any that cannot be saved? */
bool vgpu_sessions_are_open(const VGPUSessions *sessions);

/* vgpu_sessions_are_used() - has any register not its power-on value? */
bool vgpu_sessions_are_used(const VGPUSessions *sessions);

/* vgpu_sessions_are_valid() - can registers from a stream be these? */
bool vgpu_sessions_are_valid(const VGPUSessions *sessions);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a ring is signalled: the guest's doorbell, the interrupt, and the
 * registers that say whether the guest wants one.
 *
 * The doorbell is an ioeventfd. What the other side signals on its eventfd
 * becomes an interrupt, made by KVM itself where possible. Each ring has
 * signals of its own, and its vector is the ring's number plus 1.
 */
#ifndef VGPU_STUB_SIGNALS_H
#define VGPU_STUB_SIGNALS_H

#include "qemu/event_notifier.h"
#include "qemu-compat.h"
#include "vgpu-irqfd.h"
#include "vgpu-ring.h"

/*
 * The line may have changed; if @wants, the guest wants a message by @vector,
 * too. Must not call back.
 */
typedef void VGPUSignalsEvent(void *opaque, unsigned vector, bool wants);

typedef struct VGPUSignals {
    MemoryRegion *bar0; /* where the doorbell is */
    hwaddr doorbell_at;
    VGPUSignalsEvent *event;
    void *opaque;
    VGPUIrqfd irqfd; /* for the ring's vector */

    EventNotifier doorbell;
    EventNotifier completion;
    bool is_open;
    bool is_heard; /* do completions reach the guest? */

    /* Registers */
    uint32_t irq_ctrl;
    uint32_t irq_status;
} VGPUSignals;

/*
 * vgpu_signals_init() - prepares the signals of @ring; they are not open yet
 * @dev, @bar0: must outlive the signals
 */
void vgpu_signals_init(VGPUSignals *signals, PCIDevice *dev, MemoryRegion *bar0,
                       unsigned ring, VGPUSignalsEvent *event, void *opaque);

/*
 * vgpu_signals_open() - makes the eventfds; returns 0 or a negative errno
 *
 * Each opening makes new ones: who still has those of the last ring can neither
 * hear nor disturb this one.
 */
int vgpu_signals_open(VGPUSignals *signals);

/* vgpu_signals_close() - ends the eventfds, if there are any */
void vgpu_signals_close(VGPUSignals *signals);

/*
 * vgpu_signals_get_fds() - what the other side gets: window, doorbell,
 * completion
 */
void vgpu_signals_get_fds(VGPUSignals *signals, int window_fd,
                          int ret_fds[VGPU_RING_N_FDS]);

/*
 * vgpu_signals_listen() - the other side's events reach the guest from now on
 *
 * vgpu_signals_ignore() - no more, after the last one that came before this
 */
void vgpu_signals_listen(VGPUSignals *signals);
void vgpu_signals_ignore(VGPUSignals *signals);

/*
 * vgpu_signals_update() - the device may send messages now, or no more
 *
 * See vgpu_irqfd_set() for when that can change.
 */
void vgpu_signals_update(VGPUSignals *signals);

/*
 * vgpu_signals_poll() - takes up an event that the main loop has not seen yet
 */
void vgpu_signals_poll(VGPUSignals *signals);

/* vgpu_signals_raise() - an event of the device itself */
void vgpu_signals_raise(VGPUSignals *signals);

/*
 * vgpu_signals_ring() - a write to the doorbell's register
 *
 * An access that begins at the doorbell goes to the eventfd while there is one.
 * Only one that begins before the doorbell and reaches into it comes here then.
 */
void vgpu_signals_ring(VGPUSignals *signals);

/* vgpu_signals_irq() - does the guest want an interrupt now? */
static inline bool vgpu_signals_irq(const VGPUSignals *signals)
{
    return signals->irq_status & signals->irq_ctrl;
}

/*
 * vgpu_signals_store_ctrl(), vgpu_signals_store_status() - write those bits of
 * a register that @mask has
 */
void vgpu_signals_store_ctrl(VGPUSignals *signals, uint32_t value,
                             uint32_t mask);
void vgpu_signals_store_status(VGPUSignals *signals, uint32_t value);

/* vgpu_signals_reset() - closes; the registers take their power-on value */
void vgpu_signals_reset(VGPUSignals *signals);

/* vgpu_signals_are_valid() - can registers from a stream be these? */
bool vgpu_signals_are_valid(const VGPUSignals *signals);

#endif

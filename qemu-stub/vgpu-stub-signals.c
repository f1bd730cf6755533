/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * While the guest may be sent a message, what the other side signals on its
 * eventfd goes to KVM, which sends the message: no thread of QEMU is involved,
 * and the status register is not set. At all other times (the vector is masked,
 * the control register is 0, the guest uses INTx, or there is no KVM) the main
 * loop takes up the signal, sets the status, and interrupts the guest or leaves
 * the interrupt pending.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "vgpu-stub-signals.h"

void vgpu_signals_raise(VGPUSignals *signals)
{
    signals->irq_status |= VGPU_IRQ_COMPLETION;
    signals->event(signals->opaque, signals->irqfd.vector,
                   vgpu_signals_irq(signals));
}

static void signals_completion(EventNotifier *notifier)
{
    VGPUSignals *signals = container_of(notifier, VGPUSignals, completion);

    if (event_notifier_test_and_clear(notifier)) {
        vgpu_signals_raise(signals);
    }
}

void vgpu_signals_update(VGPUSignals *signals)
{
    bool wants_messages = signals->is_heard && signals->irq_ctrl;
    bool kvm = vgpu_irqfd_set(&signals->irqfd,
                              wants_messages ? &signals->completion : NULL);

    if (signals->is_open) {
        event_notifier_set_handler(&signals->completion,
                                   signals->is_heard && !kvm ?
                                   signals_completion : NULL);
    }
}

void vgpu_signals_listen(VGPUSignals *signals)
{
    signals->is_heard = true;
    vgpu_signals_update(signals);
}

void vgpu_signals_ignore(VGPUSignals *signals)
{
    if (!signals->is_open) {
        return;
    }
    signals->is_heard = false;
    vgpu_signals_update(signals);
    signals_completion(&signals->completion);
}

void vgpu_signals_poll(VGPUSignals *signals)
{
    if (signals->is_heard && !signals->irqfd.notifier) {
        signals_completion(&signals->completion);
    }
}

void vgpu_signals_ring(VGPUSignals *signals)
{
    if (signals->is_open) {
        event_notifier_set(&signals->doorbell);
    }
}

int vgpu_signals_open(VGPUSignals *signals)
{
    int r = event_notifier_init(&signals->doorbell, 0);

    if (r < 0) {
        return r;
    }
    r = event_notifier_init(&signals->completion, 0);
    if (r < 0) {
        event_notifier_cleanup(&signals->doorbell);
        return r;
    }
    /* Size 0 takes a write of any width. */
    memory_region_add_eventfd(signals->bar0, signals->doorbell_at, 0, false, 0,
                              &signals->doorbell);
    signals->is_open = true;
    return 0;
}

void vgpu_signals_close(VGPUSignals *signals)
{
    if (!signals->is_open) {
        return;
    }
    signals->is_heard = false;
    vgpu_signals_update(signals);
    signals->is_open = false;
    memory_region_del_eventfd(signals->bar0, signals->doorbell_at, 0, false, 0,
                              &signals->doorbell);
    event_notifier_cleanup(&signals->doorbell);
    event_notifier_cleanup(&signals->completion);
}

void vgpu_signals_get_fds(VGPUSignals *signals, int window_fd,
                          int ret_fds[VGPU_RING_N_FDS])
{
    ret_fds[0] = window_fd;
    ret_fds[1] = event_notifier_get_fd(&signals->doorbell);
    ret_fds[2] = event_notifier_get_fd(&signals->completion);
}

void vgpu_signals_store_ctrl(VGPUSignals *signals, uint32_t value,
                             uint32_t mask)
{
    bool had_irq = vgpu_signals_irq(signals);

    signals->irq_ctrl = ((signals->irq_ctrl & ~mask) | value) &
                        VGPU_IRQ_COMPLETION;
    vgpu_signals_update(signals);
    signals->event(signals->opaque, signals->irqfd.vector,
                   !had_irq && vgpu_signals_irq(signals));
}

void vgpu_signals_store_status(VGPUSignals *signals, uint32_t value)
{
    signals->irq_status &= ~value;
    signals->event(signals->opaque, signals->irqfd.vector, false);
}

void vgpu_signals_reset(VGPUSignals *signals)
{
    vgpu_signals_close(signals);
    signals->irq_ctrl = 0;
    signals->irq_status = 0;
}

bool vgpu_signals_are_valid(const VGPUSignals *signals)
{
    return !((signals->irq_ctrl | signals->irq_status) & ~VGPU_IRQ_COMPLETION);
}

void vgpu_signals_init(VGPUSignals *signals, PCIDevice *dev, MemoryRegion *bar0,
                       unsigned ring, VGPUSignalsEvent *event, void *opaque)
{
    signals->bar0 = bar0;
    signals->doorbell_at = vgpu_ring_doorbell(ring);
    signals->event = event;
    signals->opaque = opaque;
    vgpu_irqfd_init(&signals->irqfd, dev, 1 + ring);
}

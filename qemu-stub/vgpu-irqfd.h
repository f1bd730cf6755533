/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An eventfd whose events KVM turns into the messages of an MSI-X vector, with
 * no thread of QEMU involved.
 */
#ifndef VGPU_IRQFD_H
#define VGPU_IRQFD_H

#include "qemu/event_notifier.h"
#include "qemu-compat.h"

typedef struct VGPUIrqfd {
    PCIDevice *dev;
    unsigned vector;
    EventNotifier *notifier; /* the one that KVM has, or NULL */
    int virq;                /* KVM's number for the message, while it has one */
} VGPUIrqfd;

/* vgpu_irqfd_init() - prepares the vector; KVM has no eventfd of it yet */
void vgpu_irqfd_init(VGPUIrqfd *irqfd, PCIDevice *dev, unsigned vector);

/*
 * vgpu_irqfd_set() - gives an eventfd to KVM, or takes it back
 * @notifier: the eventfd whose events become messages, or NULL
 *
 * Call this again whenever the vector is masked or unmasked, and whenever the
 * device's configuration space was written: KVM learns of neither by itself. No
 * event is lost: an event that KVM did not see is still in the eventfd when
 * this returns, and KVM sees an event that QEMU did not.
 *
 * Returns whether KVM turns the events into messages now. It does not where it
 * lacks the feature, nor while the device may not send the message.
 */
bool vgpu_irqfd_set(VGPUIrqfd *irqfd, EventNotifier *notifier);

#endif

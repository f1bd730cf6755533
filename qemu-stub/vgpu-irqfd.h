/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An eventfd whose events KVM turns into the messages of an MSI-X vector, with no
 * thread of QEMU in the way.
 */
#ifndef VGPU_IRQFD_H
#define VGPU_IRQFD_H

#include "qemu/event_notifier.h"
#include "qemu-compat.h"

typedef struct VGPUIrqfd {
    PCIDevice *dev;
    unsigned vector;
    EventNotifier *notifier; /* that KVM has, or NULL */
    int virq;                /* KVM's number for the message, while it has one */
} VGPUIrqfd;

/* vgpu_irqfd_init() - nothing is KVM's yet */
void vgpu_irqfd_init(VGPUIrqfd *irqfd, PCIDevice *dev, unsigned vector);

/*
 * vgpu_irqfd_set() - gives an eventfd to KVM, or takes it back
 * @notifier: whose events shall be messages, or NULL
 *
 * To be called again whenever the vector is masked or unmasked, and whenever the
 * device's configuration space was written: only then does KVM learn of it. No
 * event is lost: one that KVM did not see is still in the eventfd when this
 * returns, and the other way round.
 *
 * Returns whether they are messages now. They can't be where KVM has no such
 * thing, and while the device may not send that message.
 */
bool vgpu_irqfd_set(VGPUIrqfd *irqfd, EventNotifier *notifier);

#endif

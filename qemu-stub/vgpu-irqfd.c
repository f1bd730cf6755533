/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM has a copy of the vector's message from when the vector is unmasked until
 * it is masked. Software may change the message only while the vector is masked
 * (PCI leaves open what another change does), so the copy is always right.
 */

#include "qemu/osdep.h"
#include "hw/pci/msix.h"
#include "vgpu-irqfd.h"

/* May the device send the message now, and can KVM do it? */
static bool irqfd_is_possible(const VGPUIrqfd *irqfd)
{
    PCIDevice *dev = irqfd->dev;

    return kvm_msi_via_irqfd_enabled() && msix_enabled(dev) &&
           !msix_is_masked(dev, irqfd->vector) &&
           pci_get_word(dev->config + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

/* Does nothing when KVM has no room for one more message. */
static void irqfd_connect(VGPUIrqfd *irqfd, EventNotifier *notifier)
{
    KVMRouteChange change = kvm_irqchip_begin_route_changes(kvm_state);
    int virq = kvm_irqchip_add_msi_route(&change, irqfd->vector, irqfd->dev);

    assert(!irqfd->notifier);
    if (virq < 0) {
        return;
    }
    kvm_irqchip_commit_route_changes(&change);
    if (kvm_irqchip_add_irqfd_notifier_gsi(kvm_state, notifier, NULL,
                                           virq) < 0) {
        kvm_irqchip_release_virq(kvm_state, virq);
        return;
    }
    irqfd->virq = virq;
    irqfd->notifier = notifier;
}

static void irqfd_disconnect(VGPUIrqfd *irqfd)
{
    int r = kvm_irqchip_remove_irqfd_notifier_gsi(kvm_state, irqfd->notifier,
                                                  irqfd->virq);

    assert(r == 0);
    kvm_irqchip_release_virq(kvm_state, irqfd->virq);
    irqfd->notifier = NULL;
}

bool vgpu_irqfd_set(VGPUIrqfd *irqfd, EventNotifier *notifier)
{
    if (notifier && !irqfd_is_possible(irqfd)) {
        notifier = NULL;
    }
    if (notifier != irqfd->notifier) {
        if (irqfd->notifier) {
            irqfd_disconnect(irqfd);
        }
        if (notifier) {
            irqfd_connect(irqfd, notifier);
        }
    }
    return irqfd->notifier;
}

void vgpu_irqfd_init(VGPUIrqfd *irqfd, PCIDevice *dev, unsigned vector)
{
    *irqfd = (VGPUIrqfd) { .dev = dev, .vector = vector };
}

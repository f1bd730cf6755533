/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An interrupt of the device: INTx by way of the kernel's uio_pci_generic, or MSI-X by way of VFIO.
 */
#ifndef VGPU_GUEST_INTERRUPT_H
#define VGPU_GUEST_INTERRUPT_H

#include <stdbool.h>

#include "deadline.h"

/* What the device interrupts for. The numbers are those of the MSI-X vectors; INTx is the same for
 * all. */
typedef enum interrupt_cause {
    INTERRUPT_REQUEST,  /* a request through the registers has ended */
    INTERRUPT_RING,     /* so has one on ring 0, or the ring itself; + i: of ring i */
    INTERRUPT_N_CAUSES, /* that each device has */
    INTERRUPT_MESSAGES_MAX = INTERRUPT_RING + 16,
} interrupt_cause;

typedef struct interrupt {
    int fd;        /* readable after an interrupt that nobody has read yet; -1: wait by polling */
    int config_fd; /* of INTx: the PCI configuration space; else -1 */
} interrupt;

#define INTERRUPT_CLOSED ((interrupt){.fd = -1, .config_fd = -1})

static inline bool interrupt_is_open(const interrupt *i)
{
    return i->fd >= 0;
}

/* interrupt_is_level() - is it asserted until it is cleared in the device, and masked until
 * interrupt_unmask()? That is INTx. With MSI-X each event is a message of its own. */
static inline bool interrupt_is_level(const interrupt *i)
{
    return i->config_fd >= 0;
}

/* interrupt_unmask() - let the next interrupt through: of INTx, clear Interrupt Disable in the PCI
 * command register. Returns 0 or a negative errno. */
int interrupt_unmask(const interrupt *i);

/* interrupt_sleep() - sleep until there is an interrupt that nobody has read yet, and read it; or
 * until the eventfd @wake_fd (or -1) is set, and read that. Returns 0 after an interrupt, 1 after
 * @wake_fd alone, -ETIMEDOUT at @until, or another negative errno. */
int interrupt_sleep(const interrupt *i, int wake_fd, deadline until);

/* interrupt_close() - close its descriptors; does nothing when that has been done */
void interrupt_close(interrupt *i);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for the device, by polling or by interrupt.
 *
 * The order of an interrupt's steps matters. INTx is a level: the device asserts it while
 * IRQ_STATUS and IRQ_CTRL are both set. uio_pci_generic answers it: it sets Interrupt Disable in
 * the PCI command register, and wakes the process that reads /dev/uioN. So the library does this,
 * each time round:
 *
 *   1. clear IRQ_STATUS (the device lets go of the line),
 *   2. clear Interrupt Disable (the next one can get through),
 *   3. read STATUS, and only if that is BUSY
 *   4. sleep in /dev/uioN.
 *
 * Step 3 sees a completion that comes before it. A completion that comes after step 3 finds the
 * line free and unmasked, so it wakes step 4. None is lost. A completion between steps 1 and 3 is
 * seen and also leaves an event behind, which costs the next wait one round.
 *
 * With VFIO the interrupt is MSI-X: step 2 does nothing, and each completion sends a message of its
 * own, which makes the descriptor of step 4 readable.
 *
 * The ring's INTx has the same line. As long as another handle does not answer its interrupt,
 * that would wake us as fast as we can go round. So after many interrupts in a row that were not
 * ours there are pauses.
 */
#include <errno.h>

#include "device.h"

#define PAUSE_MAX_NS 1000000u

/* Read STATUS. When the device is BUSY this counts as a poll. */
static uint32_t device_look(vgpu_device *dev)
{
    uint32_t status = device_read(dev, VGPU_REG_STATUS);

    if (status == VGPU_STATUS_BUSY)
        dev->counters.polls++;
    return status;
}

static int device_wait_polling(vgpu_device *dev, deadline until, uint32_t *ret_status)
{
    backoff pause = {0};
    uint32_t status;

    do {
        if (!backoff_pause(&pause, until, PAUSE_MAX_NS))
            return -ETIMEDOUT;
        status = device_look(dev);
    } while (status == VGPU_STATUS_BUSY);

    *ret_status = status;
    return 0;
}

static int device_wait_interrupt(vgpu_device *dev, deadline until, uint32_t *ret_status)
{
    backoff pause = {0};
    uint32_t status;
    int r;

    device_write(dev, VGPU_REG_IRQ_CTRL, VGPU_IRQ_COMPLETION);
    for (;;) {
        device_write(dev, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
        r = interrupt_unmask(&dev->interrupt);
        if (r < 0)
            break;

        status = device_look(dev);
        if (status != VGPU_STATUS_BUSY)
            break;

        r = interrupt_sleep(&dev->interrupt, -1, until);
        if (r < 0)
            break;
        backoff_pause(&pause, until, PAUSE_MAX_NS); /* the first ones return at once */
    }
    /* Switch the interrupt off again: when another handle polls, nobody would answer a line that is
     * asserted. */
    device_write(dev, VGPU_REG_IRQ_CTRL, 0);

    if (r < 0)
        return r;
    *ret_status = status;
    return 0;
}

int device_wait_while_busy(vgpu_device *dev, deadline until, uint32_t *ret_status)
{
    uint32_t status = device_look(dev);

    if (status == VGPU_STATUS_BUSY) {
        int r = interrupt_is_open(&dev->interrupt) ? device_wait_interrupt(dev, until, &status)
                                                   : device_wait_polling(dev, until, &status);

        if (r < 0)
            return r;
    }

    if (status == UINT32_MAX)
        return -ENODEV; /* a PCI slot without a device reads as ones */
    if (status > VGPU_STATUS_ERROR)
        return -EPROTO;

    *ret_status = status;
    return 0;
}

int device_wait(vgpu_device *dev, deadline until)
{
    uint32_t status;
    int r;

    if (!dev->locked)
        return -ENOLCK;
    if (dev->request == REQUEST_NONE)
        return -ENOTCONN;
    if (dev->request == REQUEST_FINISHED)
        return 0;

    r = device_wait_while_busy(dev, until, &status);
    if (r < 0)
        return r;
    if (status == VGPU_STATUS_IDLE) {
        dev->request = REQUEST_NONE;
        return -ECONNRESET;
    }

    dev->status = status;
    dev->request = REQUEST_FINISHED;
    return 0;
}

int vgpu_wait(vgpu_device *dev, int timeout_ms)
{
    return device_wait(dev, deadline_after(timeout_ms));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's mailbox: the registers of vgpu-protocol.h, through which one
 * request at a time goes to the mediator and its answer comes back.
 */
#ifndef VGPU_STUB_MAILBOX_H
#define VGPU_STUB_MAILBOX_H

#include "qemu-compat.h"
#include "vgpu-link.h"
#include "vgpu-protocol.h"

/* A request has ended; the guest may want an interrupt. Must not call back. */
typedef void VGPUMailboxEvent(void *opaque);

typedef struct VGPUMailbox {
    VGPULink *link;
    VGPUMailboxEvent *event;
    void *opaque;

    /* Registers */
    uint32_t status;
    uint32_t error_code;
    uint32_t request_len;
    uint32_t response_len;
    uint32_t irq_ctrl;
    uint32_t irq_status;
    uint32_t request_id;
    uint32_t scratch;
    uint64_t timestamp;
    uint8_t request[VGPU_REQUEST_MAX];
    uint8_t response[VGPU_RESPONSE_MAX];

    /* The pending request; meaningful in BUSY */
    VGPUInFlight in_flight;
} VGPUMailbox;

/*
 * vgpu_mailbox_init() - prepares a mailbox
 * @link: must outlive the mailbox, and be initialised before the first access
 */
void vgpu_mailbox_init(VGPUMailbox *mailbox, VGPULink *link,
                       VGPUMailboxEvent *event, void *opaque);

/*
 * vgpu_mailbox_reset() - every register takes its power-on value
 *
 * The link must have been reset.
 */
void vgpu_mailbox_reset(VGPUMailbox *mailbox);

/* vgpu_mailbox_irq() - does the guest want an interrupt now? */
static inline bool vgpu_mailbox_irq(const VGPUMailbox *mailbox)
{
    return mailbox->irq_status & mailbox->irq_ctrl;
}

/*
 * vgpu_mailbox_load() - the word at @word, a multiple of 4 before the extension
 * block. Reading has no side effect.
 */
uint32_t vgpu_mailbox_load(const VGPUMailbox *mailbox, hwaddr word);

/*
 * vgpu_mailbox_store() - writes those bits of the word at @word that @mask has
 * @value: has no other bits
 */
void vgpu_mailbox_store(VGPUMailbox *mailbox, hwaddr word, uint32_t value,
                        uint32_t mask);

/* vgpu_mailbox_complete() - the request has ended, see VGPULinkOps */
void vgpu_mailbox_complete(VGPUMailbox *mailbox, uint32_t error,
                           const uint8_t *response, uint32_t len);

/* vgpu_mailbox_is_valid() - can registers that came from a stream be these? */
bool vgpu_mailbox_is_valid(const VGPUMailbox *mailbox);

/*
 * vgpu_mailbox_resume() - hands a request that came from a stream to the link
 */
void vgpu_mailbox_resume(VGPUMailbox *mailbox);

#endif

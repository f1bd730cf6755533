/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doorbell and completion
 * -----------------------
 * The guest fills REQUEST, REQUEST_LEN and REQUEST_ID and writes 1 to DOORBELL.
 * In IDLE, DONE or ERROR the device then
 *   1. clears ERROR_CODE and RESPONSE_LEN,
 *   2. copies the request: what the guest writes into REQUEST from here on
 *      belongs to the next request, even when this one has to be sent again,
 *   3. sets STATUS to BUSY, and hands the copy to the link.
 * In BUSY the doorbell does nothing. The device itself answers a length that is
 * not possible, in the same way as the mediator refuses a request.
 *
 * The link ends each request once. The device then writes RESPONSE,
 * RESPONSE_LEN and TIMESTAMP, then ERROR_CODE and STATUS, then IRQ_STATUS, and
 * raises the interrupt if IRQ_CTRL enables it. A guest that reads any STATUS
 * but BUSY may read all the other registers.
 *
 * Reconnection and migration
 * --------------------------
 * The copy of the pending request is kept until the request ends. The link
 * sends it again on each new connection, and the copy is part of the migrated
 * state: the destination sends it to its own mediator when the VM starts there.
 * The mediator may see a request twice, which does no harm because requests are
 * pure. POOL_ID, PRIORITY and VM_ID belong to the host and are not migrated.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "vgpu-stub-mailbox.h"

void vgpu_mailbox_complete(VGPUMailbox *mailbox, uint32_t error,
                           const uint8_t *response, uint32_t len)
{
    assert(len <= sizeof(mailbox->response));
    if (len > 0) {
        memcpy(mailbox->response, response, len);
    }
    memset(mailbox->response + len, 0, sizeof(mailbox->response) - len);
    mailbox->response_len = len;
    mailbox->timestamp = qemu_clock_get_us(QEMU_CLOCK_REALTIME);
    mailbox->error_code = error;
    mailbox->status = error == VGPU_ERROR_NONE ? VGPU_STATUS_DONE
                                               : VGPU_STATUS_ERROR;
    mailbox->irq_status |= VGPU_IRQ_COMPLETION;
    mailbox->event(mailbox->opaque);
}

static void mailbox_ring_doorbell(VGPUMailbox *mailbox)
{
    if (mailbox->status == VGPU_STATUS_BUSY) {
        return;
    }

    mailbox->error_code = VGPU_ERROR_NONE;
    mailbox->response_len = 0;
    if (mailbox->request_len == 0) {
        vgpu_mailbox_complete(mailbox, VGPU_ERROR_INVALID_LENGTH, NULL, 0);
        return;
    }
    if (mailbox->request_len > VGPU_REQUEST_MAX) {
        vgpu_mailbox_complete(mailbox, VGPU_ERROR_REQUEST_TOO_LARGE, NULL, 0);
        return;
    }

    mailbox->in_flight.id = mailbox->request_id;
    mailbox->in_flight.len = mailbox->request_len;
    memcpy(mailbox->in_flight.data, mailbox->request, mailbox->request_len);
    mailbox->status = VGPU_STATUS_BUSY;
    vgpu_link_submit(mailbox->link, &mailbox->in_flight);
}

/* ---- Registers ----------------------------------------------------------- */

uint32_t vgpu_mailbox_load(const VGPUMailbox *mailbox, hwaddr word)
{
    const VGPULinkConfig *config = mailbox->link->config;

    assert(word % 4 == 0 && word < VGPU_REG_EXTENSION);
    if (word >= VGPU_REG_RESPONSE) {
        return ldl_le_p(mailbox->response + (word - VGPU_REG_RESPONSE));
    }
    if (word >= VGPU_REG_REQUEST) {
        return ldl_le_p(mailbox->request + (word - VGPU_REG_REQUEST));
    }

    switch (word) {
    case VGPU_REG_STATUS:
        return mailbox->status;
    case VGPU_REG_POOL_ID:
        return config->pool_id;
    case VGPU_REG_PRIORITY:
        return config->priority;
    case VGPU_REG_VM_ID:
        return config->vm_id;
    case VGPU_REG_ERROR_CODE:
        return mailbox->error_code;
    case VGPU_REG_REQUEST_LEN:
        return mailbox->request_len;
    case VGPU_REG_RESPONSE_LEN:
        return mailbox->response_len;
    case VGPU_REG_PROTOCOL_VER:
        return VGPU_PROTOCOL_VERSION;
    case VGPU_REG_CAPABILITIES:
        return VGPU_CAP_BASIC;
    case VGPU_REG_IRQ_CTRL:
        return mailbox->irq_ctrl;
    case VGPU_REG_IRQ_STATUS:
        return mailbox->irq_status;
    case VGPU_REG_REQUEST_ID:
        return mailbox->request_id;
    case VGPU_REG_TIMESTAMP_LO:
        return mailbox->timestamp;
    case VGPU_REG_TIMESTAMP_HI:
        return mailbox->timestamp >> 32;
    case VGPU_REG_SCRATCH:
        return mailbox->scratch;
    default: /* DOORBELL */
        return 0;
    }
}

/* Replaces those bits of @old that the access carries. */
static uint32_t mailbox_merge(uint32_t old, uint32_t value, uint32_t mask)
{
    return (old & ~mask) | value;
}

void vgpu_mailbox_store(VGPUMailbox *mailbox, hwaddr word, uint32_t value,
                        uint32_t mask)
{
    assert(word % 4 == 0 && word < VGPU_REG_EXTENSION);
    if (word >= VGPU_REG_REQUEST && word < VGPU_REG_RESPONSE) {
        uint8_t *p = mailbox->request + (word - VGPU_REG_REQUEST);

        stl_le_p(p, mailbox_merge(ldl_le_p(p), value, mask));
        return;
    }

    switch (word) {
    case VGPU_REG_DOORBELL:
        if (value == 1) {
            mailbox_ring_doorbell(mailbox);
        }
        break;
    case VGPU_REG_REQUEST_LEN:
        mailbox->request_len = mailbox_merge(mailbox->request_len, value, mask);
        break;
    case VGPU_REG_IRQ_CTRL:
        mailbox->irq_ctrl = mailbox_merge(mailbox->irq_ctrl, value, mask) &
                            VGPU_IRQ_COMPLETION;
        break;
    case VGPU_REG_IRQ_STATUS:
        mailbox->irq_status &= ~value;
        break;
    case VGPU_REG_REQUEST_ID:
        mailbox->request_id = mailbox_merge(mailbox->request_id, value, mask);
        break;
    case VGPU_REG_SCRATCH:
        mailbox->scratch = mailbox_merge(mailbox->scratch, value, mask);
        break;
    default: /* read-only */
        break;
    }
}

/* ---- Power on, reset, migration ------------------------------------------ */

void vgpu_mailbox_init(VGPUMailbox *mailbox, VGPULink *link,
                       VGPUMailboxEvent *event, void *opaque)
{
    mailbox->link = link;
    mailbox->event = event;
    mailbox->opaque = opaque;
}

void vgpu_mailbox_reset(VGPUMailbox *mailbox)
{
    mailbox->status = VGPU_STATUS_IDLE;
    mailbox->error_code = VGPU_ERROR_NONE;
    mailbox->request_len = 0;
    mailbox->response_len = 0;
    mailbox->irq_ctrl = 0;
    mailbox->irq_status = 0;
    mailbox->request_id = 0;
    mailbox->scratch = 0;
    mailbox->timestamp = 0;
    memset(mailbox->request, 0, sizeof(mailbox->request));
    memset(mailbox->response, 0, sizeof(mailbox->response));
    memset(&mailbox->in_flight, 0, sizeof(mailbox->in_flight));
}

/* Anybody may have made the stream. */
bool vgpu_mailbox_is_valid(const VGPUMailbox *mailbox)
{
    if (mailbox->status > VGPU_STATUS_ERROR ||
        mailbox->error_code >= VGPU_N_ERRORS ||
        mailbox->response_len > VGPU_RESPONSE_MAX ||
        (mailbox->irq_ctrl | mailbox->irq_status) & ~VGPU_IRQ_COMPLETION) {
        return false;
    }
    return mailbox->status != VGPU_STATUS_BUSY ||
           (mailbox->in_flight.len > 0 &&
            mailbox->in_flight.len <= VGPU_REQUEST_MAX);
}

void vgpu_mailbox_resume(VGPUMailbox *mailbox)
{
    if (mailbox->status == VGPU_STATUS_BUSY) {
        vgpu_link_submit(mailbox->link, &mailbox->in_flight);
    }
}

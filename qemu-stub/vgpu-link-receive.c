/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the mediator says, and what becomes of it. */

#include "qemu/osdep.h"
#include "vgpu-link-internal.h"

/* Takes a message that ends the request @id. */
static const char *link_receive_end(VGPULink *link, uint32_t id,
                                    uint32_t error, const uint8_t *response,
                                    uint32_t len)
{
    if (!link->request) {
        return NULL; /* nobody waits for it any more */
    }
    if (id != link->request->id) {
        return "an answer to another request";
    }
    vgpu_link_end_request(link, error, response, len);
    return NULL;
}

/* Keeps the secret by which a later connection proves to be this VM's. */
static void link_take_welcome(VGPULink *link, const VGPUSocketHeader *header,
                              const uint8_t *payload)
{
    VGPUWelcome welcome = { .features = 0 };

    memcpy(&welcome, payload, MIN(header->payload_len, sizeof(welcome)));
    memcpy(link->resume, welcome.resume, sizeof(link->resume));
    link->welcomed = true;
    link->features = welcome.features & link->config->features;
    vgpu_link_advance(link);
}

/*
 * The VM may not submit. Before WELCOME it is not even let in, and rings need
 * not wait any longer.
 */
static const char *link_receive_quarantined(VGPULink *link, uint32_t id)
{
    if (!link->welcomed) {
        if (vgpu_link_ring_is_new(link)) {
            vgpu_link_ring_end(link, VGPU_ERROR_VM_QUARANTINED);
        }
        vgpu_link_sessions_end_new(link, VGPU_ERROR_VM_QUARANTINED);
    }
    return link_receive_end(link, id, VGPU_ERROR_VM_QUARANTINED, NULL, 0);
}

/*
 * Takes a message whose header has been checked.
 *
 * Returns what is wrong with it, or NULL. The connection may be closed on
 * return.
 */
static const char *link_receive(VGPULink *link, const VGPUSocketHeader *header,
                                const uint8_t *payload)
{
    VGPUResponse response;

    switch (header->msg_type) {
    case VGPU_MSG_RESPONSE:
        if (!vgpu_response_check(payload, header->payload_len, &response)) {
            return "malformed response";
        }
        return link_receive_end(link, header->request_id, response.status,
                                payload, header->payload_len);
    case VGPU_MSG_BUSY:
        return link_receive_end(link, header->request_id,
                                VGPU_ERROR_QUEUE_FULL, NULL, 0);
    case VGPU_MSG_QUARANTINED:
        return link_receive_quarantined(link, header->request_id);
    case VGPU_MSG_PING:
        vgpu_link_send(link, VGPU_MSG_PONG, header->request_id, NULL, 0);
        return NULL;
    case VGPU_MSG_WELCOME:
        link_take_welcome(link, header, payload);
        return NULL;
    case VGPU_MSG_PONG:
        return NULL;
    case VGPU_MSG_RING_READY:
        return vgpu_link_receive_ring_ready(link, payload);
    case VGPU_MSG_RING_STOPPED:
        return vgpu_link_receive_ring_stopped(link);
    case VGPU_MSG_SESSION_READY:
        return vgpu_link_receive_session_ready(link, payload);
    case VGPU_MSG_SESSION_CLOSED:
        return vgpu_link_receive_session_closed(link, payload);
    default:
        return "a message that only a device sends";
    }
}

/*
 * Takes the first message that was read. Returns false when there is no more.
 */
static bool link_take_message(VGPULink *link)
{
    VGPUSocketHeader header;
    const uint8_t *payload;
    const char *problem = vgpu_channel_peek(&link->channel, &header, &payload);

    if (!problem && !payload) {
        return false;
    }
    if (!problem) {
        link->heard_at = vgpu_link_now();
        problem = link_receive(link, &header, payload);
    }
    if (problem) {
        vgpu_link_violation(link, problem);
        return false;
    }
    if (!vgpu_link_is_open(link)) {
        return false; /* the message closed it, and the buffer is gone */
    }

    link->deadline = 0;
    if (header.msg_type != VGPU_MSG_QUARANTINED) {
        link->warned = false; /* the next break deserves a warning again */
    }
    vgpu_channel_drop(&link->channel, &header);
    return true;
}

/*
 * Reads once only, so that a mediator that never stops talking starves nobody.
 */
void vgpu_link_read(VGPULink *link)
{
    ssize_t n = vgpu_channel_fill(&link->channel);

    if (n == -EAGAIN) {
        return;
    }
    if (n <= 0) {
        vgpu_link_break(link, n == 0 ? "closed by the mediator" : strerror(-n));
        return;
    }
    while (link_take_message(link)) {
        /* next */
    }
}

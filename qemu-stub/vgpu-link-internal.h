/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vgpu-link.c and vgpu-link-ring.c need of each other. */
#ifndef VGPU_LINK_INTERNAL_H
#define VGPU_LINK_INTERNAL_H

#include "vgpu-link.h"

#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 1000
#define PING_MIN_MS 250
#define PING_MAX_MS 1000

static inline int64_t vgpu_link_now(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

/* ---- The connection ------------------------------------------------------ */

/* vgpu_link_arm() - lets the timer ring at the next wait's end, or before */
void vgpu_link_arm(VGPULink *link);

/* vgpu_link_expect() - from now on a sign of life is waited for */
void vgpu_link_expect(VGPULink *link);

/* vgpu_link_start() - begins the waits of what is pending, and sends what was not
 * sent yet */
void vgpu_link_start(VGPULink *link);

/*
 * vgpu_link_break() - the connection broke or could not be made
 * @what: why; not said when nobody waits, nor when it has been said already
 */
void vgpu_link_break(VGPULink *link, const char *what);

/* vgpu_link_send() - sends a message, or breaks the connection of a mediator that
 * never reads; vgpu_link_send_fds() - VGPU_RING_N_FDS descriptors with it */
void vgpu_link_send(VGPULink *link, uint32_t type, uint32_t request_id,
                    const void *payload, uint32_t len);
void vgpu_link_send_fds(VGPULink *link, uint32_t type, uint32_t request_id,
                        const void *payload, uint32_t len, const int *fds);

/* vgpu_link_ping() - asks for a sign of life, and not again for @interval ms */
void vgpu_link_ping(VGPULink *link, int64_t interval);

/* vgpu_link_flush() - writes what waits; vgpu_link_read() - takes what is there.
 * Both go as far as they can, and may break the connection */
void vgpu_link_flush(VGPULink *link);
void vgpu_link_read(VGPULink *link);

/* ---- The ring ------------------------------------------------------------ */

/* vgpu_link_ring_is_new() - has no mediator taken it up yet? */
static inline bool vgpu_link_ring_is_new(const VGPULink *link)
{
    return link->ring && !link->ring_agreed;
}

/* vgpu_link_ring_advance() - tells the mediator of it, if that can be done now */
void vgpu_link_ring_advance(VGPULink *link);

/* vgpu_link_ring_let_go() - the mediator must let go of the window: waits until it
 * has done so, or is gone, or, after @wait_ms or a silence, is shown the door */
void vgpu_link_ring_let_go(VGPULink *link, int64_t wait_ms);

/* vgpu_link_ring_end() - there is none any more, for this reason */
void vgpu_link_ring_end(VGPULink *link, uint32_t error);

/* vgpu_link_ring_release() - this connection's mediator does not have the window
 * now */
void vgpu_link_ring_release(VGPULink *link);

/* What the mediator says of it. Return what is wrong with that, or NULL */
const char *vgpu_link_receive_ring_ready(VGPULink *link,
                                         const uint8_t *payload);
const char *vgpu_link_receive_ring_stopped(VGPULink *link);

#endif

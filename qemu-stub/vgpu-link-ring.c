/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mediator of each new connection is told of the ring after its WELCOME, if
 * that says that it knows rings. It writes into the guest's memory then, and QEMU
 * cannot see where. So when the VM stops it is told to let go, and QEMU waits
 * here until it has: the memory may be saved next, or be sent to another host, page
 * by page, and a ring that changes meanwhile would be found in no state that it
 * ever had. vhost-user devices wait in the same way. No other thread can do the
 * waiting, as QEMU goes on to save the memory when this returns.
 *
 * It is bounded twice. A mediator from which nothing is heard for RING_SILENCE_MS,
 * though it is asked, hangs. One that answers is waiting for its executors, which
 * finish what they have begun, and has the whole timeout for that. Either loses the
 * connection, after which it must not write into the ring. Executors may go on
 * writing results then, to where those of requests go that the ring says are not
 * done: the next mediator does them again, or, where that can't be, fails them.
 *
 * The other wait, for a reset, is a moment only, as long as PCI Express gives a
 * function to be reset. When the VM goes on the mediator is told of the ring anew.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "migration/misc.h"
#include "vgpu-link-internal.h"

#include <poll.h>

#define RING_SILENCE_MS 1000

void vgpu_link_ring_release(VGPULink *link)
{
    if (link->peer_ring != PEER_RING_NONE) {
        link->peer_ring = PEER_RING_NONE;
        link->ops->ring_released(link->opaque);
    }
}

void vgpu_link_ring_end(VGPULink *link, uint32_t error)
{
    link->ring = NULL;
    link->ops->ring_ready(link->opaque, error);
}

/*
 * While a migrated VM's memory still arrives (postcopy), a mediator must not look
 * at the window: it would find zeros, and keep what comes later from getting there.
 */
void vgpu_link_ring_advance(VGPULink *link)
{
    if (!link->ring || !link->welcomed || !link->running ||
        link->peer_ring != PEER_RING_NONE || migration_in_incoming_postcopy()) {
        return;
    }
    if (!(link->features & VGPU_FEATURE_RING)) {
        vgpu_link_ring_end(link, VGPU_ERROR_UNSUPPORTED_OP);
        return;
    }
    link->ring_sends++;
    link->peer_ring = PEER_RING_SETUP;
    vgpu_link_expect(link);
    vgpu_link_send_fds(link, VGPU_MSG_RING_SETUP, 0, &link->ring->setup,
                       sizeof(link->ring->setup), link->ring->fds);
    vgpu_link_arm(link);
}

/* Tells the mediator to let go of the window, if it has it. */
static void link_ring_off(VGPULink *link)
{
    if (link->peer_ring != PEER_RING_SETUP &&
        link->peer_ring != PEER_RING_READY) {
        return;
    }
    if (link->channel.fds) { /* it has not even read where the window is */
        vgpu_link_break(link, "the mediator does not read");
        return;
    }
    link->peer_ring = PEER_RING_OFF;
    vgpu_link_expect(link);
    vgpu_link_send(link, VGPU_MSG_RING_OFF, 0, NULL, 0);
    vgpu_link_arm(link);
}

/* Does what the connection has room or bytes for, if that comes in this time. */
static void link_wait(VGPULink *link, int64_t ms)
{
    struct pollfd p = {
        .fd = link->channel.fd,
        .events = POLLIN | (link->channel.tx_len > 0 ? POLLOUT : 0),
    };

    if (poll(&p, 1, ms) <= 0) {
        return;
    }
    if (p.revents & POLLOUT) {
        vgpu_link_flush(link);
    } else {
        vgpu_link_read(link);
    }
}

void vgpu_link_ring_let_go(VGPULink *link, int64_t wait_ms)
{
    int64_t now = vgpu_link_now(), end = now + wait_ms;

    link_ring_off(link);
    link->heard_at = now;
    link->ping_at = now + PING_MIN_MS;
    while (link->peer_ring == PEER_RING_OFF) {
        int64_t until = MIN(end, link->heard_at + RING_SILENCE_MS);

        now = vgpu_link_now();
        if (now >= until) {
            vgpu_link_break(link, "the mediator does not let go of the window");
        } else if (now >= link->ping_at) {
            vgpu_link_ping(link, PING_MIN_MS);
        } else {
            link_wait(link, MIN(until, link->ping_at) - now);
        }
    }
}

const char *vgpu_link_receive_ring_ready(VGPULink *link,
                                         const uint8_t *payload)
{
    VGPURingReady ready;

    memcpy(&ready, payload, sizeof(ready));
    if (ready.error >= VGPU_N_ERRORS) {
        return "an error code that there is not";
    }
    if (link->peer_ring == PEER_RING_OFF) {
        return NULL; /* it was on its way when the ring was taken back */
    }
    if (link->peer_ring == PEER_RING_NONE ||
        (link->peer_ring == PEER_RING_READY &&
         ready.error == VGPU_ERROR_NONE)) {
        return "a ring that it was not told of";
    }

    if (ready.error != VGPU_ERROR_NONE) {
        link_ring_off(link); /* what it has begun may still be running */
        vgpu_link_ring_end(link, ready.error);
        return NULL;
    }
    link->peer_ring = PEER_RING_READY;
    link->ring_agreed = true;
    link->ring_ready_at = vgpu_link_now();
    link->ops->ring_ready(link->opaque, VGPU_ERROR_NONE);
    return NULL;
}

const char *vgpu_link_receive_ring_stopped(VGPULink *link)
{
    if (link->peer_ring != PEER_RING_OFF) {
        return "a ring has stopped that should not";
    }
    vgpu_link_ring_release(link);
    vgpu_link_ring_advance(link);
    return NULL;
}

void vgpu_link_ring_start(VGPULink *link, const VGPULinkRing *ring,
                          bool agreed)
{
    link->ring = ring;
    link->ring_agreed = agreed;
    link->ring_sends = 0;
    link->backoff = BACKOFF_MIN_MS;
    if (link->running) {
        vgpu_link_start(link);
    }
}

bool vgpu_link_ring_stop(VGPULink *link)
{
    link->ring = NULL;
    link_ring_off(link);
    return link->peer_ring != PEER_RING_NONE;
}

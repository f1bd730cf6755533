/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each new connection's mediator is told of the ring after its WELCOME, if the
 * WELCOME says that it knows rings. From then on the mediator writes into the
 * guest's memory, and QEMU cannot see where. So when the VM stops, the link
 * tells the mediator to let go of the window, and QEMU waits here until it has.
 * The memory may be saved next, or sent to another host page by page, and a
 * ring that changes meanwhile would arrive in a state that it never had.
 * vhost-user devices wait in the same way. No other thread can do the waiting,
 * because QEMU goes on to save the memory when this returns.
 *
 * The wait has two bounds. A mediator that hangs sends nothing for
 * RING_SILENCE_MS, although it is asked. A mediator that answers is waiting for
 * its executors to finish what they have begun, and has the whole timeout for
 * that. Either bound ends in closing the connection, after which the mediator
 * must not write into the ring. Executors may still write results, but only the
 * results of requests that the ring does not show as done: the next mediator
 * does these again, or, where that is not possible, fails them.
 *
 * Another wait is for a reset. It is short, because PCI Express allows a
 * function only so long to be reset. When the VM goes on, the mediator is told
 * of the ring again.
 *
 * A reset ends the sessions, too, and so does the end of the VM, which waits
 * like a stop. A stop leaves them alone: see vgpu-link-session.c.
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
 * While a migrated VM's memory is still arriving (postcopy), a mediator must
 * not look at the window: it would find zeros, and would keep what comes later
 * from getting there.
 */
void vgpu_link_ring_advance(VGPULink *link)
{
    if (!link->ring || !link->welcomed || !link->running ||
        link->peer_ring != PEER_RING_NONE || migration_in_incoming_postcopy() ||
        vgpu_link_has_unsent(link)) {
        return;
    }
    if (!(link->features & VGPU_FEATURE_RING)) {
        vgpu_link_ring_end(link, VGPU_ERROR_UNSUPPORTED_OP);
        return;
    }
    link->ring_sends++;
    link->ring_fds = link->ring->fds;
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
    if (vgpu_link_is_unsent(link, link->ring_fds)) {
        /* The mediator has not even got the window yet. */
        vgpu_link_break(link, "the mediator does not read");
        return;
    }
    link->peer_ring = PEER_RING_OFF;
    vgpu_link_expect(link);
    vgpu_link_send(link, VGPU_MSG_RING_OFF, 0, NULL, 0);
    vgpu_link_arm(link);
}

/* Waits up to @ms for room or bytes, and writes or reads then. */
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

/* Has the mediator to let go of something that is waited for? */
static bool link_is_letting_go(const VGPULink *link, bool sessions)
{
    return link->peer_ring == PEER_RING_OFF ||
           (sessions && vgpu_link_sessions_are_stopping(link));
}

void vgpu_link_let_go(VGPULink *link, int64_t wait_ms, bool sessions)
{
    int64_t now = vgpu_link_now(), end = now + wait_ms;

    link_ring_off(link);
    if (sessions) {
        vgpu_link_sessions_close(link);
    }
    link->heard_at = now;
    link->ping_at = now + PING_MIN_MS;
    while (link_is_letting_go(link, sessions)) {
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
        return NULL; /* sent before the mediator heard of the ring's end */
    }
    if (link->peer_ring == PEER_RING_NONE ||
        vgpu_link_is_unsent(link, link->ring_fds) ||
        (link->peer_ring == PEER_RING_READY &&
         ready.error == VGPU_ERROR_NONE)) {
        return "a ring that it was not told of";
    }

    if (ready.error != VGPU_ERROR_NONE) {
        link_ring_off(link); /* what the mediator has begun may still run */
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sessions of a link: the rings beyond ring 0, each of which the mediator
 * gives to an executor of its own.
 *
 * A mediator is told of a session once, after its WELCOME, if the WELCOME says
 * that it knows sessions. What the session's program has on the GPU dies with
 * the connection. So a session that a mediator was told of ends with a break,
 * and is not told to the next mediator.
 *
 * A VM that stops keeps its sessions: a pause must not cost a program its work.
 * So the executor and the GPU may go on to write into the window while the VM
 * is stopped, until what they were given is done. The guest does not notice,
 * because for it a pause takes no time. But whoever looks at the memory of the
 * paused VM (a dump of its memory, a debugger) may see the window change.
 * Nobody can save or migrate the VM: the device has a migration blocker as long
 * as a session is open.
 *
 * While the VM is stopped the link goes on to read as long as a session is
 * open. Otherwise the end of the last session, which the administrator may have
 * asked for, would not be noticed, and the paused VM could not be saved for no
 * reason that anybody can see.
 */

#include "qemu/osdep.h"
#include "migration/misc.h"
#include "vgpu-link-internal.h"

static bool session_is_new(const VGPULinkSession *s)
{
    return s->ring &&
           (s->peer == PEER_RING_NONE || s->peer == PEER_RING_OFF);
}

bool vgpu_link_sessions_have_new(const VGPULink *link)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        if (session_is_new(&link->sessions[i])) {
            return true;
        }
    }
    return false;
}

bool vgpu_link_sessions_are_wanted(const VGPULink *link)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        if (link->sessions[i].ring) {
            return true;
        }
    }
    return false;
}

bool vgpu_link_sessions_are_open(const VGPULink *link)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        if (link->sessions[i].ring || vgpu_link_session_is_held(link, i)) {
            return true;
        }
    }
    return false;
}

bool vgpu_link_sessions_expect(const VGPULink *link)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        const VGPULinkSession *s = &link->sessions[i];

        if (s->peer == PEER_RING_OFF ||
            (s->ring && s->peer != PEER_RING_READY)) {
            return true;
        }
    }
    return false;
}

bool vgpu_link_sessions_are_stopping(const VGPULink *link)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        if (link->sessions[i].peer == PEER_RING_OFF) {
            return true;
        }
    }
    return false;
}

/* The session has ended for this reason. */
static void session_end(VGPULink *link, unsigned ring, uint32_t error,
                        uint32_t cuda_result)
{
    link->sessions[ring].ring = NULL;
    link->ops->session_ready(link->opaque, ring, error,
                             error == VGPU_ERROR_CUDA_ERROR ? cuda_result : 0);
}

/* This connection's mediator has the window for this session no more. */
static void session_release(VGPULink *link, unsigned ring)
{
    link->sessions[ring].peer = PEER_RING_NONE;
    link->ops->session_released(link->opaque, ring);
}

static void session_advance(VGPULink *link, unsigned ring)
{
    VGPULinkSession *s = &link->sessions[ring];

    if (!s->ring || s->peer != PEER_RING_NONE) {
        return;
    }
    if (!(link->features & VGPU_FEATURE_SESSIONS)) {
        session_end(link, ring, VGPU_ERROR_UNSUPPORTED_OP, 0);
        return;
    }
    s->peer = PEER_RING_SETUP;
    s->fds = s->ring->fds;
    vgpu_link_expect(link);
    vgpu_link_send_fds(link, VGPU_MSG_SESSION_OPEN, 0, &s->ring->open,
                       sizeof(s->ring->open), s->fds);
    vgpu_link_arm(link);
}

/* Sending may break the connection, so the state is looked at each time. */
void vgpu_link_sessions_advance(VGPULink *link)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        if (!link->welcomed || !link->running || vgpu_link_has_unsent(link) ||
            migration_in_incoming_postcopy()) {
            return;
        }
        session_advance(link, i);
    }
}

void vgpu_link_sessions_end_new(VGPULink *link, uint32_t error)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        if (session_is_new(&link->sessions[i])) {
            session_end(link, i, error, 0);
        }
    }
}

/* Tells the mediator to end the session, if it has it. */
static void session_close(VGPULink *link, unsigned ring)
{
    const VGPUSessionRing message = { .ring = ring };
    VGPULinkSession *s = &link->sessions[ring];

    if (s->peer != PEER_RING_SETUP && s->peer != PEER_RING_READY) {
        return;
    }
    if (vgpu_link_is_unsent(link, s->fds)) {
        /* The mediator has not even got the window yet. */
        vgpu_link_break(link, "the mediator does not read");
        return;
    }
    s->peer = PEER_RING_OFF;
    vgpu_link_expect(link);
    vgpu_link_send(link, VGPU_MSG_SESSION_CLOSE, 0, &message, sizeof(message));
    vgpu_link_arm(link);
}

void vgpu_link_sessions_close(VGPULink *link)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        bool was_open = link->sessions[i].ring;

        link->sessions[i].ring = NULL;
        session_close(link, i);
        if (was_open) {
            session_end(link, i, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
        }
    }
}

void vgpu_link_sessions_forget(VGPULink *link)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        link->sessions[i].ring = NULL;
    }
}

void vgpu_link_sessions_release(VGPULink *link)
{
    for (unsigned i = 1; i < VGPU_RINGS_MAX; i++) {
        VGPULinkSession *s = &link->sessions[i];
        bool was_told = s->ring && !session_is_new(s);

        if (s->peer != PEER_RING_NONE) {
            session_release(link, i);
        }
        if (was_told) {
            session_end(link, i, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
        }
    }
}

/* Was the mediator told of this ring? It may name any number. */
static bool session_is_known(const VGPULink *link, uint32_t ring)
{
    return ring > 0 && ring < VGPU_RINGS_MAX &&
           link->sessions[ring].peer != PEER_RING_NONE &&
           !vgpu_link_is_unsent(link, link->sessions[ring].fds);
}

const char *vgpu_link_receive_session_ready(VGPULink *link,
                                            const uint8_t *payload)
{
    VGPUSessionReady ready;
    VGPULinkSession *s;

    memcpy(&ready, payload, sizeof(ready));
    if (ready.error >= VGPU_N_ERRORS) {
        return "an error code that there is not";
    }
    if (!session_is_known(link, ready.ring)) {
        return "a session that it was not told of";
    }
    s = &link->sessions[ready.ring];
    if (s->peer == PEER_RING_OFF) {
        return NULL; /* sent before the mediator heard of the session's end */
    }
    if (ready.error != VGPU_ERROR_NONE) { /* its executor is gone */
        session_release(link, ready.ring);
        session_end(link, ready.ring, ready.error, ready.cuda_result);
        return NULL;
    }
    if (s->peer == PEER_RING_READY) {
        return "a session that it has begun before";
    }
    s->peer = PEER_RING_READY;
    link->ops->session_ready(link->opaque, ready.ring, VGPU_ERROR_NONE, 0);
    return NULL;
}

const char *vgpu_link_receive_session_closed(VGPULink *link,
                                             const uint8_t *payload)
{
    VGPUSessionRing closed;

    memcpy(&closed, payload, sizeof(closed));
    if (!session_is_known(link, closed.ring) ||
        link->sessions[closed.ring].peer != PEER_RING_OFF) {
        return "a session has been closed that should not";
    }
    session_release(link, closed.ring);
    vgpu_link_sessions_advance(link);
    return NULL;
}

void vgpu_link_session_start(VGPULink *link, const VGPULinkSessionRing *ring)
{
    link->sessions[ring->open.ring].ring = ring;
    link->backoff = BACKOFF_MIN_MS;
    if (link->running) {
        vgpu_link_start(link);
    }
}

bool vgpu_link_session_stop(VGPULink *link, unsigned ring)
{
    link->sessions[ring].ring = NULL;
    session_close(link, ring);
    return vgpu_link_session_is_held(link, ring);
}

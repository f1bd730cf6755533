/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the link need from each other. */
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

static inline bool vgpu_link_is_open(const VGPULink *link)
{
    return link->channel.fd >= 0;
}

/* vgpu_link_arm() - sets the timer to the end of the next wait, or earlier */
void vgpu_link_arm(VGPULink *link);

/* vgpu_link_expect() - begins to wait for a sign of life */
void vgpu_link_expect(VGPULink *link);

/*
 * vgpu_link_start() - begins the waits for what is pending, and sends what was
 * not sent yet
 */
void vgpu_link_start(VGPULink *link);

/*
 * vgpu_link_break() - the connection broke or could not be made
 * @what: the reason, for a warning. There is none when nobody waits for the
 *     connection, nor while the last warning still holds
 */
void vgpu_link_break(VGPULink *link, const char *what);

/*
 * vgpu_link_violation() - the mediator has broken the protocol, and the
 * connection is closed
 */
void vgpu_link_violation(VGPULink *link, const char *what);

/* vgpu_link_end_request() - the pending request has ended, see VGPULinkOps */
void vgpu_link_end_request(VGPULink *link, uint32_t error,
                           const uint8_t *response, uint32_t len);

/*
 * vgpu_link_send() - sends a message, or breaks the connection if the mediator
 * has not read for too long
 *
 * vgpu_link_send_fds() sends VGPU_RING_N_FDS descriptors with the message.
 */
void vgpu_link_send(VGPULink *link, uint32_t type, uint32_t request_id,
                    const void *payload, uint32_t len);
void vgpu_link_send_fds(VGPULink *link, uint32_t type, uint32_t request_id,
                        const void *payload, uint32_t len, const int *fds);

/*
 * vgpu_link_is_unsent() - are these descriptors still to be sent?
 *
 * Only one message with descriptors waits at a time. The next such message is
 * sent when vgpu_link_has_unsent() says no.
 */
static inline bool vgpu_link_has_unsent(const VGPULink *link)
{
    return link->channel.fds;
}

static inline bool vgpu_link_is_unsent(const VGPULink *link, const int *fds)
{
    return vgpu_link_has_unsent(link) && link->channel.fds == fds;
}

/*
 * vgpu_link_ping() - asks for a sign of life; the next time after @interval ms
 */
void vgpu_link_ping(VGPULink *link, int64_t interval);

/*
 * vgpu_link_flush() - writes what waits; vgpu_link_read() - takes what is there
 *
 * Both do as much as they can without waiting, and may break the connection.
 */
void vgpu_link_flush(VGPULink *link);
void vgpu_link_read(VGPULink *link);

/* ---- The ring ------------------------------------------------------------ */

/*
 * vgpu_link_ring_is_new() - is there a ring that no mediator has taken up yet?
 */
static inline bool vgpu_link_ring_is_new(const VGPULink *link)
{
    return link->ring && !link->ring_agreed;
}

/* vgpu_link_ring_advance() - tells the mediator of the ring, if it may now */
void vgpu_link_ring_advance(VGPULink *link);

/*
 * vgpu_link_let_go() - makes the mediator let go of the window
 * @sessions: also ends the sessions, which go on otherwise
 *
 * Waits until the mediator has done so or is gone. Closes the connection after
 * @wait_ms, or earlier if the mediator is silent.
 */
void vgpu_link_let_go(VGPULink *link, int64_t wait_ms, bool sessions);

/* vgpu_link_ring_end() - the ring has ended for this reason */
void vgpu_link_ring_end(VGPULink *link, uint32_t error);

/*
 * vgpu_link_ring_release() - this connection's mediator has no window any more
 */
void vgpu_link_ring_release(VGPULink *link);

/* Take a message about the ring. Return what is wrong with it, or NULL. */
const char *vgpu_link_receive_ring_ready(VGPULink *link,
                                         const uint8_t *payload);
const char *vgpu_link_receive_ring_stopped(VGPULink *link);

/* ---- Sessions ------------------------------------------------------------ */

/*
 * The device has a session of which this connection's mediator was not told
 * yet; there is a session at all, or the mediator has one; the mediator owes an
 * answer about one; it was told to let go of one
 */
bool vgpu_link_sessions_have_new(const VGPULink *link);
bool vgpu_link_sessions_are_open(const VGPULink *link);
bool vgpu_link_sessions_expect(const VGPULink *link);
bool vgpu_link_sessions_are_stopping(const VGPULink *link);

/* vgpu_link_sessions_are_wanted() - has the device a session? */
bool vgpu_link_sessions_are_wanted(const VGPULink *link);

/* vgpu_link_sessions_advance() - tells the mediator of them, where it may */
void vgpu_link_sessions_advance(VGPULink *link);

/* vgpu_link_sessions_end_new() - those that no mediator was told of have ended
 * for this reason */
void vgpu_link_sessions_end_new(VGPULink *link, uint32_t error);

/* vgpu_link_sessions_forget() - the device has none any more, and knows it */
void vgpu_link_sessions_forget(VGPULink *link);

/* vgpu_link_sessions_close() - takes them back, and tells the device */
void vgpu_link_sessions_close(VGPULink *link);

/*
 * vgpu_link_sessions_release() - the connection has ended, and with it all
 * sessions that its mediator was told of
 */
void vgpu_link_sessions_release(VGPULink *link);

/* Take a message about a session. Return what is wrong with it, or NULL. */
const char *vgpu_link_receive_session_ready(VGPULink *link,
                                            const uint8_t *payload);
const char *vgpu_link_receive_session_closed(VGPULink *link,
                                             const uint8_t *payload);

/* vgpu_link_advance() - tells the mediator of all that it may be told now */
static inline void vgpu_link_advance(VGPULink *link)
{
    vgpu_link_ring_advance(link);
    vgpu_link_sessions_advance(link);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's connection to the mediator.
 *
 * A link carries one request at a time, one ring, and the rings of sessions. It
 * connects when it first gets any of these, and keeps the connection. After a
 * break it connects again and sends the request or the ring again, as long as
 * there is one. A session cannot be taken up again, and ends with the break.
 * Each request ends in exactly one call of the complete callback, or in
 * vgpu_link_reset().
 *
 * Everything happens under QEMU's big lock. Nothing blocks except the waits
 * that vgpu-link-ring.c describes. The vCPU that rang the doorbell writes the
 * request; everything else runs in the main loop.
 */
#ifndef VGPU_LINK_H
#define VGPU_LINK_H

#include "qemu/timer.h"
#include "qemu/uuid.h"
#include "qemu-compat.h"
#include "vgpu-channel.h"
#include "vgpu-protocol.h"
#include "vgpu-ring.h"

/* A request as it was when the guest rang the doorbell. */
typedef struct VGPUInFlight {
    uint32_t id;
    uint32_t len; /* 1..VGPU_REQUEST_MAX */
    uint8_t data[VGPU_REQUEST_MAX];
} VGPUInFlight;

/* Who speaks to whom, and how long it waits. Constant while the link lives. */
typedef struct VGPULinkConfig {
    char *name;         /* the device's, for messages */
    char *socket;       /* path of the mediator's socket */
    uint32_t timeout_s; /* to wait for a mediator; 0: fail at once */
    uint32_t vm_id;
    uint8_t pool_id;
    uint8_t priority;
    QemuUUID uuid;
    uint32_t features; /* VGPU_FEATURE_* that the mediator is offered */
} VGPULinkConfig;

/* A ring as the mediator gets it. */
typedef struct VGPULinkRing {
    VGPURingSetup setup;
    int fds[VGPU_RING_N_FDS];
} VGPULinkRing;

/* A session's ring as the mediator gets it. */
typedef struct VGPULinkSessionRing {
    VGPUSessionOpen open;
    int fds[VGPU_RING_N_FDS];
} VGPULinkSessionRing;

/* What the link tells the device. None of these may call into the link. */
typedef struct VGPULinkOps {
    /*
     * The request has ended. @error is VGPU_ERROR_*. @response holds the @len
     * bytes of a well-formed response; without one it is NULL, and @len is 0.
     */
    void (*complete)(void *opaque, uint32_t error, const uint8_t *response,
                     uint32_t len);
    /*
     * With VGPU_ERROR_NONE a mediator has taken up the ring, which it does
     * again after each break. With another error the ring has ended, and the
     * link has none any more.
     */
    void (*ring_ready)(void *opaque, uint32_t error);
    /*
     * The mediator that was told of a ring has let go of the window, or is
     * gone.
     */
    void (*ring_released)(void *opaque);
    /*
     * The session of @ring has begun, or with an error has ended; the link has
     * it no more then. @cuda_result is 0 unless @error is CUDA_ERROR.
     */
    void (*session_ready)(void *opaque, unsigned ring, uint32_t error,
                          uint32_t cuda_result);
    /* As ring_released; the session's executor is gone. */
    void (*session_released)(void *opaque, unsigned ring);
} VGPULinkOps;

/* What this connection's mediator has of a ring. */
typedef enum VGPUPeerRing {
    PEER_RING_NONE,
    PEER_RING_SETUP, /* it was told of the ring */
    PEER_RING_READY, /* it has taken up the ring */
    PEER_RING_OFF,   /* it was told to let go of the ring */
} VGPUPeerRing;

/* One of the rings beyond ring 0. */
typedef struct VGPULinkSession {
    const VGPULinkSessionRing *ring; /* NULL: the device has none */
    const int *fds; /* of the ring that the mediator was told of last */
    VGPUPeerRing peer;
} VGPULinkSession;

typedef struct VGPULink {
    const VGPULinkConfig *config;
    const VGPULinkOps *ops;
    void *opaque;
    VMChangeStateEntry *vm_state;
    QEMUTimer timer;
    bool running; /* does the VM run? */

    const VGPUInFlight *request; /* NULL: nothing is pending */
    unsigned sends;              /* how often the request was sent */

    const VGPULinkRing *ring; /* NULL: the device has none */
    bool ring_agreed;         /* a mediator has taken it up before */
    unsigned ring_sends;      /* how often a mediator was told of it */
    const int *ring_fds; /* of the ring that the mediator was told of last */

    VGPULinkSession sessions[VGPU_RINGS_MAX]; /* by ring; 0 is not used */

    /*
     * When the request fails without a sign of life, and with it a ring that is
     * not agreed, and sessions that no mediator was told of; 0: never
     */
    int64_t deadline;

    uint8_t resume[16]; /* from the last WELCOME, for the next HELLO */

    VGPUChannel channel;
    bool welcomed;     /* has this connection's mediator sent WELCOME? */
    uint32_t features; /* that this mediator takes up */
    VGPUPeerRing peer_ring;
    int64_t ring_ready_at; /* in PEER_RING_READY: since when */
    bool absent;      /* nobody was there for the timeout, nor has been since */
    bool warned;      /* nothing was heard since the last warning */
    unsigned backoff; /* before the next attempt to connect */
    int64_t retry_at; /* while a connection is wanted and there is none */
    int64_t ping_at;  /* while an answer is expected on the connection */
    int64_t heard_at; /* last sign of life, or start of the wait for one */

    bool tx_watched; /* does the main loop wait for room to write? */
} VGPULink;

/*
 * vgpu_link_init() - prepares a link; does not connect
 * @config: must outlive the link
 * @ops: the callbacks; they get @opaque
 */
void vgpu_link_init(VGPULink *link, const VGPULinkConfig *config,
                    const VGPULinkOps *ops, void *opaque);

/* vgpu_link_cleanup() - resets and closes the link */
void vgpu_link_cleanup(VGPULink *link);

/*
 * vgpu_link_submit() - takes up a request
 * @request: must not change until the request has ended
 *
 * No other request may be pending. The request may have ended on return.
 */
void vgpu_link_submit(VGPULink *link, const VGPUInFlight *request);

/*
 * vgpu_link_ring_start() - takes up a ring, until it ends or is stopped
 * @ring: must not change until then, nor may its descriptors
 * @agreed: a mediator has taken up this ring before, and its user relies on
 *     that: the ring does not end because there is no mediator
 *
 * The link must have no other ring. The mediator may still have one that was
 * stopped; the new ring waits for that. The ring may have ended on return.
 */
void vgpu_link_ring_start(VGPULink *link, const VGPULinkRing *ring,
                          bool agreed);

/*
 * vgpu_link_ring_stop() - takes back the ring, if there is one
 *
 * Returns whether the mediator still has it: ring_released will be called.
 */
bool vgpu_link_ring_stop(VGPULink *link);

/*
 * vgpu_link_session_start() - takes up the ring of a session, until it ends or
 * is stopped
 * @ring: must not change until then, nor may its descriptors
 *
 * The link must have no other session of this ring. The mediator may still have
 * one that was stopped; the new one waits for that. The session may have ended
 * on return.
 */
void vgpu_link_session_start(VGPULink *link, const VGPULinkSessionRing *ring);

/*
 * vgpu_link_session_stop() - takes back that ring, if there is one
 *
 * Returns whether the mediator still has it: session_released will be called.
 */
bool vgpu_link_session_stop(VGPULink *link, unsigned ring);

/* vgpu_link_session_is_held() - has the mediator the window for this ring? */
static inline bool vgpu_link_session_is_held(const VGPULink *link,
                                             unsigned ring)
{
    return link->sessions[ring].peer != PEER_RING_NONE;
}

/*
 * vgpu_link_reset() - forgets the pending request, the ring and all sessions
 *
 * Closes the connection if there was any: nobody waits for the request's answer
 * any more, and the mediator must not reach the window. The mediator gets a
 * moment to let go of the window first.
 */
void vgpu_link_reset(VGPULink *link);

#endif

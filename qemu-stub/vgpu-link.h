/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's connection to the mediator.
 *
 * A link carries one request at a time, and one ring. It connects at the first
 * of either, keeps the connection, and after a break connects again and sends
 * the request or the ring again for as long as there is one. Each request ends
 * in exactly one call of the complete callback, or in vgpu_link_reset().
 *
 * Everything happens under QEMU's big lock and nothing blocks, but for the two
 * waits that vgpu-link-ring.c tells of. Requests are written by the vCPU that rang
 * the doorbell; all else runs in the main loop.
 */
#ifndef VGPU_LINK_H
#define VGPU_LINK_H

#include "qemu/timer.h"
#include "qemu/uuid.h"
#include "qemu-compat.h"
#include "vgpu-channel.h"
#include "vgpu-protocol.h"
#include "vgpu-ring.h"

/* A request as it was at the doorbell. */
typedef struct VGPUInFlight {
    uint32_t id;
    uint32_t len; /* 1..VGPU_REQUEST_MAX */
    uint8_t data[VGPU_REQUEST_MAX];
} VGPUInFlight;

/* Who speaks, to whom, and how long it waits. Constant while the link lives. */
typedef struct VGPULinkConfig {
    char *name;         /* the device's, for messages */
    char *socket;       /* path of the mediator's socket */
    uint32_t timeout_s; /* to live without a mediator; 0: fail at once */
    uint32_t vm_id;
    uint8_t pool_id;
    uint8_t priority;
    QemuUUID uuid;
    uint32_t features; /* VGPU_FEATURE_* to offer to the mediator */
} VGPULinkConfig;

/* A ring as the mediator is told of it. */
typedef struct VGPULinkRing {
    VGPURingSetup setup;
    int fds[VGPU_RING_N_FDS];
} VGPULinkRing;

/* What the link tells the device. None of these may call back into the link. */
typedef struct VGPULinkOps {
    /*
     * The request has ended. @error is VGPU_ERROR_*; @response holds the @len
     * bytes of a well-formed response, or is NULL (and @len 0) when there was
     * none.
     */
    void (*complete)(void *opaque, uint32_t error, const uint8_t *response,
                     uint32_t len);
    /*
     * A mediator has taken up the ring (VGPU_ERROR_NONE; again after each
     * break), or the ring has ended with this error and is not the link's any
     * more.
     */
    void (*ring_ready)(void *opaque, uint32_t error);
    /*
     * The mediator that had been told of a ring has let go of the window, or is
     * gone.
     */
    void (*ring_released)(void *opaque);
} VGPULinkOps;

/* What this connection's mediator has of the ring. */
typedef enum VGPUPeerRing {
    PEER_RING_NONE,
    PEER_RING_SETUP, /* it was told of it */
    PEER_RING_READY, /* it has taken it up */
    PEER_RING_OFF,   /* it was told to let go of it */
} VGPUPeerRing;

typedef struct VGPULink {
    const VGPULinkConfig *config;
    const VGPULinkOps *ops;
    void *opaque;
    VMChangeStateEntry *vm_state;
    QEMUTimer timer;
    bool running; /* does the VM run? */

    const VGPUInFlight *request; /* NULL: nothing is pending */
    unsigned sends;              /* how often it was sent */

    const VGPULinkRing *ring; /* NULL: the device has none */
    bool ring_agreed;         /* a mediator has taken it up before */
    unsigned ring_sends;      /* how often one was told of it */

    /* When the request, and a ring that is not agreed, fail without a sign of
     * life; 0: never */
    int64_t deadline;

    uint8_t resume[16]; /* from the last WELCOME, for the next HELLO */

    VGPUChannel channel;
    bool welcomed;     /* by this connection's mediator, */
    uint32_t features; /* which knows these */
    VGPUPeerRing peer_ring;
    int64_t ring_ready_at; /* since when, in PEER_RING_READY */
    bool warned;      /* nothing was heard since the last warning */
    unsigned backoff; /* before the next attempt to connect */
    int64_t retry_at; /* while one is wanted and there is none */
    int64_t ping_at;  /* while an answer is expected on one */
    int64_t heard_at; /* last sign of life, or begin of the wait for one */

    bool tx_watched; /* has the main loop been asked to wait for room? */
} VGPULink;

/*
 * vgpu_link_init() - prepares a link; does not connect
 * @config: must outlive the link
 * @ops, @opaque: whom to tell
 */
void vgpu_link_init(VGPULink *link, const VGPULinkConfig *config,
                    const VGPULinkOps *ops, void *opaque);

/* vgpu_link_cleanup() - resets and closes it */
void vgpu_link_cleanup(VGPULink *link);

/*
 * vgpu_link_submit() - takes up a request
 * @request: must stay as it is until the request has ended
 *
 * No other request may be pending. The request may have ended on return.
 */
void vgpu_link_submit(VGPULink *link, const VGPUInFlight *request);

/*
 * vgpu_link_ring_start() - takes up a ring, for good
 * @ring: it and its descriptors must stay as they are until the ring has ended
 * @agreed: a mediator has taken it up before, and whoever uses it relies on that: the
 *     absence of a mediator does not end it
 *
 * There may be no other ring, but the mediator may still have one that was
 * stopped; the new one waits for it. The ring may have ended on return.
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
 * vgpu_link_reset() - forgets the pending request and the ring
 *
 * Closes the connection if there was either: the request's answer can never be
 * delivered, and the mediator must not reach the window any more. It is given a
 * moment to let go of it.
 */
void vgpu_link_reset(VGPULink *link);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's connection to the mediator.
 *
 * A link carries one request at a time. It connects at the first request, keeps
 * the connection, and after a break connects again and sends the request again
 * for as long as one is pending. Each request ends in exactly one call of the
 * complete callback, or in vgpu_link_cancel().
 *
 * Everything happens under QEMU's big lock and nothing blocks. Requests are
 * written by the vCPU that rang the doorbell; all else runs in the main loop.
 */
#ifndef VGPU_LINK_H
#define VGPU_LINK_H

#include "qemu/timer.h"
#include "qemu/uuid.h"
#include "qemu-compat.h"
#include "vgpu-protocol.h"

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
} VGPULinkConfig;

/*
 * The request has ended. @error is VGPU_ERROR_*; @response holds the @len bytes
 * of a well-formed response, or is NULL (and @len 0) when there was none.
 * Must not call back into the link.
 */
typedef void VGPULinkComplete(void *opaque, uint32_t error,
                              const uint8_t *response, uint32_t len);

/* A hello, a request and some answers to pings can wait to be written. */
#define VGPU_LINK_TX_SIZE                                        \
    (sizeof(VGPUSocketHeader) + sizeof(VGPUHello) +              \
     sizeof(VGPUSocketHeader) + VGPU_REQUEST_MAX +               \
     16 * sizeof(VGPUSocketHeader))
#define VGPU_LINK_RX_SIZE (sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX)

typedef struct VGPULink {
    const VGPULinkConfig *config;
    VGPULinkComplete *complete;
    void *opaque;
    VMChangeStateEntry *vm_state;
    QEMUTimer timer;
    bool running; /* does the VM run? */

    const VGPUInFlight *request; /* NULL: nothing is pending */
    unsigned sends;              /* how often it was sent */
    int64_t deadline; /* when it fails without a sign of life; 0: never */

    uint8_t resume[16]; /* from the last WELCOME, for the next HELLO */

    int fd; /* -1: not connected */
    bool warned;      /* nothing was heard since the last warning */
    unsigned backoff; /* before the next attempt to connect */
    int64_t retry_at; /* while a request is pending without a connection */
    int64_t ping_at;  /* while one is pending on a connection */
    int64_t heard_at; /* last sign of life, or begin of the wait for one */

    bool tx_watched; /* has the main loop been asked to wait for room? */
    size_t tx_len;
    size_t rx_len;
    uint8_t tx[VGPU_LINK_TX_SIZE];
    uint8_t rx[VGPU_LINK_RX_SIZE];
} VGPULink;

/*
 * vgpu_link_init() - prepares a link; does not connect
 * @config: must outlive the link
 * @complete, @opaque: told when a request has ended
 */
void vgpu_link_init(VGPULink *link, const VGPULinkConfig *config,
                    VGPULinkComplete *complete, void *opaque);

/* vgpu_link_cleanup() - closes it, without a word to anybody */
void vgpu_link_cleanup(VGPULink *link);

/*
 * vgpu_link_submit() - takes up a request
 * @request: must stay as it is until the request has ended
 *
 * No other request may be pending. The request may have ended on return.
 */
void vgpu_link_submit(VGPULink *link, const VGPUInFlight *request);

/*
 * vgpu_link_cancel() - forgets the pending request, if there is one
 *
 * Also closes the connection then: its answer can never be delivered.
 */
void vgpu_link_cancel(VGPULink *link);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to the mediator as bytes: a socket, what waits to be written to
 * it, and what was read from it. It knows where messages begin and end, and not
 * what they mean. Nothing here blocks.
 */
#ifndef VGPU_CHANNEL_H
#define VGPU_CHANNEL_H

#include "vgpu-protocol.h"
#include "vgpu-ring.h"

/* A hello, a request, a ring and some answers to pings can wait to be written. */
#define VGPU_CHANNEL_TX_SIZE                                     \
    (sizeof(VGPUSocketHeader) + sizeof(VGPUHello) +              \
     sizeof(VGPUSocketHeader) + VGPU_REQUEST_MAX +               \
     sizeof(VGPUSocketHeader) + sizeof(VGPURingSetup) +          \
     16 * sizeof(VGPUSocketHeader))
#define VGPU_CHANNEL_RX_SIZE (sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX)

typedef struct VGPUChannel {
    int fd;         /* -1: closed */
    const int *fds; /* VGPU_RING_N_FDS that were not sent yet, or NULL */
    size_t fds_at;  /* with which of the waiting bytes they go */
    size_t tx_len;
    size_t rx_len;
    uint8_t tx[VGPU_CHANNEL_TX_SIZE];
    uint8_t rx[VGPU_CHANNEL_RX_SIZE];
} VGPUChannel;

/* vgpu_channel_init() - a closed one */
void vgpu_channel_init(VGPUChannel *c);

/*
 * vgpu_channel_open() - connects to the socket at @path, which must fit into an
 * address
 *
 * Returns 0 or a negative errno. A Unix socket connects or fails, it never
 * keeps one waiting.
 */
int vgpu_channel_open(VGPUChannel *c, const char *path);

/* vgpu_channel_close() - closes it, and forgets all bytes. Takes a closed one */
void vgpu_channel_close(VGPUChannel *c);

/*
 * vgpu_channel_put() - queues a message
 * @payload: header->payload_len bytes
 * @fds: NULL, or VGPU_RING_N_FDS descriptors to go with its first byte. The array
 *     and they must stay until c->fds is NULL again; none may wait already
 *
 * Returns false when there is no room for it.
 */
bool vgpu_channel_put(VGPUChannel *c, const VGPUSocketHeader *header,
                      const void *payload, const int *fds);

/* vgpu_channel_flush() - writes what waits, as far as it goes: 0 or -errno */
int vgpu_channel_flush(VGPUChannel *c);

/*
 * vgpu_channel_fill() - reads once
 *
 * Returns the number of bytes; 0 at the end of the connection; -errno, with
 * -EAGAIN when there is nothing now.
 */
ssize_t vgpu_channel_fill(VGPUChannel *c);

/*
 * vgpu_channel_peek() - the first message that was read
 * @ret_header: set when @ret_payload is
 * @ret_payload: NULL when it is not whole yet
 *
 * Returns what is wrong with its header, or NULL.
 */
const char *vgpu_channel_peek(const VGPUChannel *c,
                              VGPUSocketHeader *ret_header,
                              const uint8_t **ret_payload);

/* vgpu_channel_drop() - forgets the first message, whose header this is */
void vgpu_channel_drop(VGPUChannel *c, const VGPUSocketHeader *header);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to the mediator as bytes: a socket, the bytes that wait to be
 * written to it, and the bytes that were read from it. The channel knows where
 * messages begin and end, and not what they mean. Nothing here blocks.
 *
 * QEMU has a socket with reconnection, the chardev, and memory to share, the
 * memory-backend object that a device takes as its memdev. The device uses
 * neither:
 *
 *  - A chardev must be created and named beside the device. This device has a
 *    default socket and needs one -device argument and nothing else, so the
 *    emulator launcher can add it alone.
 *  - A chardev connects when QEMU starts, and again at fixed intervals for
 *    ever. The device connects when the guest first wants something, tries
 *    again after 10 ms at first, gives up at a deadline, and is quiet while the
 *    VM is stopped.
 *  - A chardev is served by the main loop, or blocks. While the VM stops, the
 *    device waits for the mediator outside the main loop, and only for a
 *    bounded time.
 *  - The mediator takes a window only if it is a memfd that is sealed against
 *    shrinking. A memdev may be any memory; the device would have to refuse
 *    most.
 *  - One source serves all QEMU versions from 7.2 on. Sockets do not change
 *    between them; the calls and properties of chardevs do.
 */
#ifndef VGPU_CHANNEL_H
#define VGPU_CHANNEL_H

#include "vgpu-protocol.h"
#include "vgpu-ring.h"

/*
 * Room for a hello, a request, a ring, the beginning and the end of each
 * session, and some answers to pings.
 */
#define VGPU_CHANNEL_TX_SIZE                                     \
    (sizeof(VGPUSocketHeader) + sizeof(VGPUHello) +              \
     sizeof(VGPUSocketHeader) + VGPU_REQUEST_MAX +               \
     sizeof(VGPUSocketHeader) + sizeof(VGPURingSetup) +          \
     (VGPU_RINGS_MAX - 1) *                                      \
     (2 * sizeof(VGPUSocketHeader) + sizeof(VGPUSessionOpen) +   \
      sizeof(VGPUSessionRing)) +                                 \
     16 * sizeof(VGPUSocketHeader))
#define VGPU_CHANNEL_RX_SIZE (sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX)

typedef struct VGPUChannel {
    int fd;         /* -1: closed */
    const int *fds; /* VGPU_RING_N_FDS that were not sent yet, or NULL */
    size_t fds_at;  /* the waiting byte that they go with */
    size_t tx_len;
    size_t rx_len;
    uint8_t tx[VGPU_CHANNEL_TX_SIZE];
    uint8_t rx[VGPU_CHANNEL_RX_SIZE];
} VGPUChannel;

/* vgpu_channel_init() - makes a closed channel */
void vgpu_channel_init(VGPUChannel *c);

/*
 * vgpu_channel_open() - connects a closed channel to the socket at @path
 * @path: must fit into an address
 *
 * Returns 0 or a negative errno. To connect a Unix socket either succeeds or
 * fails at once.
 */
int vgpu_channel_open(VGPUChannel *c, const char *path);

/*
 * vgpu_channel_close() - closes the channel and forgets all bytes
 *
 * The channel may be closed already.
 */
void vgpu_channel_close(VGPUChannel *c);

/*
 * vgpu_channel_put() - queues a message
 * @payload: header->payload_len bytes
 * @fds: NULL, or VGPU_RING_N_FDS descriptors to go with the message's first
 *     byte. The array and the descriptors must stay until c->fds is NULL again.
 *     No others may wait already
 *
 * Returns false when there is no room for the message.
 */
bool vgpu_channel_put(VGPUChannel *c, const VGPUSocketHeader *header,
                      const void *payload, const int *fds);

/*
 * vgpu_channel_flush() - writes the waiting bytes, as many as the socket takes
 *
 * Returns 0 or a negative errno.
 */
int vgpu_channel_flush(VGPUChannel *c);

/*
 * vgpu_channel_fill() - reads once
 *
 * Returns the number of bytes, 0 at the end of the connection, or a negative
 * errno: -EAGAIN when there is nothing to read now.
 */
ssize_t vgpu_channel_fill(VGPUChannel *c);

/*
 * vgpu_channel_peek() - looks at the first message that was read
 * @ret_header: set when @ret_payload is not NULL
 * @ret_payload: NULL when the message is not complete yet
 *
 * Returns what is wrong with the message's header, or NULL.
 */
const char *vgpu_channel_peek(const VGPUChannel *c,
                              VGPUSocketHeader *ret_header,
                              const uint8_t **ret_payload);

/* vgpu_channel_drop() - forgets the first message, which has this header */
void vgpu_channel_drop(VGPUChannel *c, const VGPUSocketHeader *header);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A peer of the mediator, for tests and benchmarks: plain blocking I/O */
#ifndef VGPU_TEST_WIRE_H
#define VGPU_TEST_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vgpu-builtin.h"

#define WIRE_TIMEOUT_MSEC 20000
#define WIRE_FDS_MAX 16

typedef struct WireMessage {
    VGPUSocketHeader header;
    union {
        char payload[VGPU_PAYLOAD_MAX];
        VGPUResponse response;
        struct {
            VGPUResponse header;
            uint32_t results[8];
        } results;
    };
} WireMessage;

/* wire_connect() - returns a connected socket, or a negative errno */
int wire_connect(const char *path);

/* wire_header() - a message header that claims to be VM @vm_id, in pool A */
VGPUSocketHeader wire_header(uint32_t type, uint32_t vm_id, uint32_t request_id, uint8_t priority,
                             uint32_t payload_len);

/* wire_send() - send a whole message; false when the peer is gone */
bool wire_send(int fd, const VGPUSocketHeader *header, const void *payload);

/* wire_send_bytes() - send any bytes, with @n descriptors at the first of them; false as above */
bool wire_send_bytes(int fd, const void *bytes, size_t size, const int *fds, unsigned n);

/* wire_send_fds() - send a message with @n descriptors at its first byte; false as above */
bool wire_send_fds(int fd, const VGPUSocketHeader *header, const void *payload, const int *fds,
                   unsigned n);

/* wire_send_request() - send a request that has parameters and data */
bool wire_send_request(int fd, uint32_t vm_id, uint32_t request_id, uint8_t priority,
                       uint32_t opcode, const uint32_t *params, uint32_t n_params, const void *data,
                       uint32_t size);

/* wire_send_add() - send a request for the sum of @a and @b */
bool wire_send_add(int fd, uint32_t vm_id, uint32_t request_id, uint8_t priority, uint32_t a,
                   uint32_t b);

/*
 * wire_receive() - wait for the next message
 *
 * Returns 1, 0 at the end of the stream, or a negative errno: -ETIMEDOUT after WIRE_TIMEOUT_MSEC
 * without a message.
 */
int wire_receive(int fd, WireMessage *ret);

#endif

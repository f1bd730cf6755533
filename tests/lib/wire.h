/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A peer of the mediator, for tests and benchmarks: plain blocking I/O. */
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

/* wire_connect() - a connected socket, or a negative errno */
int wire_connect(const char *path);

/* wire_header() - a header that claims VM @vm_id in pool A */
VGPUSocketHeader wire_header(uint32_t type, uint32_t vm_id, uint32_t request_id, uint8_t priority,
                             uint32_t payload_len);

/* wire_send() - all of it; false when the peer is gone */
bool wire_send(int fd, const VGPUSocketHeader *header, const void *payload);

/* wire_send_bytes() - any bytes, with @n descriptors at the first; false when the peer is gone */
bool wire_send_bytes(int fd, const void *bytes, size_t size, const int *fds, unsigned n);

/* wire_send_fds() - the same, and @n descriptors with its first byte */
bool wire_send_fds(int fd, const VGPUSocketHeader *header, const void *payload, const int *fds,
                   unsigned n);

/* wire_send_request() - a request with params and data behind its header */
bool wire_send_request(int fd, uint32_t vm_id, uint32_t request_id, uint8_t priority,
                       uint32_t opcode, const uint32_t *params, uint32_t n_params, const void *data,
                       uint32_t size);

/* wire_send_add() - the scalar addition */
bool wire_send_add(int fd, uint32_t vm_id, uint32_t request_id, uint8_t priority, uint32_t a,
                   uint32_t b);

/*
 * wire_receive() - the next message
 *
 * Returns 1, 0 at end of file, or a negative errno (-ETIMEDOUT after
 * WIRE_TIMEOUT_MSEC without one).
 */
int wire_receive(int fd, WireMessage *ret);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire.h"

int wire_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    return fd;
}

VGPUSocketHeader wire_header(uint32_t type, uint32_t vm_id, uint32_t request_id, uint8_t priority,
                             uint32_t payload_len)
{
    return (VGPUSocketHeader){
        .magic = VGPU_SOCKET_MAGIC,
        .msg_type = type,
        .vm_id = vm_id,
        .request_id = request_id,
        .pool_id = 'A',
        .priority = priority,
        .payload_len = payload_len,
    };
}

bool wire_send_bytes(int fd, const void *bytes, size_t size, const int *fds, unsigned n)
{
    union {
        char bytes[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
        struct cmsghdr header;
    } control = {.header = {
                     .cmsg_len = CMSG_LEN(n * sizeof(int)),
                     .cmsg_level = SOL_SOCKET,
                     .cmsg_type = SCM_RIGHTS,
                 }};
    struct iovec iov = {(void *) bytes, size};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = n ? &control : NULL,
        .msg_controllen = n ? CMSG_SPACE(n * sizeof(int)) : 0,
    };

    if (n > 0)
        memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t) size;
}

bool wire_send_fds(int fd, const VGPUSocketHeader *header, const void *payload, const int *fds,
                   unsigned n)
{
    char message[sizeof(*header) + VGPU_PAYLOAD_MAX];

    memcpy(message, header, sizeof(*header));
    if (header->payload_len > 0)
        memcpy(message + sizeof(*header), payload, header->payload_len);
    return wire_send_bytes(fd, message, sizeof(*header) + header->payload_len, fds, n);
}

bool wire_send(int fd, const VGPUSocketHeader *header, const void *payload)
{
    return wire_send_fds(fd, header, payload, NULL, 0);
}

bool wire_send_request(int fd, uint32_t vm_id, uint32_t request_id, uint8_t priority,
                       uint32_t opcode, const uint32_t *params, uint32_t n_params, const void *data,
                       uint32_t size)
{
    char payload[VGPU_REQUEST_MAX];
    uint32_t offset = (uint32_t) (sizeof(VGPURequest) + n_params * sizeof(uint32_t));
    VGPURequest request = {
        .version = VGPU_PROTOCOL_VERSION,
        .opcode = opcode,
        .param_count = n_params,
        .data_offset = size ? offset : 0,
        .data_length = size,
    };
    VGPUSocketHeader header =
        wire_header(VGPU_MSG_REQUEST, vm_id, request_id, priority, offset + size);

    memcpy(payload, &request, sizeof(request));
    if (n_params > 0)
        memcpy(payload + sizeof(request), params, n_params * sizeof(uint32_t));
    if (size > 0)
        memcpy(payload + offset, data, size);
    return wire_send(fd, &header, payload);
}

bool wire_send_add(int fd, uint32_t vm_id, uint32_t request_id, uint8_t priority, uint32_t a,
                   uint32_t b)
{
    const uint32_t params[] = {a, b};

    return wire_send_request(fd, vm_id, request_id, priority, VGPU_OP_CUDA_KERNEL, params, 2, NULL,
                             0);
}

static int receive_all(int fd, void *buf, size_t size)
{
    size_t at = 0;

    while (at < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, WIRE_TIMEOUT_MSEC) == 0)
            return -ETIMEDOUT;
        n = recv(fd, (char *) buf + at, size - at, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return at == 0 ? 0 : -EPIPE;
        at += (size_t) n;
    }
    return 1;
}

int wire_receive(int fd, WireMessage *ret)
{
    int r = receive_all(fd, &ret->header, sizeof(ret->header));

    if (r <= 0)
        return r;
    if (vgpu_ring_header_check(&ret->header))
        return -EBADMSG;
    if (ret->header.payload_len == 0)
        return 1;
    r = receive_all(fd, ret->payload, ret->header.payload_len);
    return r == 0 ? -EPIPE : r;
}

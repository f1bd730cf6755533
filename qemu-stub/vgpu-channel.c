/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "vgpu-channel.h"

#include <sys/socket.h>
#include <sys/un.h>

void vgpu_channel_init(VGPUChannel *c)
{
    memset(c, 0, sizeof(*c));
    c->fd = -1;
}

int vgpu_channel_open(VGPUChannel *c, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    assert(c->fd < 0);
    assert(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = errno;

        close(fd);
        return -error;
    }
    c->fd = fd;
    return 0;
}

void vgpu_channel_close(VGPUChannel *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    c->fds = NULL;
    c->tx_len = 0;
    c->rx_len = 0;
}

bool vgpu_channel_put(VGPUChannel *c, const VGPUSocketHeader *header,
                      const void *payload, const int *fds)
{
    assert(!fds || !c->fds);
    if (sizeof(c->tx) - c->tx_len < sizeof(*header) + header->payload_len) {
        return false;
    }
    if (fds) {
        c->fds = fds;
        c->fds_at = c->tx_len;
    }
    memcpy(c->tx + c->tx_len, header, sizeof(*header));
    c->tx_len += sizeof(*header);
    if (header->payload_len > 0) {
        memcpy(c->tx + c->tx_len, payload, header->payload_len);
        c->tx_len += header->payload_len;
    }
    return true;
}

/* Sends from @done on, but not past the place of descriptors that wait. */
static ssize_t channel_send(VGPUChannel *c, size_t done)
{
    union {
        char bytes[CMSG_SPACE(VGPU_RING_N_FDS * sizeof(int))];
        struct cmsghdr align;
    } control = { .bytes = { 0 } };
    bool with_fds = c->fds && done == c->fds_at;
    size_t end = c->fds && done < c->fds_at ? c->fds_at : c->tx_len;
    struct iovec iov = { .iov_base = c->tx + done, .iov_len = end - done };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    if (with_fds) {
        struct cmsghdr *cmsg;

        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        cmsg = CMSG_FIRSTHDR(&message);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(VGPU_RING_N_FDS * sizeof(int));
        memcpy(CMSG_DATA(cmsg), c->fds, VGPU_RING_N_FDS * sizeof(int));
    }
    n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0 && with_fds) {
        c->fds = NULL; /* they went with the first byte */
    }
    return n;
}

int vgpu_channel_flush(VGPUChannel *c)
{
    size_t done = 0;

    while (done < c->tx_len) {
        ssize_t n = channel_send(c, done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            return -errno;
        }
        done += n;
    }

    c->tx_len -= done;
    if (c->fds) {
        c->fds_at -= done;
    }
    memmove(c->tx, c->tx + done, c->tx_len);
    return 0;
}

ssize_t vgpu_channel_fill(VGPUChannel *c)
{
    ssize_t n;

    do {
        n = recv(c->fd, c->rx + c->rx_len, sizeof(c->rx) - c->rx_len,
                 MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    c->rx_len += n;
    return n;
}

const char *vgpu_channel_peek(const VGPUChannel *c,
                              VGPUSocketHeader *ret_header,
                              const uint8_t **ret_payload)
{
    VGPUSocketHeader header;
    const char *problem;

    *ret_payload = NULL;
    if (c->rx_len < sizeof(header)) {
        return NULL;
    }
    memcpy(&header, c->rx, sizeof(header));
    problem = vgpu_ring_header_check(&header);
    if (!problem && c->rx_len >= sizeof(header) + header.payload_len) {
        *ret_header = header;
        *ret_payload = c->rx + sizeof(header);
    }
    return problem;
}

void vgpu_channel_drop(VGPUChannel *c, const VGPUSocketHeader *header)
{
    size_t size = sizeof(*header) + header->payload_len;

    assert(size <= c->rx_len);
    c->rx_len -= size;
    memmove(c->rx, c->rx + size, c->rx_len);
}

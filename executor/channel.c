/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "channel.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Takes the descriptors out of a received message's control data, all or none. */
static int take_fds(Channel *c, struct msghdr *m)
{
    int r = m->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        int fd;

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n; i++) {
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
            if (r == 0 && i == 0 && c->n_fds < CHANNEL_FDS_MAX) {
                c->fds[c->n_fds++] = fd;
                continue;
            }
            close(fd);
            r = -EPROTO;
        }
    }

    return r;
}

void channel_close_fds(Channel *c)
{
    while (c->n_fds > 0)
        close(c->fds[--c->n_fds]);
}

int channel_receive(Channel *c)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov;
    struct msghdr m = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n;
    int r;

    /* A descriptor comes with the first byte of its message. */
    if (c->n_fds > 0 && !channel_is_mid_message(c))
        return -EPROTO;

    if (c->in_start > 0) {
        memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
        c->in_end -= c->in_start;
        c->in_start = 0;
    }

    iov = (struct iovec){c->in + c->in_end, sizeof(c->in) - c->in_end};
    do
        n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);

    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    r = take_fds(c, &m);
    if (r < 0)
        return r;

    c->in_end += (size_t) n;
    return (int) n;
}

static bool header_is_good(const ExecutorHeader *h)
{
    if (h->priority >= VGPU_N_PRIORITIES || h->reserved != 0)
        return false;

    switch (h->type) {
    case EXECUTOR_MSG_REQUEST:
        return h->length <= EXECUTOR_PAYLOAD_MAX;
    case EXECUTOR_MSG_WINDOW_ADD:
    case EXECUTOR_MSG_WINDOW_REMOVE:
        return h->length == sizeof(ExecutorWindow);
    case EXECUTOR_MSG_COMPUTE:
        return h->length == sizeof(ExecutorCompute);
    default:
        return false;
    }
}

static int take_fd(Channel *c)
{
    int fd;

    if (c->n_fds == 0)
        return -EPROTO;

    fd = c->fds[0];
    c->fds[0] = c->fds[1];
    c->n_fds--;
    return fd;
}

int channel_next(Channel *c, Message *ret)
{
    size_t available = c->in_end - c->in_start;
    Message m = {.fd = -1};

    if (available < sizeof(m.header))
        return 0;

    memcpy(&m.header, c->in + c->in_start, sizeof(m.header));
    if (!header_is_good(&m.header))
        return -EPROTO;
    if (available - sizeof(m.header) < m.header.length)
        return 0;

    if (m.header.type == EXECUTOR_MSG_WINDOW_ADD) {
        m.fd = take_fd(c);
        if (m.fd < 0)
            return m.fd;
    }
    m.payload = c->in + c->in_start + sizeof(m.header);
    c->in_start += sizeof(m.header) + m.header.length;
    *ret = m;
    return 1;
}

bool channel_has_message(const Channel *c)
{
    size_t available = c->in_end - c->in_start;
    ExecutorHeader h;

    if (available < sizeof(h))
        return false;

    memcpy(&h, c->in + c->in_start, sizeof(h));
    return !header_is_good(&h) || available - sizeof(h) >= h.length;
}

bool channel_is_mid_message(const Channel *c)
{
    return c->in_end > c->in_start;
}

int channel_reserve(Channel *c, uint32_t type, uint64_t tag, size_t length,
                    unsigned char **ret_payload)
{
    ExecutorHeader h = {.type = type, .length = (uint32_t) length, .tag = tag};

    if (sizeof(c->out) - c->out_end < sizeof(h) + length) {
        int r = channel_flush(c);

        if (r < 0)
            return r;
    }

    memcpy(c->out + c->out_end, &h, sizeof(h));
    *ret_payload = c->out + c->out_end + sizeof(h);
    c->out_end += sizeof(h) + length;
    return 0;
}

int channel_flush(Channel *c)
{
    size_t sent = 0;

    while (sent < c->out_end) {
        ssize_t n = send(c->fd, c->out + sent, c->out_end - sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == ECONNRESET ? -EPIPE : -errno;
        sent += (size_t) n;
    }

    c->out_end = 0;
    return 0;
}

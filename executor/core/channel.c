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
        n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
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
    return (h->type == EXECUTOR_MSG_WINDOW_ADD || h->type == EXECUTOR_MSG_WINDOW_REMOVE) &&
           h->length == sizeof(ExecutorWindow) && h->priority == 0 && h->reserved == 0;
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

int channel_next(Channel *c, WindowMessage *ret)
{
    WindowMessage m = {.fd = -1};
    ExecutorHeader h;

    if (c->in_end - c->in_start < sizeof(h))
        return 0;

    memcpy(&h, c->in + c->in_start, sizeof(h));
    if (!header_is_good(&h))
        return -EPROTO;
    if (c->in_end - c->in_start < CHANNEL_MESSAGE_SIZE)
        return 0;

    if (h.type == EXECUTOR_MSG_WINDOW_ADD) {
        m.fd = take_fd(c);
        if (m.fd < 0)
            return m.fd;
    }
    m.type = h.type;
    memcpy(&m.window, c->in + c->in_start + sizeof(h), sizeof(m.window));
    c->in_start += CHANNEL_MESSAGE_SIZE;
    *ret = m;
    return 1;
}

bool channel_is_mid_message(const Channel *c)
{
    return c->in_end > c->in_start;
}

int channel_send_hello(const Channel *c, const ExecutorHello *hello)
{
    const struct {
        ExecutorHeader header;
        ExecutorHello hello;
    } message = {
        .header = {.type = EXECUTOR_MSG_HELLO, .length = sizeof(*hello)},
        .hello = *hello,
    };
    ssize_t n = send(c->fd, &message, sizeof(message), MSG_NOSIGNAL);

    if (n < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    return n == sizeof(message) ? 0 : -EIO;
}

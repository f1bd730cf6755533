/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "channel.h"

#include "fd-passing.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void channel_close_fds(Channel *c)
{
    while (c->n_fds > 0)
        close(c->fds[--c->n_fds]);
}

int channel_receive(Channel *c)
{
    /* At most one descriptor comes with a read. */
    unsigned max = c->n_fds < CHANNEL_FDS_MAX ? c->n_fds + 1 : CHANNEL_FDS_MAX;
    ssize_t n;

    /* A descriptor comes with the first byte of its message. */
    if (c->n_fds > 0 && !channel_is_mid_message(c))
        return -EPROTO;

    if (c->in_start > 0) {
        memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
        c->in_end -= c->in_start;
        c->in_start = 0;
    }
    assert(c->in_end < sizeof(c->in));

    do
        n = fd_passing_receive(c->fd, c->in + c->in_end, sizeof(c->in) - c->in_end, c->fds, max,
                               &c->n_fds);
    while (n == -EINTR);

    if (n < 0)
        return n == -ECONNRESET ? 0 : (int) n;
    c->in_end += (size_t) n;
    return (int) n;
}

static bool channel_accepts(const ExecutorHeader *h)
{
    return (h->type == EXECUTOR_MSG_WINDOW_ADD || h->type == EXECUTOR_MSG_WINDOW_REMOVE) &&
           h->length == sizeof(ExecutorWindow) && h->priority == 0 && h->reserved == 0;
}

static int channel_take_fd(Channel *c)
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
    if (!channel_accepts(&h))
        return -EPROTO;
    if (c->in_end - c->in_start < CHANNEL_MESSAGE_SIZE)
        return 0;

    if (h.type == EXECUTOR_MSG_WINDOW_ADD) {
        m.fd = channel_take_fd(c);
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

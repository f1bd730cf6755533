/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "channel.h"

#include <errno.h>
#include <sys/socket.h>

int channel_receive(Channel *c)
{
    ssize_t n;

    if (c->in_start > 0) {
        memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
        c->in_end -= c->in_start;
        c->in_start = 0;
    }

    do
        n = recv(c->fd, c->in + c->in_end, sizeof(c->in) - c->in_end, 0);
    while (n < 0 && errno == EINTR);

    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;

    c->in_end += (size_t) n;
    return (int) n;
}

static bool header_is_request(const ExecutorHeader *h)
{
    return h->type == EXECUTOR_MSG_REQUEST && h->length <= EXECUTOR_PAYLOAD_MAX &&
           h->priority < VGPU_N_PRIORITIES && h->reserved == 0;
}

int channel_next(Channel *c, Message *ret)
{
    size_t available = c->in_end - c->in_start;
    Message m;

    if (available < sizeof(m.header))
        return 0;

    memcpy(&m.header, c->in + c->in_start, sizeof(m.header));
    if (!header_is_request(&m.header))
        return -EPROTO;
    if (available - sizeof(m.header) < m.header.length)
        return 0;

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
    return !header_is_request(&h) || available - sizeof(h) >= h.length;
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

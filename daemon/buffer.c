/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "buffer.h"
#include "fd-passing.h"

#define SIZE_MIN 4096

struct BufferFd {
    uint64_t position; /* of its byte, counted as Buffer.sent is */
    int fd;
};

void buffer_clear(Buffer *b)
{
    free(b->data);
    free(b->fds);
    *b = (Buffer){0};
}

static int buffer_reserve(Buffer *b, size_t n)
{
    size_t size = b->size ? b->size : SIZE_MIN;
    char *data;

    if (n <= b->size - b->end)
        return 0;

    if (b->start > 0) {
        memmove(b->data, b->data + b->start, buffer_used(b));
        b->end -= b->start;
        b->start = 0;
    }
    while (size - b->end < n)
        size *= 2;
    if (size == b->size)
        return 0;

    data = realloc(b->data, size);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->size = size;
    return 0;
}

int buffer_append(Buffer *b, const void *data, size_t n, size_t limit)
{
    int r;

    if (n > limit || buffer_used(b) > limit - n)
        return -ENOBUFS;
    r = buffer_reserve(b, n);
    if (r < 0)
        return r;

    memcpy(b->data + b->end, data, n);
    b->end += n;
    return 0;
}

int buffer_append_with_fd(Buffer *b, const void *data, size_t n, size_t limit, int fd)
{
    BufferFd *fds = reallocarray(b->fds, b->n_fds + 1, sizeof(*fds));
    BufferFd added = {.position = b->sent + buffer_used(b), .fd = fd};
    int r;

    if (!fds)
        return -ENOMEM;
    b->fds = fds;
    r = buffer_append(b, data, n, limit);
    if (r < 0)
        return r;

    b->fds[b->n_fds++] = added;
    return 0;
}

/* How many bytes can go in one piece: those before the next descriptor's byte. The first @skip
 * descriptors do not count. */
static size_t buffer_piece(const Buffer *b, size_t skip)
{
    size_t n = buffer_used(b);

    if (b->n_fds > skip && b->fds[skip].position - b->sent < n)
        n = (size_t) (b->fds[skip].position - b->sent);
    return n;
}

static ssize_t buffer_send_piece(Buffer *b, int socket)
{
    unsigned n_fds = b->n_fds > 0 && b->fds[0].position == b->sent;
    ssize_t n = fd_passing_send(socket, b->data + b->start, buffer_piece(b, n_fds),
                                n_fds > 0 ? &b->fds[0].fd : NULL, n_fds, MSG_DONTWAIT);

    if (n > 0 && n_fds > 0)
        memmove(b->fds, b->fds + 1, --b->n_fds * sizeof(*b->fds));
    return n;
}

int buffer_send(Buffer *b, int socket)
{
    while (buffer_used(b) > 0) {
        ssize_t n = buffer_send_piece(b, socket);

        if (n == -EINTR)
            continue;
        if (n < 0)
            return n == -EAGAIN ? 1 : (int) n;
        b->start += (size_t) n;
        b->sent += (size_t) n;
    }

    b->start = b->end = 0;
    /* A burst must not hold its memory for ever. */
    if (b->size > 4 * SIZE_MIN)
        buffer_clear(b);
    return 0;
}

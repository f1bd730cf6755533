/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "buffer.h"

#define SIZE_MIN 4096

void buffer_clear(Buffer *b)
{
    free(b->data);
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

int buffer_send(Buffer *b, int fd)
{
    while (buffer_used(b) > 0) {
        ssize_t n = send(fd, b->data + b->start, buffer_used(b), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 1 : -errno;
        b->start += (size_t) n;
    }

    b->start = b->end = 0;
    /* A burst must not hold its memory for ever. */
    if (b->size > 4 * SIZE_MIN)
        buffer_clear(b);
    return 0;
}

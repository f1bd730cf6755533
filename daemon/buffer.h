/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes on their way out through a socket, and descriptors among them. Sending never blocks.
 * An empty buffer takes no memory after a burst.
 */
#ifndef VGPU_BUFFER_H
#define VGPU_BUFFER_H

#include <stddef.h>
#include <stdint.h>

typedef struct BufferFd BufferFd;

typedef struct Buffer {
    char *data;
    size_t start; /* data[start..end) is not sent yet */
    size_t end;
    size_t size;
    uint64_t sent; /* bytes since the buffer was last cleared */
    BufferFd *fds; /* not sent yet, by position */
    size_t n_fds;
} Buffer;

static inline size_t buffer_used(const Buffer *b)
{
    return b->end - b->start;
}

/*
 * buffer_append() - add @n bytes at the end
 * @limit: the most bytes that may wait
 *
 * Returns 0, -ENOBUFS over the limit, or -ENOMEM; then nothing was added.
 */
int buffer_append(Buffer *b, const void *data, size_t n, size_t limit);

/*
 * buffer_append_with_fd() - the same, and a descriptor goes with the first of the bytes
 * @fd: stays the caller's, who keeps it open until it has been sent or the buffer is cleared
 */
int buffer_append_with_fd(Buffer *b, const void *data, size_t n, size_t limit, int fd);

/*
 * buffer_send() - hand to the socket what it takes now
 *
 * Returns 0 when the buffer is empty, 1 when bytes are left and the caller
 * should wait for the socket, or a negative errno (-EPIPE when the peer is gone).
 */
int buffer_send(Buffer *b, int socket);

/* buffer_clear() - drop everything and the memory */
void buffer_clear(Buffer *b);

#endif

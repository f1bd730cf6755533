/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fd-passing.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

typedef union Control {
    char bytes[CMSG_SPACE(FD_PASSING_MAX * sizeof(int))];
    struct cmsghdr align;
} Control;

ssize_t fd_passing_send(int socket, const void *data, size_t size, const int fds[], unsigned n,
                        int flags)
{
    Control control = {0};
    struct iovec iov = {.iov_base = (void *) data, .iov_len = size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    assert(size > 0 && n <= FD_PASSING_MAX);

    if (n > 0) {
        struct cmsghdr *c = &control.align;

        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(n * sizeof(int));
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }

    sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

ssize_t fd_passing_receive(int socket, void *buf, size_t size, int fds[], unsigned max,
                           unsigned *n_fds)
{
    unsigned room = max - *n_fds;
    Control control;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        /* CMSG_SPACE would be too much: if its padding has room for one more, one more comes. */
        .msg_controllen = room > 0 ? CMSG_LEN(room * sizeof(int)) : 0,
    };
    ssize_t n;

    assert(*n_fds <= max && room <= FD_PASSING_MAX);

    n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        unsigned got = (unsigned) ((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(&fds[*n_fds], CMSG_DATA(c), got * sizeof(int));
        *n_fds += got;
    }

    if (message.msg_flags & MSG_CTRUNC)
        return *n_fds < max ? -EMFILE : -EPROTO;
    return n;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "passed-fds.h"

typedef union Control {
    char bytes[CMSG_SPACE(PASSED_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
} Control;

/* Returns false when they do not all fit behind those that are here. */
static bool add(PassedFds *p, const struct cmsghdr *c)
{
    unsigned n = (unsigned) ((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    bool fits = true;

    for (unsigned i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
        if (p->n < PASSED_FDS_MAX) {
            p->fd[p->n++] = fd;
        } else {
            close(fd);
            fits = false;
        }
    }
    return fits;
}

ssize_t passed_fds_receive(PassedFds *p, int socket, void *buf, size_t size)
{
    Control control;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        /* Not CMSG_SPACE: where its padding has room for one more, one more comes. */
        .msg_controllen = CMSG_LEN(PASSED_FDS_MAX * sizeof(int)),
    };
    ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    bool fits = true;

    if (n < 0)
        return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && !add(p, c))
            fits = false;

    return fits && !(message.msg_flags & MSG_CTRUNC) ? n : -EPROTO;
}

bool passed_fds_take(PassedFds *p, int *ret, unsigned n)
{
    if (p->n != n)
        return false;

    memcpy(ret, p->fd, n * sizeof(*ret));
    p->n = 0;
    return true;
}

void passed_fds_close(PassedFds *p)
{
    for (unsigned i = 0; i < p->n; i++)
        close(p->fd[i]);
    p->n = 0;
}

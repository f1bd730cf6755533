/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "closer.h"
#include "fd-passing.h"

void session_packet_close(SessionPacket *p)
{
    closer_close(p->fd);
    p->fd = -1;
}

static void session_packet_take_fds(SessionPacket *p, const struct cmsghdr *c)
{
    const size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
        p->has_surplus |= p->has_fds;
        if (!p->has_fds)
            p->fd = fd;
        else
            closer_close(fd);
        p->has_fds = true;
    }
}

static void session_packet_take_sender(SessionPacket *p, const struct cmsghdr *c)
{
    struct ucred sender;

    if (c->cmsg_len != CMSG_LEN(sizeof(sender)))
        return;
    memcpy(&sender, CMSG_DATA(c), sizeof(sender));
    p->sender = sender.pid;
}

void session_packet_receive(int socket, SessionPacket *ret)
{
    /* Room for all that can come along: what the kernel closes itself could block. */
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FD_PASSING_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    SessionPacket p = {.fd = -1};
    struct iovec iov = {.iov_base = &p, .iov_len = offsetof(SessionPacket, size)};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };

    p.size = recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    for (struct cmsghdr *c = p.size < 0 ? NULL : CMSG_FIRSTHDR(&message); c;
         c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            session_packet_take_fds(&p, c);
        else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
            session_packet_take_sender(&p, c);
    }
    /* There was one, and this process may open no more. */
    if (p.size >= 0 && (message.msg_flags & MSG_CTRUNC))
        p.has_fds = true;
    *ret = p;
}

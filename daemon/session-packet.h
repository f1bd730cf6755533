/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an executor of a session sends, as it comes from the socket: one message, who sent it, and
 * what descriptors came along. Nothing of it has been checked. */
#ifndef VGPU_SESSION_PACKET_H
#define VGPU_SESSION_PACKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "session-protocol.h"

typedef struct SessionPacket {
    union {
        uint32_t type;
        SessionStarted started;
        SessionEnded ended;
        SessionShareMessage share;
    };
    ssize_t size; /* bytes of the message, as recvmsg() has it with MSG_TRUNC; may be too many */
    pid_t sender; /* by the kernel, where the socket has SO_PASSCRED; else 0 */
    int fd;       /* the first descriptor; -1: none, or this process may open no more */
    bool has_fds; /* one at least came */
    bool has_surplus; /* more than one did; they are closed */
} SessionPacket;

/* session_packet_receive() - without blocking. @ret: filled in in any case, for
 * session_packet_close(). Size and errno are those of recvmsg() */
void session_packet_receive(int socket, SessionPacket *ret);

/* session_packet_close() - the descriptor, if nobody has taken it */
void session_packet_close(SessionPacket *p);

#endif

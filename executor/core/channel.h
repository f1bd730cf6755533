/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The executor's end of the socket: windows are added and removed through it, and HELLO is sent. */
#ifndef VGPU_EXECUTOR_CHANNEL_H
#define VGPU_EXECUTOR_CHANNEL_H

#include "executor-protocol.h"

#define CHANNEL_MESSAGE_SIZE (sizeof(ExecutorHeader) + sizeof(ExecutorWindow))
#define CHANNEL_BUFFER_SIZE (EXECUTOR_SLOTS_MAX * CHANNEL_MESSAGE_SIZE)

/* A read ends before the next message that carries a descriptor. So at most two descriptors
 * are here: that of a message of which a part is still missing, and one more. */
#define CHANNEL_FDS_MAX 2u

typedef struct Channel {
    int fd;
    unsigned n_fds; /* received and not yet taken, in the order of their messages */
    int fds[CHANNEL_FDS_MAX];
    size_t in_start, in_end; /* in[in_start..in_end) is received and not yet taken */
    unsigned char in[CHANNEL_BUFFER_SIZE];
} Channel;

/* A message that was received */
typedef struct WindowMessage {
    uint32_t type; /* EXECUTOR_MSG_WINDOW_ADD or _REMOVE */
    ExecutorWindow window;
    int fd; /* of a WINDOW_ADD, to be closed by the caller; else -1 */
} WindowMessage;

/*
 * channel_receive() - read once from the socket; never blocks
 *
 * To be called only after channel_next() said that no whole message is left, so that
 * there is always room.
 *
 * Returns the number of bytes, 0 at the end of the stream (also when the mediator went
 * abruptly), -EAGAIN when there is nothing to read, -EPROTO for descriptors that belong to
 * no message, or another negative errno.
 */
int channel_receive(Channel *c);

/*
 * channel_next() - take the next whole message out of what was received
 * @ret: the message, with a descriptor for a WINDOW_ADD
 *
 * Returns 1 and a message, 0 when no whole message is here, -EPROTO when the bytes can't be a
 * message.
 */
int channel_next(Channel *c, WindowMessage *ret);

/* channel_is_mid_message() - is a part of a message here that was not taken? */
bool channel_is_mid_message(const Channel *c);

/* channel_close_fds() - close the descriptors that were not taken */
void channel_close_fds(Channel *c);

/*
 * channel_send_hello() - say that the backend is ready
 *
 * It is the first message to be sent, so the socket has room for it. Returns 0, -EPIPE when the
 * mediator is gone, or another negative errno.
 */
int channel_send_hello(const Channel *c, const ExecutorHello *hello);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The executor's end of the socket: the windows that come and go, and HELLO.
 */
#ifndef VGPU_EXECUTOR_CHANNEL_H
#define VGPU_EXECUTOR_CHANNEL_H

#include "executor-protocol.h"

#define CHANNEL_MESSAGE_SIZE (sizeof(ExecutorHeader) + sizeof(ExecutorWindow))
#define CHANNEL_BUFFER_SIZE (EXECUTOR_SLOTS_MAX * CHANNEL_MESSAGE_SIZE)

/* A read ends behind the first message that carries a descriptor. So at most one more
 * is behind that of a message of which only a part is here. */
#define CHANNEL_FDS_MAX 2u

typedef struct Channel {
    int fd;
    unsigned n_fds; /* descriptors received and not yet taken, in the order of their messages */
    int fds[CHANNEL_FDS_MAX];
    size_t in_start, in_end; /* bytes received and not yet taken: in[in_start..in_end) */
    unsigned char in[CHANNEL_BUFFER_SIZE];
} Channel;

/* A message as received. */
typedef struct WindowMessage {
    uint32_t type; /* EXECUTOR_MSG_WINDOW_ADD or _REMOVE */
    ExecutorWindow window;
    int fd; /* of a WINDOW_ADD, to be closed by whoever took it; else -1 */
} WindowMessage;

/*
 * channel_receive() - one read of what the mediator sent; never blocks
 *
 * To be called only after channel_next() said that no whole message is left, so that
 * there is always room.
 *
 * Returns the number of bytes, 0 at the end of the stream (also when the
 * mediator is gone abruptly), -EAGAIN while there is nothing, -EPROTO for descriptors
 * that belong to no message, or another negative errno.
 */
int channel_receive(Channel *c);

/*
 * channel_next() - take the next whole message out of what was received
 * @ret: the message, with a descriptor for a WINDOW_ADD
 *
 * Returns 1 and a message, 0 when none is there yet, -EPROTO when what is there
 * can't be one.
 */
int channel_next(Channel *c, WindowMessage *ret);

/* channel_is_mid_message() - is a part of a message left over? */
bool channel_is_mid_message(const Channel *c);

/* channel_close_fds() - close the descriptors that were not taken */
void channel_close_fds(Channel *c);

/*
 * channel_send_hello() - say that the backend is ready; the first that is sent, so it fits
 *
 * Returns 0, -EPIPE when the mediator is gone, or another negative errno.
 */
int channel_send_hello(const Channel *c, const ExecutorHello *hello);

#endif

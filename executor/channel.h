/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The executor's end of the socket: what came in, cut into messages, and what
 * goes out, gathered into one write.
 */
#ifndef VGPU_EXECUTOR_CHANNEL_H
#define VGPU_EXECUTOR_CHANNEL_H

#include "executor-protocol.h"

#define CHANNEL_MESSAGE_MAX (sizeof(ExecutorHeader) + EXECUTOR_PAYLOAD_MAX)
/* Every request that can be in flight comes in with one read, and their
 * responses leave with one write. */
#define CHANNEL_BUFFER_SIZE (EXECUTOR_SLOTS_MAX * CHANNEL_MESSAGE_MAX)

/* A read ends behind the first message that carries a descriptor. So at most one more
 * is behind that of a message of which only a part is here. */
#define CHANNEL_FDS_MAX 2u

typedef struct Channel {
    int fd;
    unsigned n_fds; /* descriptors received and not yet taken, in the order of their messages */
    int fds[CHANNEL_FDS_MAX];
    size_t in_start, in_end; /* bytes received and not yet taken: in[in_start..in_end) */
    size_t out_end;          /* bytes not yet sent: out[0..out_end) */
    unsigned char in[CHANNEL_BUFFER_SIZE];
    unsigned char out[CHANNEL_BUFFER_SIZE];
} Channel;

/* A message as received; valid until the next channel_receive(). */
typedef struct Message {
    ExecutorHeader header;
    const unsigned char *payload; /* header.length bytes, any alignment */
    int fd;                       /* of a WINDOW_ADD, to be closed by whoever took it; else -1 */
} Message;

/*
 * channel_receive() - one read of what the mediator sent
 *
 * Blocks while there is nothing. To be called only after channel_next()
 * said that no whole message is left, so that there is always room.
 *
 * Returns the number of bytes, 0 at the end of the stream (also when the
 * mediator is gone abruptly), -EPROTO for descriptors that belong to no message, or
 * another negative errno.
 */
int channel_receive(Channel *c);

/*
 * channel_next() - take the next whole message out of what was received
 * @ret: the message, one that a mediator sends, with a known priority; of the size
 *       that its type has, and with a descriptor for a WINDOW_ADD
 *
 * Returns 1 and a message, 0 when none is there yet, -EPROTO when what is there
 * can't be one.
 */
int channel_next(Channel *c, Message *ret);

/* channel_has_message() - would channel_next() return anything but 0? */
bool channel_has_message(const Channel *c);

/* channel_is_mid_message() - is a part of a message left over? */
bool channel_is_mid_message(const Channel *c);

/* channel_close_fds() - close the descriptors that were not taken */
void channel_close_fds(Channel *c);

/*
 * channel_reserve() - room for a message to be sent by the next flush
 * @type: EXECUTOR_MSG_*
 * @tag: the request's, or 0
 * @length: payload bytes, at most EXECUTOR_PAYLOAD_MAX
 * @ret_payload: where the caller writes them
 *
 * Flushes first when there is no room left.
 *
 * Returns 0 or negative errno, as channel_flush().
 */
int channel_reserve(Channel *c, uint32_t type, uint64_t tag, size_t length,
                    unsigned char **ret_payload);

/*
 * channel_flush() - send what was gathered, blocking
 *
 * Returns 0, -EPIPE when the mediator is gone, or another negative errno.
 */
int channel_flush(Channel *c);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two halves of a connection share: its socket, with all that goes in and out
 * (connection.c), and what the messages mean (connection-messages.c).
 */
#ifndef VGPU_CONNECTION_INTERNAL_H
#define VGPU_CONNECTION_INTERNAL_H

#include <sys/socket.h>

#include "buffer.h"
#include "connection.h"
#include "identity.h"
#include "log.h"
#include "passed-fds.h"
#include "request.h"

struct Connection {
    RequestSource source; /* of messages */
    TAILQ_ENTRY(Connection) link;
    Manager *manager;
    int fd;
    uint32_t watched; /* epoll events */
    struct ucred peer;
    VM *vm;               /* NULL until the first HELLO or REQUEST */
    IdentityCheck *check; /* a HELLO waits for this */
    uint8_t claimed[16];  /* the UUID in it */
    uint32_t hello_id;    /* its request_id */
    uint32_t features;    /* and what it offers */
    PassedFds fds;        /* came with a message that is not handled yet */
    Buffer out;
    size_t partial_size;
    char *partial; /* the beginning of a message, MESSAGE_MAX bytes of room; NULL when none */
};

/* What became of a message. Negative errnos are the mediator's own trouble. */
enum {
    MESSAGE_OK = 0,
    MESSAGE_CLOSE = 1, /* the peer is to go; the reason is logged */
    MESSAGE_WAIT = 2,  /* the next one is not to be looked at yet */
};

/* connection_log_context() - of its VM, or of the process before it has one */
LogContext connection_log_context(const Connection *c);

/* connection_violation() - log why the peer has to go; returns MESSAGE_CLOSE */
int connection_violation(const Connection *c, const char *reason);

/*
 * connection_send() - send a message
 * @payload: @size bytes, VGPU_PAYLOAD_MAX at most
 *
 * What the socket does not take waits. A peer that does not read is closed, from the event
 * loop and not in this call.
 */
void connection_send(Connection *c, uint32_t type, uint32_t request_id, const void *payload,
                     uint32_t size);

/* connection_go_on() - the message that waited is handled: look at what came behind it; may free
 * the connection */
void connection_go_on(Connection *c);

/*
 * connection_on_message() - do what a message asks for
 * @payload: h->payload_len bytes; the header has been checked
 *
 * Returns a MESSAGE_* or a negative errno.
 */
int connection_on_message(Connection *c, const VGPUSocketHeader *h, const char *payload);

#endif

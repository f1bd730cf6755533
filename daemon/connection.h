/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A socket with a peer, as a stream of messages: bytes and descriptors in, bytes out. What
 * the messages mean is its owner's affair. A peer that breaks the protocol loses this
 * connection, and nothing else happens.
 */
#ifndef VGPU_CONNECTION_H
#define VGPU_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "poll-set.h"
#include "vgpu-ring.h"

typedef struct Connection Connection;

/* What became of a message. Negative errnos are the mediator's own trouble. */
enum {
    MESSAGE_OK = 0,
    MESSAGE_CLOSE = 1, /* the peer is to go; the reason is logged */
    MESSAGE_WAIT = 2,  /* the next one is not to be looked at yet */
};

/* The owner of a connection. All of it is called from the event loop. */
typedef struct ConnectionHandler {
    /* A message, whose header passed vgpu_ring_header_check(). Returns a MESSAGE_* or a
     * negative errno. */
    int (*message)(void *userdata, const VGPUSocketHeader *h, const char *payload);
    /* The peer has to go: because it broke the protocol, as @reason says, or for a negative
     * errno of ours, and then @reason is NULL. To be logged. */
    void (*complain)(void *userdata, const char *reason, int error);
    /* It is over: the owner frees it. */
    void (*closed)(void *userdata);
} ConnectionHandler;

/* What all connections of a mediator share. */
typedef struct Connections {
    PollSet *poll_set;
    TAILQ_HEAD(, Connection) list;
    TAILQ_HEAD(, Connection) later; /* have messages left from their last turn */
    sd_event_source *turn;          /* theirs */
    unsigned n;
    bool reading_stopped;
} Connections;

/* connections_init() - returns 0 or a negative errno */
int connections_init(Connections *all, sd_event *event);

/* connections_clear() - there is no connection any more */
void connections_clear(Connections *all);

/* connections_stop_reading() - answers still go out; requests stay in the sockets */
void connections_stop_reading(Connections *all);

/*
 * connection_new() - take over an accepted socket
 * @fd: non-blocking; owned from here on, also on failure
 * @handler: outlives the connection
 *
 * Returns 0 or a negative errno.
 */
int connection_new(Connections *all, int fd, const ConnectionHandler *handler, void *userdata,
                   Connection **ret);

/* connection_free() - close it. NULL is fine */
Connection *connection_free(Connection *c);

/* connection_peer() - the process at the other end, by the kernel */
const struct ucred *connection_peer(const Connection *c);

/* connection_open_process() - a pidfd of that process, or -1. Before Linux 6.5, which tells, it is
 * of the process that has its number now. */
int connection_open_process(const Connection *c);

/*
 * connection_send() - send a message
 * @header: all but magic; payload_len is VGPU_PAYLOAD_MAX at most
 *
 * What the socket does not take waits. A peer that does not read is closed, from the event
 * loop and not in this call. On a connection that is to end nothing is sent any more.
 */
void connection_send(Connection *c, const VGPUSocketHeader *header, const void *payload);

/* connection_take_fds() - the descriptors that came with the message, if they are exactly @n */
bool connection_take_fds(Connection *c, int *ret, unsigned n);

/* connection_admit() - it is known who the peer is: it may leave more answers unread than a
 * stranger */
void connection_admit(Connection *c);

/* connection_go_on() - the message that waited is handled: look at what came behind it. May end
 * with closed() */
void connection_go_on(Connection *c);

#endif

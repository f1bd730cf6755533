/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readiness of all connections at once: one epoll of their own inside the event
 * loop. The loop dispatches one source in each round, with a system call or three;
 * with a thousand busy connections those rounds would cost more than the requests.
 * Here one round serves up to PEERS_BATCH connections.
 */
#ifndef VGPU_PEERS_H
#define VGPU_PEERS_H

#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Connection Connection;
typedef struct Peers Peers;

#define PEERS_BATCH 64

/*
 * peers_new() - an empty set, served by @event
 * @handler: called with the epoll events of a connection; may remove any connection
 *
 * Returns 0 or a negative errno.
 */
int peers_new(sd_event *event, void (*handler)(Connection *c, uint32_t events), Peers **ret);

/* peers_free() - every connection was removed before. NULL is fine */
Peers *peers_free(Peers *p);

/* peers_add() - wait for EPOLLIN on @fd. Returns 0 or a negative errno */
int peers_add(Peers *p, int fd, Connection *c);

/* peers_watch() - wait for these epoll events instead; hang-ups are always told */
void peers_watch(Peers *p, int fd, Connection *c, uint32_t events);

/* peers_remove() - from now on the handler is not called for it; before @fd is closed */
void peers_remove(Peers *p, int fd, Connection *c);

#endif

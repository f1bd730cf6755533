/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One peer on the socket: a device in a QEMU, or whatever else connected. What
 * it sends is checked here, and only here; a peer that breaks the protocol
 * loses this connection and nothing else happens.
 */
#ifndef VGPU_CONNECTION_H
#define VGPU_CONNECTION_H

#include <stdint.h>
#include <sys/queue.h>

#include "vm.h"

typedef TAILQ_HEAD(ConnectionList, Connection) ConnectionList;

/*
 * connection_new() - take over an accepted socket
 * @fd: non-blocking; owned from here on, also on failure
 *
 * The connection belongs to the manager and ends by itself. Returns 0 or a
 * negative errno.
 */
int connection_new(Manager *manager, int fd);

/* connection_on_ready() - handle epoll events of its socket; may free it */
void connection_on_ready(Connection *c, uint32_t events);

/* connection_free() - close it, drop what its VM has queued. NULL is fine */
Connection *connection_free(Connection *c);

/* connection_free_all() - every one of the manager's */
void connection_free_all(Manager *manager);

/* connection_stop_reading_all() - once the manager drains: answers still go out; requests stay in
 * the socket */
void connection_stop_reading_all(Manager *manager);

/* connection_forget_requests() - nobody waits any more for what its VM has running */
void connection_forget_requests(Connection *c);

/* connection_ring_ready() - send RING_READY; @error: VGPU_ERROR_* */
void connection_ring_ready(Connection *c, uint32_t request_id, uint32_t error);

/* connection_ring_stopped() - send RING_STOPPED */
void connection_ring_stopped(Connection *c, uint32_t request_id);

#endif

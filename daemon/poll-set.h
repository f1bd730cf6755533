/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readiness of all connections at once: one epoll of their own inside the event
 * loop. The loop dispatches one source in each round, with a system call or three;
 * with a thousand busy connections those rounds would cost more than the requests.
 * Here one round serves up to POLL_SET_BATCH connections.
 */
#ifndef VGPU_POLL_SET_H
#define VGPU_POLL_SET_H

#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct PollSet PollSet;

#define POLL_SET_BATCH 64

/*
 * poll_set_new() - an empty set, served by @event
 * @handler: called with the epoll events of a connection; may remove any connection
 *
 * Returns 0 or a negative errno.
 */
int poll_set_new(sd_event *event, void (*handler)(void *userdata, uint32_t events), PollSet **ret);

/* poll_set_free() - every connection was removed before. NULL is fine */
PollSet *poll_set_free(PollSet *p);

/* poll_set_add() - wait for EPOLLIN on @fd. Returns 0 or a negative errno */
int poll_set_add(PollSet *p, int fd, void *userdata);

/* poll_set_watch() - wait for these epoll events instead; hang-ups are always told */
void poll_set_watch(PollSet *p, int fd, void *userdata, uint32_t events);

/* poll_set_remove() - from now on the handler is not called for it; before @fd is closed */
void poll_set_remove(PollSet *p, int fd, void *userdata);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mediator that says anything at all, and never waits.
 *
 * What it can't do as things are (with nobody connected, or a peer that does not
 * read) it leaves.
 */
#ifndef VGPU_TEST_HOSTILE_MEDIATOR_H
#define VGPU_TEST_HOSTILE_MEDIATOR_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#include "fuzz-input.h"

typedef struct HostileMediator {
    int listener;   /* -1: nobody listens */
    int peer;       /* -1: not connected */
    int completion; /* the ring's eventfd, if one came, or -1 */
    struct sockaddr_un address;
} HostileMediator;

/* hostile_init() - listens on the socket in that directory */
void hostile_init(HostileMediator *m, const char *directory);

/* hostile_listen() - again; hostile_vanish() - no connection, no listener */
void hostile_listen(HostileMediator *m);
void hostile_vanish(HostileMediator *m);

/* hostile_accept() - takes a connection that is there; hostile_hang_up() - ends it */
void hostile_accept(HostileMediator *m);
void hostile_hang_up(HostileMediator *m);

/* hostile_send() - these bytes, or as many as go */
void hostile_send(HostileMediator *m, const void *bytes, size_t size);

/* hostile_send_ring() - a WELCOME that knows rings, or what one says about them */
void hostile_send_ring(HostileMediator *m, FuzzInput *in);

/* hostile_send_message() - any message, with a @good header or any */
void hostile_send_message(HostileMediator *m, FuzzInput *in, bool good);

/* hostile_respond() - of the form of a response, and right more often than not */
void hostile_respond(HostileMediator *m, FuzzInput *in);

/* hostile_read() - forgets some of what the device said, but for the ring's eventfd */
void hostile_read(HostileMediator *m);

/* hostile_receive() - the same as recv(); @flags as there */
ssize_t hostile_receive(HostileMediator *m, void *ret, size_t size, int flags);

/* hostile_signal() - the ring's eventfd */
void hostile_signal(HostileMediator *m);

#endif

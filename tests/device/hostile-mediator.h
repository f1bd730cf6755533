/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mediator that says anything at all, and never waits. Where it cannot do something,
 * because nobody is connected or the peer does not read, it does nothing.
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
    int completion; /* the eventfd of the last ring that came, or -1 */
    struct sockaddr_un address;
} HostileMediator;

/* hostile_init() - listens on the socket in that directory */
void hostile_init(HostileMediator *m, const char *directory);

/* hostile_listen() - listens again; hostile_vanish() - ends connection and listener */
void hostile_listen(HostileMediator *m);
void hostile_vanish(HostileMediator *m);

/* hostile_accept() - takes a connection that is there; hostile_hang_up() - ends it */
void hostile_accept(HostileMediator *m);
void hostile_hang_up(HostileMediator *m);

/* hostile_send() - sends as many of these bytes as the socket takes */
void hostile_send(HostileMediator *m, const void *bytes, size_t size);

/* hostile_send_ring() - sends a WELCOME that knows rings, or a message about one */
void hostile_send_ring(HostileMediator *m, FuzzInput *in);

/* hostile_send_session() - sends a WELCOME that knows sessions, or a message about one */
void hostile_send_session(HostileMediator *m, FuzzInput *in);

/* hostile_send_message() - sends any message, whose header is @good or any */
void hostile_send_message(HostileMediator *m, FuzzInput *in, bool good);

/* hostile_respond() - sends a response that is right more often than not */
void hostile_respond(HostileMediator *m, FuzzInput *in);

/* hostile_read() - reads some of what the device said, and keeps only the ring's eventfd */
void hostile_read(HostileMediator *m);

/* hostile_receive() - recv() that keeps the ring's eventfd */
ssize_t hostile_receive(HostileMediator *m, void *ret, size_t size, int flags);

/* hostile_signal() - signals the ring's eventfd */
void hostile_signal(HostileMediator *m);

#endif

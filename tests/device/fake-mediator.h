/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mediator that does what the test tells it to, right or wrong, step by step.
 *
 * Each step waits for the device for at most WIRE_TIMEOUT_MSEC and then fails the
 * test. One connection at a time.
 */
#ifndef VGPU_TEST_FAKE_MEDIATOR_H
#define VGPU_TEST_FAKE_MEDIATOR_H

#include <sys/types.h>

#include "vgpu-ring.h"
#include "wire.h"

typedef struct FakeMediator {
    char path[108];
    int listener;                 /* -1: nobody listens */
    int peer;                     /* the device's connection, or -1 */
    int fds[VGPU_RING_N_FDS + 1]; /* came with the last message */
    unsigned n_fds;               /* the test takes them, or fake-mediator.c closes them */
    struct FakeRing *ring;        /* the last one, or NULL; see fake-ring.h */
    pid_t obeyer;                 /* see fake_obey_meanwhile() */
} FakeMediator;

/* fake_listen() - appears, with a socket in that directory */
void fake_listen(FakeMediator *m, const char *directory);

/* fake_stop() - disappears: no connection, no listener, no socket */
void fake_stop(FakeMediator *m);

/* fake_accept() - takes the device's connection and its HELLO; drops an older connection */
void fake_accept(FakeMediator *m, WireMessage *ret_hello);

/* fake_accept_raw() - takes the connection and reads nothing */
void fake_accept_raw(FakeMediator *m);

/* fake_close_fds() - closes the descriptors of the last message */
void fake_close_fds(FakeMediator *m);

/* fake_hang_up() - drops the connection */
void fake_hang_up(FakeMediator *m);

/* fake_has_caller() - is a connection waiting to be taken? */
bool fake_has_caller(const FakeMediator *m);

/* fake_expect_no_caller() - the device must not connect by itself. It would do so in 10 ms */
void fake_expect_no_caller(const FakeMediator *m);

/* fake_expect() - the next message that is not a PING must be of this type */
void fake_expect(FakeMediator *m, uint32_t type, WireMessage *ret);

/* fake_expect_request() - the next message that is not a PING must be a request with this id */
void fake_expect_request(FakeMediator *m, uint32_t id, WireMessage *ret);

/* fake_expect_ping() - the next message of all must be a PING. Returns its id */
uint32_t fake_expect_ping(FakeMediator *m);

/* fake_expect_hang_up() - the device must close the connection, whatever it says before */
void fake_expect_hang_up(FakeMediator *m);

/* fake_expect_silence() - the device has said nothing that was not received */
void fake_expect_silence(FakeMediator *m);

/* fake_synchronize() - until the device has taken all that was sent, and has said nothing else */
void fake_synchronize(FakeMediator *m);

/* fake_stay_alive() - answers the device's PINGs, and nothing else, for so long */
void fake_stay_alive(FakeMediator *m, int msec);

/* fake_send() - sends a message with a good header */
void fake_send(FakeMediator *m, uint32_t type, uint32_t id, const void *payload, uint32_t size);

/* fake_send_bytes() - sends any bytes */
void fake_send_bytes(FakeMediator *m, const void *bytes, size_t size);

/*
 * fake_capacity() - how many messages without payload a socket takes that nobody reads from
 *
 * After this many PINGs and a few more, some of the device's answers wait in its own buffer.
 */
unsigned fake_capacity(void);

/* fake_welcome() - answers a HELLO */
void fake_welcome(FakeMediator *m);

/* fake_response() - a response with one result: fills @ret, returns its size */
uint32_t fake_response(uint32_t status, uint32_t result, char ret[static VGPU_RESPONSE_MAX]);

/* fake_respond() - sends such a response */
void fake_respond(FakeMediator *m, uint32_t id, uint32_t status, uint32_t result);

/* fake_serve_add() - takes the next request, which must have this id, and answers its sum */
void fake_serve_add(FakeMediator *m, uint32_t id);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mediator of the test at hand, and what a test expects of it over its socket. A failed
 * expectation fails the test. */
#ifndef VGPU_TEST_SERVICE_H
#define VGPU_TEST_SERVICE_H

#include "mediator.h"
#include "wire.h"

extern TestMediator mediator;

/* start_with() - in a set-up: run the mediator with this mediator.conf and without a bus */
int start_with(const char *config);

/* start_configured() - a set-up: the same, with the mediator.conf that is the test's initial
 * state */
int start_configured(void **state);

/* write_config() - replace mediator.conf; the mediator reads it when it is told to */
void write_config(const char *text);

/* stop() - a teardown: end the mediator, which must exit cleanly */
int stop(void **state);

/* WITH_MEDIATOR() - a test that has a mediator of its own, with this mediator.conf */
#define WITH_MEDIATOR(config, test)                            \
    {                                                          \
#test, test, start_configured, stop, (void *) (config) \
    }

/* dial() - connect to the mediator */
int dial(void);

/* expect_response() - the next message is the response to request @id, with @error */
WireMessage expect_response(int fd, uint32_t id, uint32_t error);

/* expect_sum() - the next message is the response to request @id, with this sum */
void expect_sum(int fd, uint32_t id, uint32_t sum);

/* expect_add() - request the sum of @a and @b, and expect it */
void expect_add(int fd, uint32_t vm_id, uint32_t id, uint8_t priority, uint32_t a, uint32_t b);

/* expect_pong() - send a PING and take the answer: the mediator has handled all that went before */
void expect_pong(int fd);

/* expect_closed() - the mediator hangs up. Closes @fd, too. */
void expect_closed(int fd);

/* expect_add_works() - a new peer is served */
void expect_add_works(void);

/* hold_executor() - wait until there is an executor, and stop it. SIGCONT lets it go on. */
pid_t hold_executor(void);

#endif

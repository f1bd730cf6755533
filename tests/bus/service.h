/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the service over its socket share: the mediator of the test
 * at hand, and what one expects of it. A failed expectation fails the test. */
#ifndef VGPU_TEST_SERVICE_H
#define VGPU_TEST_SERVICE_H

#include "mediator.h"
#include "wire.h"

extern TestMediator mediator;

/* start_with() - for a setup: run it with this mediator.conf and no bus */
int start_with(const char *config);

/* start_configured() - a setup: the same with the text that is the test's initial state */
int start_configured(void **state);

/* write_config() - its mediator.conf is this from now on; it reads it when it is told to */
void write_config(const char *text);

/* stop() - for a teardown: it must end cleanly */
int stop(void **state);

/* WITH_MEDIATOR() - a test with a mediator of its own, which has this mediator.conf */
#define WITH_MEDIATOR(config, test)                            \
    {                                                          \
#test, test, start_configured, stop, (void *) (config) \
    }

/* dial() - a connection to it */
int dial(void);

/* expect_response() - the next message is a response to @id with @error */
WireMessage expect_response(int fd, uint32_t id, uint32_t error);

/* expect_sum() - the next message is the scalar sum asked for with @id */
void expect_sum(int fd, uint32_t id, uint32_t sum);

/* expect_add() - the same, after asking for the sum of @a and @b */
void expect_add(int fd, uint32_t vm_id, uint32_t id, uint8_t priority, uint32_t a, uint32_t b);

/* expect_pong() - send a PING and take its answer: all that went before is handled */
void expect_pong(int fd);

/* expect_closed() - the mediator hangs up; closes @fd too */
void expect_closed(int fd);

/* expect_add_works() - a stranger is served */
void expect_add_works(void);

/* hold_executor() - stop the executor, once it is there; SIGCONT lets it go on */
pid_t hold_executor(void);

#endif

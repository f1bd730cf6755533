/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mediator's part in what sessions of one VM share: a thread that hears what the executors of
 * some guests say, and answers with the mediator's own table.
 */
#ifndef VGPU_TEST_SESSION_MEDIATOR_H
#define VGPU_TEST_SESSION_MEDIATOR_H

#include <pthread.h>

#include "session-guest.h"
#include "session-shares.h"

#define TEST_MEDIATOR_GUESTS 4u

typedef struct TestMediator {
    pthread_t thread;
    int socket[TEST_MEDIATOR_GUESTS]; /* copies */
    unsigned n;
    int stop[2];          /* a pipe */
    bool is_slow;         /* atomic: it answers nothing */
    unsigned n_questions; /* atomic */
    SessionShares shares;
} TestMediator;

/* test_mediator_start() - for @n guests that have been started */
void test_mediator_start(TestMediator *m, SessionGuest *const guests[], unsigned n);

/* test_mediator_forget() - a guest's session is over */
void test_mediator_forget(TestMediator *m, unsigned guest);

void test_mediator_stop(TestMediator *m);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stand-in for polkit: a process on the private bus that answers what the test has told it
 * to, and when the test lets it, and reports what it was asked. */
#ifndef VGPU_TEST_FAKE_POLKIT_H
#define VGPU_TEST_FAKE_POLKIT_H

#include <stdbool.h>
#include <sys/types.h>

typedef enum FakePolkitVerdict {
    FAKE_POLKIT_NO,
    FAKE_POLKIT_YES,
    /* yes where the call allows interaction, else a challenge */
    FAKE_POLKIT_CHALLENGE,
} FakePolkitVerdict;

typedef struct FakePolkit {
    pid_t pid;
    int control;
    int calls;
} FakePolkit;

/* A question to polkit */
typedef struct FakePolkitCall {
    char action[64];
    char vm[256];    /* from the details; empty: not among them */
    char method[64]; /* from the details */
    uid_t uid;       /* of the subject, asked of the bus */
    bool interactive;
} FakePolkitCall;

/*
 * fake_polkit_start() - run it on the bus of DBUS_SYSTEM_BUS_ADDRESS
 *
 * On return it owns org.freedesktop.PolicyKit1. Until told otherwise it says no.
 * Returns 0 or a negative errno.
 */
int fake_polkit_start(FakePolkit *p);

/*
 * fake_polkit_set() - from now on, say @verdict
 * @action: an action's name, or NULL for every action
 * @uid: whose question, or (uid_t) -1 for everybody's
 *
 * A later rule goes before an earlier one. Returns 0 or a negative errno.
 */
int fake_polkit_set(FakePolkit *p, const char *action, uid_t uid, FakePolkitVerdict verdict);

/*
 * fake_polkit_hold() - keep the answers back, as somebody who is slow to type
 * fake_polkit_release() - give those kept back, and the next ones at once again
 */
int fake_polkit_hold(FakePolkit *p);
int fake_polkit_release(FakePolkit *p);

/*
 * fake_polkit_next_call() - wait for the next question, in the order they came
 *
 * A question can be read before it is answered, when the answers are held.
 * Returns 0, or -ETIMEDOUT when none comes for a long time.
 */
int fake_polkit_next_call(FakePolkit *p, FakePolkitCall *ret);

/* fake_polkit_any_call() - is there a question that was not read yet? Does not wait */
bool fake_polkit_any_call(const FakePolkit *p);

/* fake_polkit_stop() - end it; its name is free on return */
void fake_polkit_stop(FakePolkit *p);

#endif

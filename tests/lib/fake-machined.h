/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stand-in for systemd-machined: a process on the private bus that knows one machine and
 * answers what the mediator asks. */
#ifndef VGPU_TEST_FAKE_MACHINED_H
#define VGPU_TEST_FAKE_MACHINED_H

#include <stdint.h>
#include <sys/types.h>

typedef struct FakeMachined {
    pid_t pid;
} FakeMachined;

/* fake_machined_start() - process @leader is in the machine with this UUID; 0: there is none.
 * Returns when the name is owned. */
void fake_machined_start(FakeMachined *m, pid_t leader, const uint8_t uuid[16]);

/* fake_machined_start_failing() - every question ends with this error of D-Bus */
void fake_machined_start_failing(FakeMachined *m, const char *error);

/* fake_machined_stop() */
void fake_machined_stop(FakeMachined *m);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A system bus of the test's own, with the project's policy and no other. */
#ifndef VGPU_TEST_PRIVATE_BUS_H
#define VGPU_TEST_PRIVATE_BUS_H

#include <sys/types.h>

typedef struct TestBus {
    char directory[64]; /* a test may put files of services there, and must remove them */
    char config[96];
    char socket[96];
    pid_t pid;
} TestBus;

/*
 * test_bus_start() - run dbus-daemon, and point DBUS_SYSTEM_BUS_ADDRESS at it
 *
 * The policy is the file that the environment names in VGPU_BUS_POLICY. Returns
 * 0 or a negative errno.
 */
int test_bus_start(TestBus *b);

/* test_bus_kill() - end dbus-daemon; test_bus_run() starts it again on the same address */
void test_bus_kill(TestBus *b);
int test_bus_run(TestBus *b);

/* test_bus_stop() - end it and remove its directory */
void test_bus_stop(TestBus *b);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A QEMU with one vgpu-stub in it, and a mediator beside it: what most cases need. */
#ifndef VGPU_TEST_TESTBED_H
#define VGPU_TEST_TESTBED_H

#include "fake-mediator.h"
#include "stub-device.h"
#include "test.h"

typedef struct Testbed {
    QTest *qtest;
    Device device;
    FakeMediator mediator; /* listens from the start */
} Testbed;

/*
 * testbed_open() - a q35 machine, the device on its root bus
 * @options: more properties of the device, as ",NAME=VALUE...", or ""
 *
 * The device has the id "gpu".
 */
void testbed_open(Testbed *t, const char *options);

/* testbed_open_port() - the same, but with the device behind a root port in slot 4 */
void testbed_open_port(Testbed *t, const char *options);

/* testbed_open_args() - any machine; @bus is where the device will be found */
void testbed_open_args(Testbed *t, uint8_t bus, const char *const *args);

/* testbed_close() - ends both */
void testbed_close(Testbed *t);

/* For cmocka: each case in a testbed of its own, as testbed_open() makes it */
int testbed_setup(void **state);
int testbed_setup_impatient(void **state); /* with a reconnect-timeout of 1 s */
int testbed_teardown(void **state);

/* The ways to reset the device: the whole machine; by its capability; with its bus, which is that
 * of testbed_open_port() */
void testbed_system_reset(Testbed *t);
void testbed_function_level_reset(Testbed *t);
void testbed_hot_reset(Testbed *t);

/* now_ms() - of the monotonic clock */
int64_t now_ms(void);

#endif

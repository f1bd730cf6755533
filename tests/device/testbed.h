/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A QEMU with one vgpu-stub in it, and a fake mediator beside it. */
#ifndef VGPU_TEST_TESTBED_H
#define VGPU_TEST_TESTBED_H

#include "clock.h"
#include "fake-ring.h"
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

/* testbed_close() - ends both, and gives back the mediator's rings */
void testbed_close(Testbed *t);

/* testbed_open_pc() - an i440FX machine, whose guests can eject what is hotpluggable */
void testbed_open_pc(Testbed *t);

/*
 * TESTBED() - a line of cmocka's table: a test that has a testbed of its own
 * @options: as for testbed_open()
 *
 * TESTBED_PORT() has the device behind a root port, TESTBED_PC() an i440FX machine.
 */
#define TESTBED(test, options) \
    cmocka_unit_test_prestate_setup_teardown(test, testbed_setup, testbed_teardown, options)
#define TESTBED_PORT(test) \
    cmocka_unit_test_setup_teardown(test, testbed_setup_port, testbed_teardown)
#define TESTBED_PC(test) cmocka_unit_test_setup_teardown(test, testbed_setup_pc, testbed_teardown)

int testbed_setup(void **state); /* *state: the options; NULL: none */
int testbed_setup_port(void **state);
int testbed_setup_pc(void **state);
int testbed_teardown(void **state);

/* Properties: the device waits for its mediator for a second, or not at all */
#define IMPATIENT ",reconnect-timeout=1"
#define NO_PATIENCE ",reconnect-timeout=0"

/* testbed_listen() - the mediator appears again, after fake_stop() */
void testbed_listen(Testbed *t);

/* testbed_submit_and_take() - the sum of 100 and 200 gets to the mediator */
void testbed_submit_and_take(Testbed *t, uint32_t id);

/* testbed_serve_add() - the mediator takes and answers a sum; the guest sees that it is done */
void testbed_serve_add(Testbed *t, uint32_t id);

/* The ways to reset the device: the whole machine; by its capability; with its bus, which is that
 * of testbed_open_port() */
void testbed_system_reset(Testbed *t);
void testbed_function_level_reset(Testbed *t);
void testbed_hot_reset(Testbed *t);

/* now_ms() - the time of the monotonic clock */
static inline int64_t now_ms(void)
{
    return (int64_t) (now_usec() / 1000);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A QEMU with one vgpu-stub in it, and a mediator beside it: what most cases need. */
#ifndef VGPU_TEST_WORLD_H
#define VGPU_TEST_WORLD_H

#include "device.h"
#include "fake-mediator.h"
#include "test.h"

typedef struct World {
    QTest *qtest;
    Device device;
    FakeMediator mediator; /* listens from the start */
} World;

/*
 * world_open() - a q35 machine, the device on its root bus
 * @options: more properties of the device, as ",NAME=VALUE...", or ""
 *
 * The device has the id "gpu".
 */
void world_open(World *w, const char *options);

/* world_open_port() - the same, but with the device behind a root port in slot 4 */
void world_open_port(World *w, const char *options);

/* world_open_args() - any machine; @bus is where the device will be found */
void world_open_args(World *w, uint8_t bus, const char *const *args);

/* world_close() - ends both */
void world_close(World *w);

/* For cmocka: each case in a world of its own, as world_open() makes it */
int world_setup(void **state);
int world_setup_impatient(void **state); /* with a reconnect-timeout of 1 s */
int world_teardown(void **state);

/* The ways to reset the device: the whole machine; by its capability; with its bus, which is that
 * of world_open_port() */
void world_system_reset(World *w);
void world_function_level_reset(World *w);
void world_hot_reset(World *w);

/* now_ms() - of the monotonic clock */
int64_t now_ms(void);

#endif

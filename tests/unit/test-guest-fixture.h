/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What most tests of libvgpu start with: a handle of a device that is a model. */
#ifndef TEST_GUEST_FIXTURE_H
#define TEST_GUEST_FIXTURE_H

#include "test-guest-model.h"
#include "test-guest-sysfs.h"
#include "vgpu.h"

/* Long enough never to end in a test that passes. */
#define LONG_MS 60000

typedef struct fixture {
    fake_sysfs sysfs;
    model model;
    vgpu_device *dev;
} fixture;

/* For cmocka; the state is a fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* The same of a device with a window of this size. */
int fixture_setup_ring(void **state, uint64_t window_size);

/* vgpu_add() of 40 and 2. Fails the test if that gives anything but 42, or a sum with an error. */
int fixture_add(fixture *f, int timeout_ms);

/* vgpu_ring_open() that must work. */
vgpu_ring *fixture_open_ring(fixture *f, uint32_t entries);

/* What vgpu_ring_open() returns; the ring is closed again. */
int fixture_try_ring(fixture *f, uint32_t entries, int timeout_ms);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device in virtual time behind a scheduler: it has as many places as the scheduler lets run at
 * once, and each job takes as long as the test says. Also the random numbers of a case, with the
 * seed that a failure reports.
 */
#ifndef VGPU_TEST_SCHEDULER_DEVICE_H
#define VGPU_TEST_SCHEDULER_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler.h"

#define DEVICE_PLACES_MAX 64

typedef struct Job {
    SchedRequest sched; /* first */
    uint64_t usec;      /* how long it runs */
    uint64_t ends_usec;
    unsigned client; /* the test's number for it */
} Job;

typedef struct Device {
    Scheduler scheduler;
    uint64_t next_arrival;
    uint64_t now_usec;
    Job *place[DEVICE_PLACES_MAX];
} Device;

/* device_init() - an empty device with @places; any number of requests may wait */
void device_init(Device *d, unsigned places);

/* device_push() - queue @j, which will run for @usec */
void device_push(Device *d, SchedClient *c, Job *j, unsigned priority, uint64_t usec);

/* device_pick() - begin a job and return it; NULL where no place is free or none waits */
Job *device_pick(Device *d);

/* device_wait() - let time go on until a job ends, and return it; NULL where none runs */
Job *device_wait(Device *d);

/* random_seed() - begin a case; random_below() - the next number, 0..@n - 1 */
void random_seed(uint32_t seed);
uint32_t random_below(uint32_t n);

/* require() - assert_true() that reports the seed */
#define require(condition) require_((condition), #condition, __FILE__, __LINE__)
void require_(bool condition, const char *text, const char *file, int line);

#endif

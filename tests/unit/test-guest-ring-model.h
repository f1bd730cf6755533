/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The window, the ring, and the mediator behind them, of the model of a device.
 *
 * Takes the place of libvgpu's shared.c, so a test can act as the mediator between any two accesses
 * to the ring. The window is a memfd, which both sides map.
 */
#ifndef TEST_GUEST_RING_MODEL_H
#define TEST_GUEST_RING_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring-host.h"
#include "vgpu-builtin.h"

typedef struct model model;
typedef struct fake_sysfs fake_sysfs;

typedef struct ring_model {
    /* Does the mediator wait for the test to act? Otherwise it does everything at once when the
     * doorbell rings. */
    bool manual;
    /* Does the mediator complete requests in the opposite order? */
    bool backwards;
    /* How many reads of RING_CTRL find it STARTING, and STOPPING; UINT32_MAX: all. */
    uint32_t start_delay, stop_delay;
    /* With which error turning the ring on ends, if not 0. */
    uint32_t start_error;
    /* Called before each access of the library to the ring. */
    void (*between)(model *m);
    /* Called before RING_CTRL is read. */
    void (*before_check)(model *m);
    /* May change what the mediator is about to write. */
    void (*lie)(model *m, VGPUCompletion *completion);

    uint64_t doorbells, interrupts, accesses;
    uint64_t violations; /* of the rules, by the guest: each ends the ring */

    /* Only the model itself uses these. */
    uint64_t size; /* of the window; 0: there is no extension block */
    int fd;
    uint8_t *window;
    uint32_t features, delay;
    RingHost host; /* the mediator's own end of the ring */
    bool asleep, acting;
    RingEntry pending[VGPU_RING_ENTRIES_MAX]; /* taken, and not complete */
    size_t n_pending;
} ring_model;

/* Give the model an extension block and a window of @size bytes, with a resource2 in @sysfs. */
void ring_model_add(model *m, fake_sysfs *sysfs, uint64_t size);
void ring_model_remove(model *m);

/* Registers of the extension block. */
void ring_model_reset(model *m);
uint32_t ring_model_read(model *m, uint32_t offset);
void ring_model_write(model *m, uint32_t offset, uint32_t value);

/* ---- What a mediator does, in steps ---------------------------------------------- */

VGPURingHeader *ring_model_header(const model *m);
VGPUSubmission *ring_model_submission(const model *m, uint32_t index);
VGPUCompletion *ring_model_completion(const model *m, uint32_t index);

/* Take what is new, or end the ring if the guest breaks its rules. Returns how many were taken. */
size_t ring_model_take(model *m);

/* Write the completion of the @nth of what was taken, and move the indices. */
void ring_model_finish(model *m, size_t nth);

/* Look at cq_event, and interrupt if it was passed since the last look. */
void ring_model_notify(model *m);

/* Do both: write the completion, and look at cq_event. */
void ring_model_complete(model *m, size_t nth);

/* Before the mediator sleeps: write sq_event; then look once more, and sleep if nothing is new. */
void ring_model_write_event(model *m);
void ring_model_fall_asleep(model *m);

/* Do everything there is to do, and sleep. */
void ring_model_run(model *m);

/* End the ring, as a host does that finds something wrong. */
void ring_model_fail(model *m, uint32_t error);

/* Interrupt without a completion. */
void ring_model_interrupt(model *m);

#endif

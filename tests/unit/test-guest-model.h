/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vgpu-stub device and its host, at the level of single register accesses.
 *
 * Takes the place of libvgpu's mmio.c: what the library reads and writes comes here, so a test
 * decides what happens between two accesses, and nothing depends on time.
 */
#ifndef TEST_GUEST_MODEL_H
#define TEST_GUEST_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "test-guest-ring-model.h"
#include "vgpu.h"

struct model {
    uint32_t bar[VGPU_BAR0_SIZE / sizeof(uint32_t)];

    /* How many accesses after the doorbell the request stays BUSY; MODEL_STUCK: until
     * model_complete(). */
    uint32_t delay;

    /* Called when a request is complete, to make the host's answer differ from an honest one. */
    void (*lie)(model *m);

    /* Called after each access. */
    void (*after)(model *m, bool is_write, uint32_t offset);

    /* Called for each write before it takes effect. May change the value. Returns false to drop the
     * write. */
    bool (*filter)(model *m, uint32_t offset, uint32_t *value);

    /* MSI-X: called in place of asserting the line. */
    void (*message)(model *m, unsigned int vector);

    uint64_t reads, writes, doorbells, status_busy_reads;
    uint32_t number; /* for the hooks to use */

    /* The extension block; none unless ring_model_add() was called. */
    ring_model ring;

    /* Interrupts: the FIFO behind /dev/uio0 and the configuration space, or -1. */
    int uio_fd, config_fd;

    /* Only the model itself uses these. */
    uint32_t remaining;
    uint64_t clock;
};

#define MODEL_STUCK UINT32_MAX

/* Bring a model to its power-on state and make it the one that the library reaches. */
void model_start(model *m);

/* The one that the library reaches. */
model *model_current(void);

/* What the kernel does when the device may have asserted its interrupt. */
void model_update_line(model *m);

/* Something has happened that interrupts: a message, of this vector, or the line. */
void model_interrupt(model *m, unsigned int vector);

/* What the host does when its delay is over. */
void model_complete(model *m);

/* A function level reset. */
void model_reset(model *m);

/* End the request with this code, without an answer. */
void model_end_with_error(model *m, uint32_t code);

uint32_t model_get(const model *m, uint32_t offset);
void model_set(model *m, uint32_t offset, uint32_t value);
VGPURequest *model_request(model *m);
VGPUResponse *model_response(model *m);

#endif

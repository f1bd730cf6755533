/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-ring-model.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared.h"
#include "test-guest-compute.h"
#include "test-guest-model.h"
#include "test-guest-sysfs.h"

/* ---- Registers --------------------------------------------------------------- */

void ring_model_add(model *m, fake_sysfs *sysfs, uint64_t size)
{
    ring_model *r = &m->ring;
    char target[64];

    r->fd = memfd_create("window", MFD_CLOEXEC);
    assert_return_code(r->fd, 0);
    assert_return_code(ftruncate(r->fd, (off_t) size), 0);
    r->window = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
    assert_true(r->window != MAP_FAILED);
    r->size = size;
    r->features = VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING | VGPU_EXT_FEATURE_MSIX;
    snprintf(target, sizeof(target), "/proc/self/fd/%d", r->fd);
    assert_return_code(symlink(target, fake_sysfs_path(sysfs, FAKE_ADDRESS, "resource2")), 0);
    ring_model_reset(m);
}

void ring_model_remove(model *m)
{
    if (m->ring.size == 0)
        return;

    munmap(m->ring.window, m->ring.size);
    close(m->ring.fd);
    m->ring.size = 0;
}

void ring_model_reset(model *m)
{
    const ring_model *r = &m->ring;

    if (r->size == 0)
        return;

    memset(&m->bar[VGPU_REG_EXTENSION / 4], 0, VGPU_BAR0_SIZE - VGPU_REG_EXTENSION);
    model_set(m, VGPU_REG_EXT_MAGIC, VGPU_EXT_MAGIC);
    model_set(m, VGPU_REG_EXT_VERSION, VGPU_EXT_VERSION);
    model_set(m, VGPU_REG_EXT_FEATURES, r->features);
    model_set(m, VGPU_REG_WINDOW_SIZE_LO, (uint32_t) r->size);
    model_set(m, VGPU_REG_WINDOW_SIZE_HI, (uint32_t) (r->size >> 32));
}

static uint32_t entries_of(const model *m)
{
    return model_get(m, VGPU_REG_RING_ENTRIES);
}

static uint64_t offset_of(const model *m)
{
    return (uint64_t) model_get(m, VGPU_REG_RING_OFFSET_HI) << 32 |
           model_get(m, VGPU_REG_RING_OFFSET_LO);
}

static void begin(model *m)
{
    ring_model *r = &m->ring;

    assert_int_equal(ring_host_open(&r->host, ring_model_header(m), entries_of(m), r->size),
                     RING_NOTHING);
    r->n_pending = 0;
    r->asleep = true;
    model_set(m, VGPU_REG_RING_CTRL, VGPU_RING_ON);
}

uint32_t ring_model_read(model *m, uint32_t offset)
{
    ring_model *r = &m->ring;

    if (offset == VGPU_REG_RING_CTRL && r->size > 0) {
        uint32_t state;

        if (r->before_check)
            r->before_check(m);
        state = model_get(m, offset);

        if (state != VGPU_RING_STARTING && state != VGPU_RING_STOPPING)
            return state;
        if (r->delay > 0) {
            r->delay -= r->delay != UINT32_MAX;
            return state;
        }
        if (state == VGPU_RING_STOPPING)
            model_set(m, offset, VGPU_RING_OFF);
        else if (r->start_error != 0)
            ring_model_fail(m, r->start_error);
        else
            begin(m);
    }
    return model_get(m, offset);
}

static void control(model *m, uint32_t value)
{
    ring_model *r = &m->ring;
    uint32_t state = model_get(m, VGPU_REG_RING_CTRL);

    if (value == 1 && (state == VGPU_RING_OFF || state == VGPU_RING_FAILED)) {
        assert_true(vgpu_ring_is_valid(r->size, offset_of(m), entries_of(m)));
        r->delay = r->start_delay;
        model_set(m, VGPU_REG_RING_CTRL, VGPU_RING_STARTING);
    } else if (value == 0 && state != VGPU_RING_OFF) {
        r->delay = r->stop_delay;
        r->n_pending = 0;
        model_set(m, VGPU_REG_RING_CTRL, VGPU_RING_STOPPING);
    }
}

void ring_model_write(model *m, uint32_t offset, uint32_t value)
{
    ring_model *r = &m->ring;

    if (r->size == 0)
        return;

    switch (offset) {
    case VGPU_REG_RING_CTRL:
        control(m, value);
        break;
    case VGPU_REG_RING_OFFSET_LO:
    case VGPU_REG_RING_OFFSET_HI:
    case VGPU_REG_RING_ENTRIES:
        if (model_get(m, VGPU_REG_RING_CTRL) != VGPU_RING_ON)
            model_set(m, offset, value);
        break;
    case VGPU_REG_RING_IRQ_CTRL:
        model_set(m, offset, value & VGPU_IRQ_COMPLETION);
        break;
    case VGPU_REG_RING_IRQ_STATUS:
        model_set(m, offset, model_get(m, offset) & ~value);
        break;
    case VGPU_REG_RING_DOORBELL:
        r->doorbells++;
        r->asleep = false;
        if (!r->manual && model_get(m, VGPU_REG_RING_CTRL) == VGPU_RING_ON)
            ring_model_run(m);
    }
}

/* ---- The mediator ---------------------------------------------------------------- */

VGPURingHeader *ring_model_header(const model *m)
{
    return (VGPURingHeader *) (m->ring.window + offset_of(m));
}

VGPUSubmission *ring_model_submission(const model *m, uint32_t index)
{
    return (VGPUSubmission *) (ring_model_header(m) + 1) + (index & (entries_of(m) - 1));
}

VGPUCompletion *ring_model_completion(const model *m, uint32_t index)
{
    return (VGPUCompletion *) ((VGPUSubmission *) (ring_model_header(m) + 1) + entries_of(m)) +
           (index & (entries_of(m) - 1));
}

size_t ring_model_take(model *m)
{
    ring_model *r = &m->ring;
    size_t before = r->n_pending;
    int outcome;

    while ((outcome = ring_host_take(&r->host, &r->pending[r->n_pending])) == RING_ENTRY) {
        const VGPUSubmission *s = &r->pending[r->n_pending++].submission;

        assert_int_equal(s->state, VGPU_ENTRY_NEW);
        assert_int_equal(s->status, 0);
        ring_host_start(&r->host, r->host.sq_next - 1);
    }
    assert_int_not_equal(outcome, RING_FULL); /* the guest keeps room for what it submits */
    if (outcome == RING_BROKEN) {
        r->violations++;
        r->n_pending = before = 0;
        ring_model_fail(m, VGPU_ERROR_INVALID_REQUEST);
    }
    return r->n_pending - before;
}

static void remove_pending(ring_model *r, size_t nth)
{
    r->n_pending--;
    memmove(&r->pending[nth], &r->pending[nth + 1], (r->n_pending - nth) * sizeof(r->pending[0]));
}

void ring_model_finish(model *m, size_t nth)
{
    ring_model *r = &m->ring;
    const RingEntry entry = r->pending[nth];
    VGPUCompletion c = {.tag = entry.submission.tag, .status = entry.error, .exec_time_us = 7};

    if (entry.error == VGPU_ERROR_NONE)
        c.result = compute(&entry.submission, r->window);
    if (r->lie)
        r->lie(m, &c);

    remove_pending(r, nth);
    ring_host_complete(&r->host, entry.index, c.tag,
                       &(RingResult){
                           .value = c.result,
                           .status = c.status,
                           .exec_time_us = c.exec_time_us,
                           .cuda_result = c.cuda_result,
                       });
}

void ring_model_interrupt(model *m)
{
    m->ring.interrupts++;
    model_set(m, VGPU_REG_RING_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    model_interrupt(m, 1);
}

void ring_model_notify(model *m)
{
    if (ring_host_must_signal(&m->ring.host))
        ring_model_interrupt(m);
}

void ring_model_complete(model *m, size_t nth)
{
    ring_model_finish(m, nth);
    ring_model_notify(m);
}

void ring_model_write_event(model *m)
{
    __atomic_store_n(&ring_model_header(m)->sq_event, m->ring.host.sq_next, __ATOMIC_SEQ_CST);
}

void ring_model_fall_asleep(model *m)
{
    m->ring.asleep = ring_host_look(&m->ring.host) == RING_NOTHING;
}

void ring_model_run(model *m)
{
    ring_model *r = &m->ring;

    do {
        ring_model_take(m);
        if (model_get(m, VGPU_REG_RING_CTRL) != VGPU_RING_ON)
            break;
        while (r->n_pending > 0)
            ring_model_complete(m, r->backwards ? r->n_pending - 1 : 0);
        ring_model_write_event(m);
        ring_model_fall_asleep(m);
    } while (!r->asleep);
}

void ring_model_fail(model *m, uint32_t error)
{
    model_set(m, VGPU_REG_RING_ERROR, error);
    model_set(m, VGPU_REG_RING_CTRL, VGPU_RING_FAILED);
    ring_model_interrupt(m);
}

/* ---- In place of shared.c --------------------------------------------------------- */

static void access_ring(void)
{
    model *m = model_current();
    ring_model *r = &m->ring;

    r->accesses++;
    if (!r->between || r->acting)
        return;

    r->acting = true;
    r->between(m);
    r->acting = false;
}

uint32_t shared_load(const uint32_t *index)
{
    access_ring();
    return *index;
}

void shared_store(uint32_t *index, uint32_t value)
{
    access_ring();
    *index = value;
}

void shared_barrier(void)
{
    access_ring();
}

void shared_copy_in(void *ret, const void *from_shared, size_t size)
{
    access_ring();
    memcpy(ret, from_shared, size);
}

void shared_copy_out(void *to_shared, const void *from, size_t size)
{
    access_ring();
    memcpy(to_shared, from, size);
}

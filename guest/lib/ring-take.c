/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking completions from the ring. ring.h explains the order of things. */
#include <assert.h>
#include <errno.h>
#include <limits.h>

#include "ring.h"
#include "shared.h"

/* The time between two looks at RING_CTRL. They are so rare that they cost nothing. */
#define CHECK_INTERVAL_NS 250000000u

/* Hand a completion to the thread that waits for it, or will. */
static void slot_hand_over(vgpu_ring *ring, slot *s)
{
    ring_request *request = s->request;
    ring_sleeper *sleeper = request->sleeper;

    assert(request->slot == s);
    request->completion = s->completion;
    request->slot = NULL;
    slot_release(ring, s);
    if (sleeper)
        ring_wake(ring, sleeper);
}

static void slot_end(vgpu_ring *ring, slot *s)
{
    assert(s->state == SLOT_OUTSTANDING && ring->outstanding > 0);
    ring->outstanding--;
    if (s->request) {
        slot_hand_over(ring, s);
        return;
    }

    s->state = SLOT_ENDED;
    slot_queue_push(s->callback ? &ring->to_call : &ring->to_take, s);
    ring->n_to_call += s->callback != NULL;
    ring_wake_any(ring);
}

void ring_fail(vgpu_ring *ring, int result)
{
    if (ring->failure != 0)
        return;

    ring->failure = result;
    for (uint32_t i = 0; i < ring->entries && ring->outstanding > 0; i++)
        if (ring->slots[i].state == SLOT_OUTSTANDING) {
            ring->slots[i].completion.result = result;
            slot_end(ring, &ring->slots[i]);
        }

    /* The host has broken the rules: tell it to stop. */
    if (result == -EPROTO)
        device_write(ring->dev, VGPU_REG_RING_CTRL, 0);
}

/* Returns the slot that the tag of a completion means, or NULL. */
static slot *ring_find_slot(vgpu_ring *ring, uint64_t tag)
{
    uint32_t number = tag & UINT16_MAX;
    slot *s;

    if (number >= ring->entries)
        return NULL;
    s = &ring->slots[number];
    return s->state == SLOT_OUTSTANDING && s->completion.id == tag ? s : NULL;
}

static bool ring_take_entry(vgpu_ring *ring, uint32_t index)
{
    VGPUCompletion entry;
    slot *s;

    shared_copy_in(&entry, &ring->completions[index & (ring->entries - 1)], sizeof(entry));
    s = ring_find_slot(ring, entry.tag);
    if (!s)
        return false;

    s->completion.result = entry.status > INT_MAX ? -EPROTO : (int) entry.status;
    s->completion.exec_time_us = entry.exec_time_us;
    s->completion.cuda_result = entry.cuda_result;
    s->completion.value.bits = entry.result;
    ring->counters.completed++;
    slot_end(ring, s);
    return true;
}

/* Where there is no device, the registers of a real machine read as ones, and those of QEMU as
 * zeros. */
static bool device_is_gone(vgpu_device *dev)
{
    return device_read(dev, VGPU_REG_EXT_MAGIC) != VGPU_EXT_MAGIC;
}

/* The content of the window makes no sense: the device is gone, or the host is wrong. */
static void ring_fail_senseless(vgpu_ring *ring)
{
    ring_fail(ring, device_is_gone(ring->dev) ? -ENODEV : -EPROTO);
}

uint32_t ring_harvest(vgpu_ring *ring)
{
    uint32_t before = ring->outstanding, n;

    if (ring->failure != 0)
        return 0;

    n = shared_load(&ring->header->cq_tail) - ring->cq_head;
    if (n == 0)
        return 0;
    if (n > ring->entries) {
        ring_fail_senseless(ring);
        return before;
    }

    shared_barrier();
    for (uint32_t i = 0; i < n; i++)
        if (!ring_take_entry(ring, ring->cq_head + i)) {
            ring_fail_senseless(ring);
            return before;
        }

    /* Everything is copied before cq_head allows the host to write there again. */
    shared_barrier();
    ring->cq_head += n;
    shared_store(&ring->header->cq_head, ring->cq_head);
    return n;
}

int ring_failure_of(vgpu_device *dev, uint32_t state)
{
    uint32_t error;

    switch (state) {
    case VGPU_RING_ON:
    case VGPU_RING_STARTING:
        return 0;
    case VGPU_RING_OFF:
    case VGPU_RING_STOPPING:
        return device_is_gone(dev) ? -ENODEV : -ECONNRESET;
    case VGPU_RING_FAILED:
        error = device_read(dev, VGPU_REG_RING_ERROR);
        return error == VGPU_ERROR_NONE || error > INT_MAX ? -EPROTO : (int) error;
    case UINT32_MAX:
        return -ENODEV;
    default:
        return -EPROTO;
    }
}

uint32_t ring_check(vgpu_ring *ring, bool now)
{
    uint64_t clock = now_nsec();
    uint32_t before = ring->outstanding;
    int failure;

    if (ring->failure != 0 || (!now && clock < ring->next_check))
        return 0;

    ring->next_check = clock + CHECK_INTERVAL_NS;
    failure = ring_failure_of(ring->dev, device_read(ring->dev, VGPU_REG_RING_CTRL));
    if (failure != 0) {
        ring_harvest(ring); /* take what was complete before the ring ended */
        ring_fail(ring, failure);
    }
    return before - ring->outstanding;
}

bool ring_is_caller(const vgpu_ring *ring)
{
    return ring->calling && pthread_equal(ring->caller, pthread_self());
}

int ring_check_caller(const vgpu_ring *ring)
{
    int r;

    ring_lock(ring);
    r = ring_is_caller(ring) ? -EDEADLK : 0;
    ring_unlock(ring);
    return r;
}

void ring_call_back(vgpu_ring *ring)
{
    slot *s;

    if (!ring_must_call(ring))
        return;

    ring->calling = true;
    ring->caller = pthread_self();
    while ((s = slot_queue_pop(&ring->to_call))) {
        vgpu_completion completion = s->completion;
        vgpu_callback callback = s->callback;

        slot_release(ring, s); /* so that the callback can submit */
        ring_unlock(ring);
        callback(ring, &completion);
        ring_lock(ring);
        ring->n_called++;
        pthread_cond_broadcast(&ring->called);
    }
    ring->calling = false;
}

static size_t ring_take_ended(vgpu_ring *ring, vgpu_completion *ret, size_t max)
{
    size_t n = 0;
    slot *s;

    if (ring_harvest(ring) == 0 && ring->outstanding > 0)
        ring_check(ring, false);
    ring_call_back(ring);
    while (n < max && (s = slot_queue_pop(&ring->to_take))) {
        ret[n++] = s->completion;
        slot_release(ring, s);
    }
    return n;
}

int vgpu_ring_poll(vgpu_ring *ring, vgpu_completion *ret, size_t max, size_t *ret_n)
{
    size_t n = 0;
    int r = 0;

    ring_lock(ring);
    if (ring_is_caller(ring))
        r = -EDEADLK;
    else
        n = ring_take_ended(ring, ret, max);
    ring_unlock(ring);

    if (r == 0 && ret_n)
        *ret_n = n;
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Putting requests on the ring. ring.h explains the order of things. */
#include <assert.h>
#include <errno.h>

#include "ring.h"
#include "shared.h"

/* How many submission entries are free, as far as sq_head was read. */
static uint32_t ring_free_entries(const vgpu_ring *ring)
{
    return ring->entries - (ring->sq_tail - ring->sq_head);
}

/* Read sq_head again. When the host has moved it backwards, or past what we have submitted, the
 * ring ends. */
static void ring_update_head(vgpu_ring *ring)
{
    uint32_t head = shared_load(&ring->header->sq_head);

    if (head - ring->sq_head > ring->sq_tail - ring->sq_head)
        ring_fail(ring, -EPROTO);
    else
        ring->sq_head = head;
}

static uint32_t ring_room_for(vgpu_ring *ring, size_t n)
{
    uint32_t entries;

    if (n > ring->n_free)
        n = ring->n_free;
    if (ring_free_entries(ring) < n)
        ring_update_head(ring);
    if (ring->failure != 0)
        return 0;

    entries = ring_free_entries(ring);
    return n < entries ? (uint32_t) n : entries;
}

bool ring_has_room(vgpu_ring *ring)
{
    return ring_room_for(ring, 1) > 0;
}

static void ring_write_entry(vgpu_ring *ring, uint32_t index, vgpu_job *job, ring_request *request)
{
    slot *s = ring->free;
    uint64_t number = (uint64_t) (s - ring->slots);
    VGPUSubmission entry = job->submission;

    assert(s && s->state == SLOT_FREE && ring->n_free > 0);
    ring->free = s->next;
    ring->n_free--;
    job->id = ++ring->serial << 16 | number;
    *s = (slot){
        .state = SLOT_OUTSTANDING,
        .callback = job->callback,
        .request = request,
        .completion = {.id = job->id, .userdata = job->userdata},
    };
    if (request)
        *request = (ring_request){.slot = s};

    entry.tag = job->id;
    entry.state = VGPU_ENTRY_NEW;
    entry.status = VGPU_ERROR_NONE;
    entry.result = 0;
    entry.exec_time_us = 0;
    entry.cq_index = 0;
    entry.cuda_result = 0;
    entry.reserved[0] = entry.reserved[1] = entry.reserved[2] = 0;
    shared_copy_out(&ring->submissions[index & (ring->entries - 1)], &entry, sizeof(entry));
}

/* Move sq_tail, and wake the host if it sleeps. */
static void ring_publish(vgpu_ring *ring, uint32_t n)
{
    uint32_t old = ring->sq_tail, event;

    ring->sq_tail += n;
    shared_barrier();
    shared_store(&ring->header->sq_tail, ring->sq_tail);
    shared_barrier();
    event = shared_load(&ring->header->sq_event);
    if (vgpu_ring_must_notify(event, ring->sq_tail, old)) {
        device_write(ring->dev, VGPU_REG_RING_DOORBELL, 1);
        ring->counters.doorbells++;
    }
}

int ring_submit(vgpu_ring *ring, vgpu_job *jobs, size_t n, ring_request *request, size_t *ret_n)
{
    uint32_t room;

    assert(!request || n == 1);
    if (ret_n)
        *ret_n = 0;
    if (ring->failure != 0)
        return ring->failure;
    if (n == 0)
        return 0;

    room = ring_room_for(ring, n);
    if (ring->failure != 0)
        return ring->failure;
    if (room == 0 || (!ret_n && room < n))
        return -EAGAIN;

    for (uint32_t i = 0; i < room; i++)
        ring_write_entry(ring, ring->sq_tail + i, &jobs[i], request);
    ring->outstanding += room;
    ring->counters.submitted += room;
    ring_publish(ring, room);
    if (ret_n)
        *ret_n = room;
    return 0;
}

int vgpu_ring_submit(vgpu_ring *ring, vgpu_job *jobs, size_t n, size_t *ret_n)
{
    int r;

    ring_lock(ring);
    r = ring_submit(ring, jobs, n, NULL, ret_n);
    ring_unlock(ring);
    return r;
}

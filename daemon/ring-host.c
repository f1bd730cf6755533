/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ring-host.h"

#include <string.h>

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *p, uint32_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static void full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint32_t slot_of(const RingHost *r, uint32_t index)
{
    return index & (r->entries - 1);
}

/* Copies once: the barrier keeps the compiler from reading shared memory again
 * where the copy is used. */
static void copy_submission(const RingHost *r, uint32_t index, VGPUSubmission *ret)
{
    memcpy(ret, &r->submissions[slot_of(r, index)], sizeof(*ret));
    __asm__ volatile("" ::: "memory");
}

/* ---- Which entries are over ------------------------------------------------------- */

static bool is_over(const RingHost *r, uint32_t index)
{
    uint32_t slot = slot_of(r, index);

    return r->over[slot / 64] >> (slot % 64) & 1;
}

static void set_over(RingHost *r, uint32_t index, bool over)
{
    uint32_t slot = slot_of(r, index);
    uint64_t bit = UINT64_C(1) << (slot % 64);

    if (over)
        r->over[slot / 64] |= bit;
    else
        r->over[slot / 64] &= ~bit;
}

static void advance(RingHost *r)
{
    r->sq_next++;
    if (r->n_recovered > 0)
        r->n_recovered--;
}

/* The slots of all leading entries that are over are the guest's again. */
static void free_slots(RingHost *r)
{
    while (is_over(r, r->sq_head)) {
        set_over(r, r->sq_head, false);
        if (r->sq_next == r->sq_head)
            advance(r);
        r->sq_head++;
    }
    store(&r->header->sq_head, r->sq_head);
}

/* ---- Completions ------------------------------------------------------------------- */

static void show_completion(RingHost *r, uint64_t tag, const RingResult *result)
{
    r->completions[slot_of(r, r->cq_tail)] = (VGPUCompletion){
        .tag = tag,
        .result = result->value,
        .status = result->status,
        .exec_time_us = result->exec_time_us,
        .cuda_result = result->cuda_result,
    };
    store(&r->header->cq_tail, ++r->cq_tail);
}

void ring_host_start(RingHost *r, uint32_t index)
{
    store(&r->submissions[slot_of(r, index)].state, VGPU_ENTRY_STARTED);
}

/* DONE before cq_tail moves: a mediator that dies in between leaves an entry
 * whose cq_index is cq_tail, and so its successor knows what to do. */
void ring_host_complete(RingHost *r, uint32_t index, uint64_t tag, const RingResult *result)
{
    VGPUSubmission *s = &r->submissions[slot_of(r, index)];

    s->status = result->status;
    s->result = result->value;
    s->exec_time_us = result->exec_time_us;
    s->cuda_result = result->cuda_result;
    s->cq_index = r->cq_tail;
    store(&s->state, VGPU_ENTRY_DONE);
    show_completion(r, tag, result);

    r->n_in_hand--;
    set_over(r, index, true);
    free_slots(r);
}

bool ring_host_must_signal(RingHost *r)
{
    uint32_t before = r->cq_signalled;

    r->cq_signalled = r->cq_tail;
    full_barrier();
    return vgpu_ring_must_notify(load(&r->header->cq_event), r->cq_tail, before);
}

/* ---- Submissions ---------------------------------------------------------------------- */

/* Returns false when the guest's cq_head makes no sense. */
static bool read_cq_head(RingHost *r)
{
    uint32_t head = load(&r->header->cq_head);

    if (head - r->cq_head > r->cq_tail - r->cq_head)
        return false;
    r->cq_head = head;
    return true;
}

static bool has_room(const RingHost *r)
{
    return r->cq_tail - r->cq_head + r->n_in_hand < r->entries;
}

int ring_host_look(RingHost *r)
{
    uint32_t tail = load(&r->header->sq_tail);

    /* What an earlier mediator left done stands among what it left to do. */
    while (r->n_recovered > 0 && is_over(r, r->sq_next))
        advance(r);

    if (tail - r->sq_next > r->entries - (r->sq_next - r->sq_head) || !read_cq_head(r))
        return RING_BROKEN;
    if (tail == r->sq_next)
        return RING_NOTHING;
    if (has_room(r))
        return RING_ENTRY;

    /* The guest rings when it sees the completions full that it has just taken
     * from: its look at cq_tail and this one at cq_head must not miss each other. */
    full_barrier();
    if (!read_cq_head(r))
        return RING_BROKEN;
    return has_room(r) ? RING_ENTRY : RING_FULL;
}

/* Why an entry is not computed, or NONE. */
static uint32_t check_entry(const RingHost *r, const VGPUSubmission *s, uint32_t *ret_cuda_result)
{
    bool started = r->n_recovered > 0 && s->state == VGPU_ENTRY_STARTED, repeatable;
    uint32_t error;

    if (s->state != VGPU_ENTRY_NEW && !started)
        return VGPU_ERROR_INVALID_REQUEST;
    error = vgpu_submission_check(s, r->window_size, &repeatable);
    if (error == VGPU_ERROR_NONE && started && !repeatable) {
        *ret_cuda_result = VGPU_CUDA_RESULT_LAUNCH_FAILED;
        return VGPU_ERROR_CUDA_ERROR;
    }
    return error;
}

int ring_host_take(RingHost *r, RingEntry *ret)
{
    int outcome = ring_host_look(r);

    if (outcome != RING_ENTRY)
        return outcome;

    ret->index = r->sq_next;
    ret->cuda_result = 0;
    copy_submission(r, r->sq_next, &ret->submission);
    ret->error = check_entry(r, &ret->submission, &ret->cuda_result);

    advance(r);
    r->n_in_hand++;
    return RING_ENTRY;
}

int ring_host_sleep(RingHost *r)
{
    store(&r->header->sq_event, r->sq_next);
    full_barrier();
    return ring_host_look(r);
}

/* ---- The beginning ----------------------------------------------------------------------- */

/* An entry that is DONE lacks its completion only when it would have been the next. */
static bool recover_done(RingHost *r, uint32_t index, const VGPUSubmission *s)
{
    const RingResult result = {
        .value = s->result,
        .status = s->status,
        .exec_time_us = s->exec_time_us,
        .cuda_result = s->cuda_result,
    };

    set_over(r, index, true);
    if (s->cq_index != r->cq_tail)
        return true;
    if (r->cq_tail - r->cq_head >= r->entries)
        return false;
    show_completion(r, s->tag, &result);
    return true;
}

int ring_host_open(RingHost *r, void *memory, uint32_t entries, uint64_t window_size)
{
    VGPURingHeader *header = memory;
    VGPUSubmission *submissions = (VGPUSubmission *) (header + 1);

    *r = (RingHost){
        .header = header,
        .submissions = submissions,
        .completions = (VGPUCompletion *) (submissions + entries),
        .window_size = window_size,
        .entries = entries,
        .sq_head = load(&header->sq_head),
        .cq_head = load(&header->cq_head),
        .cq_tail = load(&header->cq_tail),
    };
    r->sq_next = r->sq_head;
    r->n_recovered = load(&header->sq_tail) - r->sq_head;
    if (r->n_recovered > entries || r->cq_tail - r->cq_head > entries)
        return RING_BROKEN;

    for (uint32_t i = 0; i < r->n_recovered; i++) {
        VGPUSubmission s;

        copy_submission(r, r->sq_head + i, &s);
        if (s.state == VGPU_ENTRY_DONE && !recover_done(r, r->sq_head + i, &s))
            return RING_BROKEN;
    }
    free_slots(r);
    r->cq_signalled = r->cq_tail;
    return RING_NOTHING;
}

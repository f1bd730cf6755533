/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mediator's end of a ring, as vgpu-ring.h states it. No I/O and no allocation:
 * it works on memory that the caller gives it, shared with a guest that may
 * write anything at any time.
 *
 * What the guest could change is never believed twice: the mediator's own
 * indices, and which entries it has in hand, are kept here; the shared memory only
 * shows them to the guest and to a later mediator.
 */
#ifndef VGPU_RING_HOST_H
#define VGPU_RING_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "vgpu-builtin.h"

typedef struct RingHost {
    VGPURingHeader *header; /* these three are shared with the guest */
    VGPUSubmission *submissions;
    VGPUCompletion *completions;
    uint64_t window_size;
    uint32_t entries;

    uint32_t sq_head;      /* the oldest entry that is not over */
    uint32_t sq_next;      /* the next to be taken */
    uint32_t n_recovered;  /* so many from sq_next on, an earlier mediator may have been at */
    uint32_t cq_head;      /* as the guest last showed it */
    uint32_t cq_tail;      /* the next completion */
    uint32_t cq_signalled; /* cq_tail when the guest's cq_event was last looked at */
    uint32_t n_in_hand;    /* taken, not complete */
    uint64_t over[VGPU_RING_ENTRIES_MAX / 64]; /* slots that are complete, sq_head to sq_next */
} RingHost;

/* An entry that was taken. */
typedef struct RingEntry {
    uint32_t index;
    uint32_t error; /* VGPU_ERROR_*; not NONE: complete it with that, and nothing else */
    uint32_t cuda_result;
    VGPUSubmission submission; /* the copy that was checked */
} RingEntry;

/* How an entry ended. */
typedef struct RingResult {
    uint64_t value;  /* of DOT, SUM, MIN and MAX */
    uint32_t status; /* VGPU_ERROR_* */
    uint32_t exec_time_us;
    uint32_t cuda_result;
} RingResult;

/* Outcomes of the functions below that look at what the guest wrote. */
enum {
    RING_NOTHING = 0, /* no entry is to be taken */
    RING_ENTRY = 1,
    RING_FULL = 2,   /* there is one, but no room for its completion */
    RING_BROKEN = 3, /* the indices make no sense; the ring must not be used any more */
};

/*
 * ring_host_open() - take up a ring, new or left by an earlier mediator
 * @memory: vgpu_ring_size(@entries) bytes, aligned to 8
 * @entries: as vgpu_ring_is_valid() wants it
 * @window_size: for the operands
 *
 * Writes the completion that an earlier mediator may have owed. Returns RING_NOTHING or
 * RING_BROKEN.
 */
int ring_host_open(RingHost *r, void *memory, uint32_t entries, uint64_t window_size);

/* ring_host_look() - what would ring_host_take() return? */
int ring_host_look(RingHost *r);

/*
 * ring_host_take() - take the next entry in hand
 * @ret: set with RING_ENTRY
 *
 * Every entry taken must be given to ring_host_complete(), in any order, or stay as it is for a
 * later mediator.
 */
int ring_host_take(RingHost *r, RingEntry *ret);

/* ring_host_start() - mark an entry in hand: from now on an executor may be working on it */
void ring_host_start(RingHost *r, uint32_t index);

/* ring_host_complete() - end an entry in hand, and show its completion */
void ring_host_complete(RingHost *r, uint32_t index, uint64_t tag, const RingResult *result);

/*
 * ring_host_sleep() - ask for a doorbell at the next submission
 *
 * Returns what ring_host_look() finds after that. With RING_NOTHING the guest will ring.
 */
int ring_host_sleep(RingHost *r);

/* ring_host_must_signal() - does the guest want to be told of the completions since the last call?
 */
bool ring_host_must_signal(RingHost *r);

/* ring_host_has_completions() - has the guest, as far as is known, completions to take? */
static inline bool ring_host_has_completions(const RingHost *r)
{
    return r->cq_tail != r->cq_head;
}

#endif

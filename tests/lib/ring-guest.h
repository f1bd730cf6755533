/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest with a ring, and the device it is behind, for tests and benchmarks: a
 * memfd, two eventfds, and the guest's half of vgpu-ring.h.
 */
#ifndef VGPU_TEST_RING_GUEST_H
#define VGPU_TEST_RING_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "vgpu-builtin.h"

typedef struct RingGuest {
    int fds[VGPU_RING_N_FDS]; /* window, doorbell, completion */
    VGPURingSetup setup;
    uint64_t window_size;
    char *window;
    VGPURingHeader *header;
    VGPUSubmission *submissions;
    VGPUCompletion *completions;
    uint32_t sq_tail;     /* published up to here */
    uint32_t sq_filled;   /* filled in up to here */
    uint32_t cq_head;     /* taken up to here */
    uint64_t n_doorbells; /* rung */
    uint64_t n_signals;   /* of the completion, that were waited for */
    bool spins;           /* waits by looking at memory */
} RingGuest;

/*
 * ring_guest_open() - a sealed window, and an empty ring in it
 * @offset: of the ring in the window
 * @begin: where all indices begin
 *
 * Returns 0 or a negative errno.
 */
int ring_guest_open(RingGuest *g, uint64_t window_size, uint64_t offset, uint32_t entries,
                    uint32_t begin);

/* ring_guest_open_in() - the same in a memfd of the caller's, which is taken over */
int ring_guest_open_in(RingGuest *g, int memfd, uint64_t window_size, uint64_t offset,
                       uint32_t entries, uint32_t begin);

/*
 * ring_guest_open_beside() - the same in the window of another guest, in memory they share
 * @offset: where the other's ring is not, nor what it works on
 */
int ring_guest_open_beside(RingGuest *g, const RingGuest *other, uint64_t offset, uint32_t entries,
                           uint32_t begin);

void ring_guest_close(RingGuest *g);

/* ring_guest_setup() - send RING_SETUP, with @n_fds of the descriptors */
bool ring_guest_setup(const RingGuest *g, int connection, uint32_t request_id, unsigned n_fds);

/* ring_guest_fill() - write an entry, without publishing it; the caller knows that there is room
 */
void ring_guest_fill(RingGuest *g, const VGPUSubmission *s);

/* ring_guest_publish() - publish what was filled in; returns whether it rang */
bool ring_guest_publish(RingGuest *g);

/* ring_guest_submit() - both, for one */
void ring_guest_submit(RingGuest *g, const VGPUSubmission *s);

/* ring_guest_room() - entries that may be filled in now */
uint32_t ring_guest_room(const RingGuest *g);

/* ring_guest_take() - the next completion, if there is one */
bool ring_guest_take(RingGuest *g, VGPUCompletion *ret);

/*
 * ring_guest_wait() - the next completion
 *
 * Returns false after @timeout_msec without one.
 */
bool ring_guest_wait(RingGuest *g, VGPUCompletion *ret, int timeout_msec);

/* ring_guest_wait_for() - the same until there are @n, 1 to entries, with one signal for them */
bool ring_guest_wait_for(RingGuest *g, uint32_t n, int timeout_msec);

/* ring_guest_nop() - an entry that does nothing */
VGPUSubmission ring_guest_nop(uint64_t tag);

/* ring_guest_add() - c = a + b, packed int64, at these offsets */
VGPUSubmission ring_guest_add(uint64_t tag, uint64_t count, uint64_t a, uint64_t b, uint64_t c);

#endif

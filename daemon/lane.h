/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fast lane of a VM: a ring in its window, the eventfds beside it, and the way
 * of its entries into the pool's queue and back.
 *
 * An entry is taken only when the queue has a place for it, the VM is not paused,
 * and its rate limit has a token left; until then it stays in the ring. So the ring
 * is never answered BUSY, and a guest with a thousand entries has no more in the
 * queue than any other VM may have. Taking is bounded in each round of the loop, and
 * all completions of a round cost one signal.
 *
 * The order of a ring's life is RING_SETUP, RING_READY, RING_OFF, RING_STOPPED; each
 * answer waits until no executor computes in the window for an earlier ring, or for
 * this one. The end of the connection ends the lane at once: what runs is
 * finished, and nobody is told.
 */
#ifndef VGPU_LANE_H
#define VGPU_LANE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "vgpu-ring.h"

typedef struct Lane Lane;
typedef struct Manager Manager;
typedef struct VM VM;

typedef TAILQ_HEAD(LaneList, Lane) LaneList;

/*
 * lane_setup() - RING_SETUP: a lane for a VM that has a connection
 * @fds: VGPU_RING_N_FDS of them, taken over in any case
 * @request_id: for the RING_READY
 *
 * Answers RING_READY, now or later, also when the ring cannot be. Returns false when the VM
 * has a ring: the device broke the protocol. Or when there is no memory for one.
 */
bool lane_setup(VM *vm, const int *fds, const VGPURingSetup *setup, uint32_t request_id);

/*
 * lane_stop() - RING_OFF; answers RING_STOPPED, now or later, also where there is no ring
 *
 * Returns false when the last one is not answered yet: the device broke the protocol.
 */
bool lane_stop(VM *vm, uint32_t request_id);

/* lane_free() - drop what it has queued, write nothing any more. NULL is fine */
Lane *lane_free(Lane *l);

/* lane_kick() - something changed for it: look at it in this round of the loop. NULL is fine */
void lane_kick(Lane *l);

/* lanes_run() - look at every lane that was kicked, once */
void lanes_run(Manager *manager);

/* lanes_init() - returns 0 or a negative errno */
int lanes_init(Manager *manager);

/* lane_entries() - of the ring, or 0 while it is not on. NULL is fine */
uint32_t lane_entries(const Lane *l);

/* lane_window_size() - bytes, or 0 while there is no ring. NULL is fine */
uint64_t lane_window_size(const Lane *l);

#endif

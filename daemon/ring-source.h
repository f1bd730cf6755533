/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring of a VM as a source of requests: the ring in its window, the eventfds beside it,
 * and the way of its entries into the pool's queue and back.
 *
 * An entry is taken only when the queue has a place for it, the VM is not paused,
 * and its rate limit has a token left; until then it stays in the ring. So the ring
 * is never answered BUSY, and a guest with a thousand entries has no more in the
 * queue than any other VM may have. Taking is bounded in each round of the loop, and
 * all completions of a round cost one signal.
 *
 * The order of a ring's life is RING_SETUP, RING_READY, RING_OFF, RING_STOPPED; each
 * answer waits until no executor computes in the window for an earlier ring, or for
 * this one. The end of the connection ends the ring at once: what runs is
 * finished, and nobody is told.
 */
#ifndef VGPU_RING_SOURCE_H
#define VGPU_RING_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config.h"
#include "eventfd-signaller.h"
#include "origin.h"
#include "pools.h"
#include "vgpu-ring.h"
#include "vm.h"

typedef struct RingSource RingSource;

/* What all rings of a mediator share. */
typedef struct RingSources {
    sd_event *event;
    Pools *pools;
    const Config *config;
    Windows windows;
    RequestCache request_cache;
    TAILQ_HEAD(, RingSource) kicked; /* to be looked at in this round */
    sd_event_source *run;
    EventfdSignaller *signaller; /* NULL where the host has none to give */
    bool stopped;                /* take no entries any more */
} RingSources;

/*
 * ring_sources_init() - without rings
 * @pools, @config: outlive them
 *
 * Returns 0 or a negative errno.
 */
int ring_sources_init(RingSources *all, sd_event *event, Pools *pools, const Config *config);

/* ring_sources_clear() - there is no ring any more, and no request */
void ring_sources_clear(RingSources *all);

/* ring_sources_run() - look at every ring that was kicked, once */
void ring_sources_run(RingSources *all);

/* ring_sources_have_work() - was one kicked? */
bool ring_sources_have_work(const RingSources *all);

/* ring_sources_stop() - what stands in the rings stays there */
void ring_sources_stop(RingSources *all);

/* Outcome of the two functions below beside 0. */
enum {
    RING_SOURCE_VIOLATION = 1, /* the device broke the protocol */
};

/*
 * ring_source_setup() - RING_SETUP: a ring for a VM that is connected
 * @process: the VM's device is in it
 * @fds: VGPU_RING_N_FDS of them, taken over in any case
 * @request_id: for the RING_READY
 * @ring: the VM's; NULL while it has none. Set to NULL when the ring ends by itself
 *
 * Answers RING_READY, now or later, also when the ring cannot be. Returns 0, or
 * RING_SOURCE_VIOLATION when there is a ring that has not failed.
 */
int ring_source_setup(RingSources *all, VM *vm, Origin *process, const int *fds,
                      const VGPURingSetup *setup, uint32_t request_id, RingSource **ring);

/*
 * ring_source_stop() - RING_OFF; answers RING_STOPPED, now or later, also where there is no ring
 * @ring: as in ring_source_setup()
 *
 * Returns 0, or RING_SOURCE_VIOLATION when the last one is not answered yet.
 */
int ring_source_stop(VM *vm, uint32_t request_id, RingSource **ring);

/* ring_source_free() - drop what it has queued, write nothing any more. NULL is fine */
RingSource *ring_source_free(RingSource *s);

#endif

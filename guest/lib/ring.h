/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ring that is on, and why nothing gets lost on it.
 *
 * Two sides write: the guest sq_tail, cq_head, cq_event and submission entries; the mediator
 * sq_head, cq_tail, sq_event and completion entries. Each index has one writer and only grows
 * (modulo 2^32), so there is nothing to lock. What has to be in order:
 *
 *   Content. An entry is written before the index that publishes it (shared_store: release), and
 *   read after it (shared_load: acquire). The window may be mapped write-combining, where a
 *   processor keeps neither order by itself; so a full barrier, which drains the buffers, stands
 *   before sq_tail is moved and after cq_tail is read. It costs one instruction a batch. It also
 *   covers the operands, which the caller has written before it submits.
 *
 *   Doorbells. The mediator goes to sleep after: write sq_event = what it has seen; barrier; read
 *   sq_tail again. We, after moving sq_tail: barrier; read sq_event. Of two sides that each write
 *   one word, have a full barrier, and read the other's word, at least one reads the new value: so
 *   either it sees our entry and does not sleep, or we see its event and ring. Which it is when
 * both do costs one doorbell too many, never one too few.
 *
 *   Interrupts, the same with the sides exchanged: we write cq_event = the index whose completion
 *   shall interrupt; barrier; read cq_tail again; sleep. While nobody sleeps, cq_event is half a
 *   circle away, so that the device is left alone.
 *
 *   INTx. The device holds the line while RING_IRQ_STATUS and RING_IRQ_CTRL are set; the kernel's
 *   uio_pci_generic then sets Interrupt Disable and counts up /dev/uioN. After waking: clear
 *   RING_IRQ_STATUS, clear Interrupt Disable, barrier, read cq_tail. A completion before that read
 * is seen by it; one after finds the line free and unmasked, and wakes the next sleep. When nothing
 *   has woken us since, both are clear still, and sleeping costs no register access at all.
 *
 * Room. A request has a slot of ours from its submission until its completion is taken, and there
 * are as many slots as entries. Hence the requests that wait, run, or have a completion that we
 * have not copied are never more than the completion ring is long, and the mediator's rule never
 * makes it wait for cq_head, about whose moves we do not tell it. A submission entry is free when
 * sq_head has passed it, which can be later than its completion, behind one that takes longer.
 *
 * Trust. All of the window is the host's to write. We read back nothing that we have written; of
 * what the host writes there are: sq_head and cq_tail, which must be within the ring from our own
 * copies of the indices; sq_event, of which any value costs a doorbell at most; and completions,
 * copied once, whose tag must be that of a slot that is outstanding. What breaks this ends the
 * ring. A host that writes nothing can only make us wait.
 */
#ifndef VGPU_GUEST_RING_H
#define VGPU_GUEST_RING_H

#include "device.h"
#include "vgpu.h"
#include "window-heap.h"

typedef enum slot_state {
    SLOT_FREE,
    SLOT_OUTSTANDING,
    SLOT_ENDED, /* in one of the two queues of what has ended */
} slot_state;

/* A request of ours. Its tag on the ring is its id: a serial number, and in the low 16 bits the
 * index of its slot. */
typedef struct slot {
    slot_state state;
    vgpu_callback callback;
    vgpu_completion completion; /* id and userdata from the beginning, the rest when it has ended */
    struct slot *next;          /* in the list of free ones, or in a queue */
} slot;

typedef struct slot_queue {
    slot *first, *last;
    size_t n;
} slot_queue;

struct vgpu_ring {
    vgpu_device *dev;

    uint8_t *window;
    uint64_t window_size;
    heap heap;

    VGPURingHeader *header; /* these three are in the window */
    VGPUSubmission *submissions;
    VGPUCompletion *completions;
    uint64_t offset; /* of the ring in the window */
    uint32_t entries;
    bool on; /* have we turned it on? */

    uint32_t sq_tail, cq_head; /* ours: what we have published */
    uint32_t sq_head;          /* the host's, when we last looked */

    slot *slots;
    slot *free;
    uint32_t n_free, outstanding;
    uint64_t serial;
    slot_queue to_call, to_take; /* ended, with and without callback */
    bool calling;                /* are we in a callback? */
    int failure;                 /* why the ring has ended, or 0 */

    uint32_t spin_us;
    int uio_fd, config_fd; /* -1: by polling */
    uint64_t next_check;   /* when to look whether the ring is still on */

    vgpu_ring_counters counters;
};

/* ring_open_at() - vgpu_ring_open() with another first index than 0 */
int ring_open_at(vgpu_device *dev, uint32_t entries, int timeout_ms, uint32_t first_index,
                 vgpu_ring **ret);

/* ring_fail() - the ring has ended: so has all that is outstanding, with @result */
void ring_fail(vgpu_ring *ring, int result);

/* ring_failure_of() - what a state in RING_CTRL says: 0 while the ring is on or about to be, else
 * why it is not */
int ring_failure_of(vgpu_device *dev, uint32_t state);

/* ring_has_new() - may there be completions that were not copied yet? */
bool ring_has_new(const vgpu_ring *ring);

/* ring_harvest() - copy completions, and make room on the completion ring. Returns how many
 * requests have ended by that, those of a ring that fails included. */
uint32_t ring_harvest(vgpu_ring *ring);

/* ring_check() - look, from time to time (or @now), whether the ring is still on, and fail it if
 * not. Returns how many requests have ended by that. */
uint32_t ring_check(vgpu_ring *ring, bool now);

/* ring_call_back() - run the callbacks of what has ended. Returns how many. */
size_t ring_call_back(vgpu_ring *ring);

/* ring_progress() - wait until at least one more request has ended; with interrupts, for one at the
 * @wanted-th. Nothing is called back. Returns 0, also when nothing is outstanding; -ETIMEDOUT; or
 * another negative errno. */
int ring_progress(vgpu_ring *ring, size_t wanted, deadline until);

/* ring_has_room() - can a request be submitted? Looks at sq_head if need be. */
bool ring_has_room(vgpu_ring *ring);

int ring_wait_room(vgpu_ring *ring, deadline until);

/* ring_open_interrupt(), ring_close_interrupt() - wait by interrupt, or no longer */
int ring_open_interrupt(vgpu_ring *ring);
void ring_close_interrupt(vgpu_ring *ring);

static inline void slot_queue_push(slot_queue *q, slot *s)
{
    s->next = NULL;
    if (q->last)
        q->last->next = s;
    else
        q->first = s;
    q->last = s;
    q->n++;
}

static inline slot *slot_queue_pop(slot_queue *q)
{
    slot *s = q->first;

    if (s) {
        q->first = s->next;
        if (!q->first)
            q->last = NULL;
        q->n--;
    }
    return s;
}

/* slot_release() - its request is done with */
static inline void slot_release(vgpu_ring *ring, slot *s)
{
    s->state = SLOT_FREE;
    s->next = ring->free;
    ring->free = s;
    ring->n_free++;
}

#endif

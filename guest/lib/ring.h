/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ring that is on, and why nothing gets lost on it.
 *
 * The guest writes sq_tail, cq_head, cq_event and submission entries. The mediator writes sq_head,
 * cq_tail, sq_event and completion entries. Each index has one writer and only grows (modulo 2^32),
 * so the two sides need no lock. What has to be in order:
 *
 *   Content. An entry is written before the index that publishes it (shared_store: release), and
 *   read after it (shared_load: acquire). The window may be mapped write-combining, where a
 *   processor keeps neither order by itself; so a full barrier, which drains the buffers, stands
 *   before sq_tail is moved and after cq_tail is read. It costs one instruction a batch. It also
 *   covers the operands, which the caller has written before it submits.
 *
 *   Doorbells. Before the mediator sleeps, it writes into sq_event how far it has come, has a
 *   barrier, and reads sq_tail again. After we have moved sq_tail, we have a barrier and read
 *   sq_event. When two sides each write one word, have a full barrier, and read the other's word,
 * at least one of them reads the new value. So either the mediator sees our entry and does not
 * sleep, or we see its event and ring. If both happen, there is one doorbell too many, never one
 * too few.
 *
 *   Interrupts are the same with the sides exchanged. We write into cq_event the index of the
 *   completion that shall interrupt, have a barrier, read cq_tail again, and sleep. While nobody
 *   sleeps, cq_event is half a circle away, so that the host does not interrupt.
 *
 *   INTx. The device holds the line while RING_IRQ_STATUS and RING_IRQ_CTRL are set; the kernel's
 *   uio_pci_generic then sets Interrupt Disable and counts up /dev/uioN. After waking we clear
 *   RING_IRQ_STATUS, clear Interrupt Disable, have a barrier, and read cq_tail. That read sees a
 *   completion that comes before it; a completion that comes after it finds the line free and
 *   unmasked, and wakes the next sleep. As long as no interrupt comes, both stay clear, and
 * sleeping costs no register access at all.
 *
 *   MSI-X. Each such event is a message, which adds to the eventfd that VFIO has for its vector.
 *   Nothing is masked and nothing has to be cleared, so waking costs no register access either.
 *
 * Room. A request has a slot of ours from its submission until its completion is taken, and there
 * are as many slots as entries. So the completion ring has room for all requests that wait, run, or
 * have a completion that we have not copied. The mediator waits for cq_head only when that room is
 * used up; so it never does, and we need not tell it when cq_head moves. A submission entry is free
 * when sq_head has passed it. That can be later than its completion, when an entry before it takes
 * longer.
 *
 * Trust. The host can write anywhere in the window. We never read back what we have written
 * ourselves. We read sq_head and cq_tail, which must be within the ring, counted from our own
 * copies of the indices; sq_event, which can cost a doorbell at most; and completions, which we
 * copy once, and whose tag must be that of an outstanding slot. When the host breaks these rules,
 * the ring ends. A host that writes nothing can only make us wait.
 *
 * Threads. One lock covers everything in struct vgpu_ring, the heap of the window included. It is
 * free while a thread sleeps, spins or is in a callback. Of the threads that wait, one leads: it
 * alone looks at memory or sleeps on the descriptor, and it alone answers interrupts. The others
 * follow: each sleeps on a condition of its own. Whoever takes completions from the ring hands each
 * to the thread that waits for it, and wakes that thread if it follows. Nothing is lost, because:
 *
 *   Whoever ends a thread's wait wakes that thread: a follower by its condition, a leader that
 *   sleeps on the descriptor by wake_fd, which it sleeps on too. A leader that looks at memory
 * needs no waking.
 *
 *   While a thread follows whose wait is not over, there is a leader. A leader that goes, for
 *   whatever reason (its request has ended, its time is over, waiting has failed, it must run
 *   callbacks), makes the first such follower the leader and wakes it. One that is made the leader
 *   and has no time left does the same with the next.
 *
 *   A leader that has no followers arms for the last completion that it needs, otherwise for the
 *   first. A thread that begins to follow wakes a leader that has armed for a later one.
 *
 * Only the leader reads the descriptor: an interrupt that another thread read would be lost to it.
 */
#ifndef VGPU_GUEST_RING_H
#define VGPU_GUEST_RING_H

#include <pthread.h>
#include <sys/queue.h>

#include "device.h"
#include "vgpu.h"
#include "window-share.h"

typedef enum slot_state {
    SLOT_FREE,
    SLOT_OUTSTANDING,
    SLOT_ENDED, /* in one of the two queues of what has ended */
} slot_state;

typedef struct ring_request ring_request;
typedef struct ring_sleeper ring_sleeper;

/* A request of ours. Its tag on the ring is its id: a serial number, and in the low 16 bits the
 * index of its slot. */
typedef struct slot {
    slot_state state;
    vgpu_callback callback;
    ring_request *request;      /* whose completion it gets, or NULL: a queue */
    vgpu_completion completion; /* id and userdata from the beginning, the rest when it has ended */
    struct slot *next;          /* in the list of free ones, or in a queue */
} slot;

typedef struct slot_queue {
    slot *first, *last;
    size_t n;
} slot_queue;

/* A request whose completion is for one thread, and for no queue. It stays where it is until it
 * has ended, or was left to a callback. */
struct ring_request {
    slot *slot;                 /* while it is outstanding, else NULL */
    vgpu_completion completion; /* when it has ended */
    ring_sleeper *sleeper;      /* the thread that waits for it now, or NULL */
};

/* A thread that waits. On its stack. */
struct ring_sleeper {
    TAILQ_ENTRY(ring_sleeper) link;
    ring_request *request; /* what it waits for, or NULL: anything that ends or makes room */
    bool woken;            /* of one that waits for anything: there was something */
    pthread_cond_t cond;   /* for a follower */
};

struct vgpu_ring {
    vgpu_device *dev;
    pthread_mutex_t lock; /* of all below that changes after vgpu_ring_open() */

    uint8_t *window;
    uint64_t window_size;
    window_share share;

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
    uint64_t n_to_call;          /* how many have ever been put into to_call: it is in order */
    int failure;                 /* why the ring has ended, or 0 */

    TAILQ_HEAD(, ring_sleeper) sleepers; /* all threads that wait, the leader among them */
    size_t n_any;                        /* how many of them wait for anything, and are not woken */
    ring_sleeper *leader;
    size_t armed; /* for how many completions, while the leader sleeps on the descriptor and nobody
                     has woken it; else 0 */

    bool calling;          /* does a thread run callbacks? */
    pthread_t caller;      /* which, while one does */
    uint64_t n_called;     /* how many callbacks have returned */
    pthread_cond_t called; /* one more has */

    uint32_t spin_us;
    interrupt interrupt; /* closed: by polling. It does not change while there is a leader. */
    int wake_fd;         /* an eventfd, with it */
    uint64_t next_check; /* when to look whether the ring is still on */

    vgpu_ring_counters counters;
};

/* ring_open_at() - vgpu_ring_open() with another first index than 0 */
int ring_open_at(vgpu_device *dev, uint32_t entries, int timeout_ms, uint32_t first_index,
                 vgpu_ring **ret);

static inline void ring_lock(const vgpu_ring *ring)
{
    pthread_mutex_lock((pthread_mutex_t *) &ring->lock);
}

static inline void ring_unlock(const vgpu_ring *ring)
{
    pthread_mutex_unlock((pthread_mutex_t *) &ring->lock);
}

/* ---- With the lock held. Those that wait or call back let go of it meanwhile. ------------- */

/* ring_fail() - the ring has ended: so has all that is outstanding, with @result */
void ring_fail(vgpu_ring *ring, int result);

/* ring_failure_of() - what a state in RING_CTRL says: 0 while the ring is on or about to be, else
 * why it is not */
int ring_failure_of(vgpu_device *dev, uint32_t state);

/* ring_harvest() - copy completions, and make room on the completion ring. Returns how many
 * requests have ended by that, those of a ring that fails included. */
uint32_t ring_harvest(vgpu_ring *ring);

/* ring_check() - look, from time to time (or @now), whether the ring is still on, and fail it if
 * not. Returns how many requests have ended by that. */
uint32_t ring_check(vgpu_ring *ring, bool now);

/* ring_is_caller() - is this thread in a callback of this ring? */
bool ring_is_caller(const vgpu_ring *ring);

/* ring_call_back() - run the callbacks of what has ended, unless another thread is at it */
void ring_call_back(vgpu_ring *ring);

/* ring_must_call() - are there callbacks to run, and no thread at it? */
static inline bool ring_must_call(const vgpu_ring *ring)
{
    return ring->to_call.n > 0 && !ring->calling;
}

/* ring_has_room() - can a request be submitted? Looks at sq_head if need be. */
bool ring_has_room(vgpu_ring *ring);

/* ring_submit() - vgpu_ring_submit(). @request: NULL, or, with @n of 1, who gets the completion. */
int ring_submit(vgpu_ring *ring, vgpu_job *jobs, size_t n, ring_request *request, size_t *ret_n);

/* ring_start() - submit one request, and wait for room if need be. Returns as vgpu_ring_submit()
 * and vgpu_ring_wait_room(). */
int ring_start(vgpu_ring *ring, vgpu_job *job, ring_request *request, deadline until);

/* ring_await() - wait until a request has ended, and run callbacks. Returns 0, -ETIMEDOUT, or
 * another negative errno. */
int ring_await(vgpu_ring *ring, ring_request *request, deadline until);

/* ring_leave() - nobody waits for an outstanding request any more: @callback has its completion,
 * with @userdata, or, if it is NULL, vgpu_ring_poll() */
void ring_leave(ring_request *request, vgpu_callback callback, void *userdata);

/* ring_wake_any() - something has ended, or there is room: wake who waits for that */
void ring_wake_any(vgpu_ring *ring);

/* ring_wake() - wake a thread, whose wait is over or which has something to do */
void ring_wake(vgpu_ring *ring, ring_sleeper *s);

/* ring_arm() - ask for an interrupt at the @wanted-th completion from here on */
void ring_arm(vgpu_ring *ring, size_t wanted);

/* ring_disarm() - ask for none */
void ring_disarm(vgpu_ring *ring);

/* ring_close_interrupt() - wait by interrupt no longer. There is no leader. */
void ring_close_interrupt(vgpu_ring *ring);

/* ---- Without the lock ---------------------------------------------------------------------- */

/* ring_check_caller() - 0, or -EDEADLK in a callback of this ring */
int ring_check_caller(const vgpu_ring *ring);

/* ring_acknowledge() - after an interrupt: let go of the line, and let the next one through. Only
 * for the leader, or while there is none. Returns 0 or a negative errno. */
int ring_acknowledge(vgpu_ring *ring);

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
    ring_wake_any(ring);
}

#endif

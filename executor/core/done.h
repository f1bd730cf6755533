/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How other threads tell the loop which slots are done: one atomic word with a bit for
 * each slot, and an eventfd that is written to when the word was empty.
 *
 * The loop takes the whole word at once and then reads what lies in the slots. Release and
 * acquire on the word order what the other thread wrote there before that. No event is lost:
 * a bit that is set while others are set is taken together with them.
 */
#ifndef VGPU_EXECUTOR_DONE_H
#define VGPU_EXECUTOR_DONE_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>

typedef struct Done {
    atomic_uint_least64_t slots; /* bit i: slot i */
    int event_fd;                /* never read; watched edge-triggered */
} Done;

/* done_add() - from any thread: these slots are done */
static inline void done_add(Done *d, uint64_t slots)
{
    /* Read before the bits are set: once the last bit is set, the backend may be closed. */
    int event_fd = d->event_fd;

    if (atomic_fetch_or_explicit(&d->slots, slots, memory_order_acq_rel) == 0)
        eventfd_write(event_fd, 1);
}

/* done_take() - on the loop's thread: what was added since the last call */
static inline uint64_t done_take(Done *d)
{
    return atomic_exchange_explicit(&d->slots, 0, memory_order_acq_rel);
}

#endif

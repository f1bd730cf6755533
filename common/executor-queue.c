/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "executor-queue.h"

#include <errno.h>
#include <unistd.h>

ExecutorMessage *executor_writer_begin(ExecutorWriter *w)
{
    return &w->queue->message[w->tail++ % EXECUTOR_QUEUE_LENGTH];
}

void executor_writer_flush(ExecutorWriter *w)
{
    const uint64_t one = 1;

    if (w->shown == w->tail)
        return;
    w->shown = w->tail;
    __atomic_store_n(&w->queue->tail, w->tail, __ATOMIC_RELEASE);

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&w->queue->wants_event, __ATOMIC_RELAXED) == 0)
        return;
    /* This has to come before the event: after it the reader may ask again. */
    __atomic_store_n(&w->queue->wants_event, 0, __ATOMIC_RELAXED);
    /* EAGAIN would mean that the counter is full of events, so the reader is awake. */
    (void) !write(w->event, &one, sizeof(one));
}

int executor_reader_next(const ExecutorReader *r, const ExecutorMessage **ret)
{
    uint32_t n = __atomic_load_n(&r->queue->tail, __ATOMIC_ACQUIRE) - r->head;

    if (n == 0)
        return 0;
    if (n > EXECUTOR_QUEUE_LENGTH)
        return -EPROTO;
    *ret = &r->queue->message[r->head % EXECUTOR_QUEUE_LENGTH];
    return 1;
}

void executor_reader_pop(ExecutorReader *r)
{
    r->head++;
}

int executor_reader_sleep(ExecutorReader *r)
{
    const ExecutorMessage *message;

    __atomic_store_n(&r->queue->wants_event, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return executor_reader_next(r, &message);
}

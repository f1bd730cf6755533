/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A queue of messages in memory that two processes share. One writes, the other reads, and
 * neither makes a system call for a message. When nothing is left to read, the reader says
 * so in the memory and waits on an eventfd; only then does the writer write to the eventfd.
 * So while the reader is awake, no message costs a wake-up.
 *
 * A queue has room for as many messages as an executor has slots at most. Both queues
 * between a mediator and an executor hold nothing but requests that occupy a slot, or the
 * answers to them, so neither is ever full.
 *
 * Order in memory: a message is written before the tail that shows it (release), and read
 * after it (acquire). Going to sleep is Dekker's game: the reader stores wants_event and
 * then looks at the tail, the writer stores the tail and then looks at wants_event, with a
 * full barrier between the two on either side, so that at least one sees the other.
 * tests/unit/test-executor-queue-model.c tries every order.
 *
 * The other process may write anything at any time. So each side keeps its own position in
 * memory of its own, and copies a message before it looks at it.
 */
#ifndef VGPU_EXECUTOR_QUEUE_H
#define VGPU_EXECUTOR_QUEUE_H

#include "executor-protocol.h"

#define EXECUTOR_QUEUE_LENGTH EXECUTOR_SLOTS_MAX

typedef struct ExecutorMessage {
    _Alignas(64) ExecutorHeader header;
    _Alignas(8) unsigned char payload[EXECUTOR_PAYLOAD_MAX];
} ExecutorMessage;

/* All zero at the beginning. What one side writes shares no cache line with what the other
 * side writes. */
typedef struct ExecutorQueue {
    _Alignas(64) uint32_t tail;        /* messages ever written, modulo 2^32: the writer's */
    _Alignas(64) uint32_t wants_event; /* set by the reader, taken back by the writer */
    ExecutorMessage message[EXECUTOR_QUEUE_LENGTH];
} ExecutorQueue;

/* What is shared, in a memfd of this size. */
typedef struct ExecutorMemory {
    ExecutorQueue requests;                               /* REQUEST, COMPUTE */
    ExecutorQueue answers;                                /* RESPONSE, RESULT */
    _Alignas(64) ExecutorBegun begun[EXECUTOR_SLOTS_MAX]; /* the executor's */
    /* The most processor time that the executor's loop took for one thing, in nanoseconds. It is
     * measured for benchmarks, from when the other side writes anything but 0 here. */
    _Alignas(64) uint64_t longest_nsec;
} ExecutorMemory;

static_assert((EXECUTOR_QUEUE_LENGTH & (EXECUTOR_QUEUE_LENGTH - 1)) == 0, "indices wrap");

typedef struct ExecutorWriter {
    ExecutorQueue *queue;
    uint32_t tail;  /* messages ever begun */
    uint32_t shown; /* how many of these the reader was shown */
    int event;      /* the eventfd that the reader waits on; not owned */
} ExecutorWriter;

typedef struct ExecutorReader {
    ExecutorQueue *queue;
    uint32_t head; /* messages ever read */
} ExecutorReader;

/* executor_memory_begun() - the note about the request of that tag */
static inline ExecutorBegun *executor_memory_begun(ExecutorMemory *memory, uint64_t tag)
{
    return &memory->begun[tag % EXECUTOR_SLOTS_MAX];
}

/* executor_begun_write() - the executor's: execution began then; EXECUTOR_BEGUN_*, or usec */
static inline void executor_begun_write(ExecutorBegun *begun, uint64_t tag, uint64_t usec)
{
    __atomic_store_n(&begun->usec, usec, __ATOMIC_RELAXED);
    __atomic_store_n(&begun->tag, tag, __ATOMIC_RELEASE);
}

/* executor_begun_read() - what was written for @tag, or EXECUTOR_BEGUN_NOT */
static inline uint64_t executor_begun_read(const ExecutorBegun *begun, uint64_t tag)
{
    if (__atomic_load_n(&begun->tag, __ATOMIC_ACQUIRE) != tag)
        return EXECUTOR_BEGUN_NOT;
    return __atomic_load_n(&begun->usec, __ATOMIC_RELAXED);
}

/*
 * executor_writer_begin() - begin a message; returns where it is to be written
 *
 * The caller sees to it that no more than EXECUTOR_QUEUE_LENGTH messages are unread.
 */
ExecutorMessage *executor_writer_begin(ExecutorWriter *w);

/*
 * executor_writer_flush() - show the reader every message that was begun, and wake it if it
 *     waits
 *
 * The messages are whole by now. A row of messages is best shown together, because each time
 * the reader's processor has to fetch the tail from this one's. Never blocks.
 */
void executor_writer_flush(ExecutorWriter *w);

/*
 * executor_reader_next() - look for the next message
 * @ret: the message, in shared memory; good until executor_reader_pop()
 *
 * Returns 1 with a message, 0 with none, -EPROTO when the writer's tail makes no sense.
 */
int executor_reader_next(const ExecutorReader *r, const ExecutorMessage **ret);

/* executor_reader_pop() - go on to the message behind it */
void executor_reader_pop(ExecutorReader *r);

/*
 * executor_reader_sleep() - ask to be woken by the next message
 *
 * Returns as executor_reader_next(). After 0 the next message makes the eventfd readable.
 */
int executor_reader_sleep(ExecutorReader *r);

#endif

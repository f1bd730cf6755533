/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A queue of messages in memory that two processes share: one writes, one reads, and
 * neither makes a system call for a message. The reader that has nothing left to read says
 * so in the memory and waits on an eventfd; only then does the writer write to that. So
 * however many messages come while the reader is awake, none of them costs a wake-up.
 *
 * As many messages may wait as an executor has slots at most. Both queues between a
 * mediator and an executor hold nothing but requests that occupy a slot, or the answers
 * to them, so neither is ever full.
 *
 * Order in memory: a message is written before the tail that shows it (release), and read
 * after it (acquire). Going to sleep is Dekker's game: the reader stores wants_event and
 * then looks at the tail, the writer stores the tail and then looks at wants_event, with a
 * full barrier between the two on either side, so that at least one sees the other.
 * tests/unit/test-executor-queue-model.c tries every order.
 *
 * The other process may write anything at any time. So a position is kept by whom it
 * belongs to, and a message is copied before it is looked at.
 */
#ifndef VGPU_EXECUTOR_QUEUE_H
#define VGPU_EXECUTOR_QUEUE_H

#include "executor-protocol.h"

#define EXECUTOR_QUEUE_LENGTH EXECUTOR_SLOTS_MAX

typedef struct ExecutorMessage {
    _Alignas(64) ExecutorHeader header;
    _Alignas(8) unsigned char payload[EXECUTOR_PAYLOAD_MAX];
} ExecutorMessage;

/* All zero at the beginning. What either side writes has cache lines of its own. */
typedef struct ExecutorQueue {
    _Alignas(64) uint32_t tail;        /* messages ever written, modulo 2^32: the writer's */
    _Alignas(64) uint32_t wants_event; /* the reader sets it, the writer takes it back */
    ExecutorMessage message[EXECUTOR_QUEUE_LENGTH];
} ExecutorQueue;

/* What is shared, in a memfd of this size. */
typedef struct ExecutorMemory {
    ExecutorQueue requests; /* REQUEST, COMPUTE */
    ExecutorQueue answers;  /* RESPONSE, RESULT */
} ExecutorMemory;

static_assert((EXECUTOR_QUEUE_LENGTH & (EXECUTOR_QUEUE_LENGTH - 1)) == 0, "indices wrap");

typedef struct ExecutorWriter {
    ExecutorQueue *queue;
    uint32_t tail;  /* messages ever begun, */
    uint32_t shown; /* and of these shown to the reader */
    int event;      /* the eventfd that the reader waits on; not owned */
} ExecutorWriter;

typedef struct ExecutorReader {
    ExecutorQueue *queue;
    uint32_t head; /* messages ever read */
} ExecutorReader;

/*
 * executor_writer_begin() - where the next message is to be written
 *
 * The caller never has more messages unread than EXECUTOR_QUEUE_LENGTH.
 */
ExecutorMessage *executor_writer_begin(ExecutorWriter *w);

/*
 * executor_writer_flush() - show the reader all that was begun, and wake it if it waits
 *
 * Messages are whole by then. A row of them is best shown together: each time, the reader's
 * processor has to fetch the tail from this one's. Never blocks.
 */
void executor_writer_flush(ExecutorWriter *w);

/*
 * executor_reader_next() - is there a message to be read?
 * @ret: the message, in shared memory; good until executor_reader_pop()
 *
 * Returns 1 with a message, 0 with none, -EPROTO when the writer's tail makes no sense.
 */
int executor_reader_next(const ExecutorReader *r, const ExecutorMessage **ret);

/* executor_reader_pop() - the message was read */
void executor_reader_pop(ExecutorReader *r);

/*
 * executor_reader_sleep() - ask to be woken at the next message
 *
 * Returns as executor_reader_next(). With 0 the next message makes the eventfd readable.
 */
int executor_reader_sleep(ExecutorReader *r);

#endif

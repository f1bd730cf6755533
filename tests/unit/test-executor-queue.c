/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue between mediator and executor: its edges by hand, and two threads that sleep
 * and wake each other at every possible place. The threads are also for ThreadSanitizer.
 */
#include <stdint.h>

#include "executor-queue.h"
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TIMEOUT_MSEC 60000

typedef struct Ends {
    ExecutorQueue *queue;
    ExecutorWriter writer;
    ExecutorReader reader;
} Ends;

static void open_ends(Ends *e, uint32_t begin)
{
    void *queue = NULL;

    assert_int_equal(posix_memalign(&queue, _Alignof(ExecutorQueue), sizeof(ExecutorQueue)), 0);
    memset(queue, 0, sizeof(ExecutorQueue));
    *e = (Ends){
        .queue = queue,
        .writer =
            {
                .queue = queue,
                .tail = begin,
                .shown = begin,
                .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
            },
        .reader = {.queue = queue, .head = begin},
    };
    e->queue->tail = begin;
    assert_true(e->writer.event >= 0);
}

static void close_ends(Ends *e)
{
    close(e->writer.event);
    free(e->queue);
}

static int setup(void **state)
{
    *state = malloc(sizeof(Ends));
    open_ends(*state, 0);
    return 0;
}

static int teardown(void **state)
{
    close_ends(*state);
    free(*state);
    return 0;
}

static void write_one(Ends *e, uint64_t tag)
{
    executor_writer_begin(&e->writer)->header.tag = tag;
}

static void assert_next(Ends *e, uint64_t tag)
{
    const ExecutorMessage *m;

    assert_int_equal(executor_reader_next(&e->reader, &m), 1);
    assert_int_equal(m->header.tag, tag);
    executor_reader_pop(&e->reader);
}

static void assert_empty(Ends *e)
{
    const ExecutorMessage *m;

    assert_int_equal(executor_reader_next(&e->reader, &m), 0);
}

/* Returns how many events there were, and takes them. */
static eventfd_t events(const Ends *e)
{
    eventfd_t n;

    return eventfd_read(e->writer.event, &n) == 0 ? n : 0;
}

TEST(test_full_at_every_position)
{
    for (uint32_t offset = 0; offset <= 2 * EXECUTOR_QUEUE_LENGTH; offset++) {
        Ends e;

        open_ends(&e, UINT32_MAX - EXECUTOR_QUEUE_LENGTH + offset);
        assert_empty(&e);
        for (unsigned i = 0; i < EXECUTOR_QUEUE_LENGTH; i++)
            write_one(&e, i);
        assert_empty(&e);
        executor_writer_flush(&e.writer);
        for (unsigned i = 0; i < EXECUTOR_QUEUE_LENGTH; i++)
            assert_next(&e, i);
        assert_empty(&e);
        close_ends(&e);
    }
}

static void test_wakes_who_waits(void **state)
{
    Ends *e = *state;

    write_one(e, 1);
    executor_writer_flush(&e->writer);
    assert_int_equal(events(e), 0);

    /* A reader that finds something is not asleep. */
    assert_int_equal(executor_reader_sleep(&e->reader), 1);
    assert_next(e, 1);
    assert_int_equal(executor_reader_sleep(&e->reader), 0);
    executor_writer_flush(&e->writer);
    assert_int_equal(events(e), 0);
    write_one(e, 2);
    assert_empty(e);
    assert_int_equal(events(e), 0);
    executor_writer_flush(&e->writer);
    assert_int_equal(events(e), 1);

    /* One event for all messages that come before it sleeps again */
    for (unsigned i = 3; i < 20; i++) {
        write_one(e, i);
        executor_writer_flush(&e->writer);
    }
    assert_int_equal(events(e), 0);
    for (unsigned i = 2; i < 20; i++)
        assert_next(e, i);
    assert_int_equal(executor_reader_sleep(&e->reader), 0);
}

static void test_wrong_positions(void **state)
{
    Ends *e = *state;
    const ExecutorMessage *m;

    e->queue->tail = EXECUTOR_QUEUE_LENGTH;
    assert_int_equal(executor_reader_next(&e->reader, &m), 1);
    e->queue->tail = EXECUTOR_QUEUE_LENGTH + 1;
    assert_int_equal(executor_reader_next(&e->reader, &m), -EPROTO);
    assert_int_equal(executor_reader_sleep(&e->reader), -EPROTO);
    e->queue->tail = UINT32_MAX;
    assert_int_equal(executor_reader_next(&e->reader, &m), -EPROTO);
}

/* ---- Two threads ------------------------------------------------------------------------ */

#define EXCHANGES 200000u

/* One thread sends numbers, and the other sends them back. Each sleeps whenever it finds nothing,
 * so that at some time a sleep meets a write at every place. */
typedef struct Talk {
    Ends requests, answers;
} Talk;

static void wait_for_event(const Ends *e)
{
    struct pollfd p = {.fd = e->writer.event, .events = POLLIN};

    if (poll(&p, 1, TIMEOUT_MSEC) != 1)
        abort(); /* nobody was woken for a message */
    (void) events(e);
}

static uint64_t take_number(Ends *e)
{
    const ExecutorMessage *m;
    uint64_t number;

    while (executor_reader_next(&e->reader, &m) == 0)
        if (executor_reader_sleep(&e->reader) == 0)
            wait_for_event(e);
    memcpy(&number, m->payload, sizeof(number));
    if (number != m->header.tag)
        abort();
    executor_reader_pop(&e->reader);
    return number;
}

static void give_number(Ends *e, uint64_t number, bool flush)
{
    ExecutorMessage *m = executor_writer_begin(&e->writer);

    m->header.tag = number;
    memcpy(m->payload, &number, sizeof(number));
    if (flush)
        executor_writer_flush(&e->writer);
}

static void *answer(void *data)
{
    Talk *t = data;

    for (uint64_t i = 0; i < EXCHANGES; i++) {
        give_number(&t->answers, take_number(&t->requests), true);
        if (i % 1000 == 0)
            sched_yield();
    }
    return NULL;
}

TEST(test_two_threads)
{
    uint64_t sent = 0, received = 0, seed = 1;
    pthread_t thread;
    Talk t;

    open_ends(&t.requests, UINT32_MAX - EXCHANGES / 2);
    open_ends(&t.answers, 7);
    assert_int_equal(pthread_create(&thread, NULL, answer, &t), 0);
    while (received < EXCHANGES) {
        unsigned n;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        n = (unsigned) (seed >> 33) % (EXECUTOR_QUEUE_LENGTH + 1);
        for (; sent < EXCHANGES && sent - received < n; sent++)
            give_number(&t.requests, sent, sent % 3 == 0);
        executor_writer_flush(&t.requests.writer);
        if (sent > received)
            assert_int_equal(take_number(&t.answers), received++);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    close_ends(&t.requests);
    close_ends(&t.answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_at_every_position),
        cmocka_unit_test_setup_teardown(test_wakes_who_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_positions, setup, teardown),
        cmocka_unit_test(test_two_threads),
    };

    return cmocka_run_group_tests_name("executor-queue", tests, NULL, NULL);
}

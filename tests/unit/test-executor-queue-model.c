/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the writer and the reader of an executor's queue wake each other, as a model like that of
 * test-ring-model.c. The search goes through every order in which their accesses can happen, on a
 * machine that keeps each side's stores in a buffer, in order, while its later loads go ahead
 * (x86's). Here both sides store the flag: the reader that wants to be woken, and the writer that
 * has seen it. The reader may also be woken by something else.
 *
 * No lost wake-up may be reachable. Without either barrier, without the second look, or where the
 * writer takes the flag back only after the event, one must be reachable.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "test-model.h"
#include "test.h"

#define N_MESSAGES 4
#define N_OTHERS 2 /* other events that wake the reader */

typedef struct Rules {
    bool writer_barrier;
    bool reader_barrier;
    bool second_look;
    bool clears_first;
} Rules;

/* What each side does next */
enum { SHOW, BARRIER, CHECK, CLEAR, WAKE, CLEAR_LATE, WRITTEN };
enum { LOOK, ASK, ASK_BARRIER, LOOK_AGAIN, SLEEP };

typedef struct State {
    uint8_t writer, reader;
    uint8_t shown, tail; /* what the writer has shown; and the tail that the reader sees */
    uint8_t seen;        /* what the reader has seen */
    bool wants;          /* the flag that both see */
    bool clear_buffered; /* in the writer's buffer, behind the tail */
    bool ask_buffered;   /* in the reader's buffer */
    bool event;
    uint8_t others;
} State;

/* ---- One access at a time: each returns false where it cannot be taken ------------------- */

static bool writer_buffer_is_empty(const State *s)
{
    return s->tail == s->shown && !s->clear_buffered;
}

static bool drain_writer(State *s)
{
    if (s->tail != s->shown)
        s->tail = s->shown;
    else if (s->clear_buffered)
        s->clear_buffered = s->wants = false;
    else
        return false;
    return true;
}

static bool drain_reader(State *s)
{
    if (!s->ask_buffered)
        return false;
    s->ask_buffered = false;
    s->wants = true;
    return true;
}

static uint8_t next_message(const State *s)
{
    return s->shown == N_MESSAGES ? WRITTEN : SHOW;
}

static bool step_writer(const Rules *rules, State *s)
{
    switch (s->writer) {
    case SHOW:
        if (s->clear_buffered)
            return false; /* the model's buffer has one place for each store, which must drain first
                           */
        s->shown++;
        s->writer = rules->writer_barrier ? BARRIER : CHECK;
        return true;
    case BARRIER:
        if (!writer_buffer_is_empty(s))
            return false;
        s->writer = CHECK;
        return true;
    case CHECK:
        if (!s->wants)
            s->writer = next_message(s);
        else
            s->writer = rules->clears_first ? CLEAR : WAKE;
        return true;
    case CLEAR:
        s->clear_buffered = true;
        s->writer = WAKE;
        return true;
    case WAKE: /* which is a system call, and so a barrier */
        if (!writer_buffer_is_empty(s))
            return false;
        s->event = true;
        s->writer = rules->clears_first ? next_message(s) : CLEAR_LATE;
        return true;
    case CLEAR_LATE:
        s->clear_buffered = true;
        s->writer = next_message(s);
        return true;
    default:
        return false;
    }
}

static bool step_reader(const Rules *rules, State *s)
{
    switch (s->reader) {
    case LOOK:
        if (s->seen != s->tail)
            s->seen = s->tail;
        else
            s->reader = ASK;
        return true;
    case ASK:
        s->ask_buffered = true;
        s->reader = rules->reader_barrier ? ASK_BARRIER : LOOK_AGAIN;
        return true;
    case ASK_BARRIER:
        if (s->ask_buffered)
            return false;
        s->reader = LOOK_AGAIN;
        return true;
    case LOOK_AGAIN:
        s->reader = rules->second_look && s->seen != s->tail ? LOOK : SLEEP;
        return true;
    case SLEEP:
        if (!s->event)
            return false;
        s->event = false;
        s->reader = LOOK;
        return true;
    default:
        return false;
    }
}

/* Something else wakes the reader: a job ends, or the socket has a window. */
static bool wake_reader(State *s)
{
    if (s->reader != SLEEP || s->others == N_OTHERS)
        return false;
    s->others++;
    s->reader = LOOK;
    return true;
}

static bool step(const void *rules, unsigned which, void *state)
{
    switch (which) {
    case 0:
        return step_writer(rules, state);
    case 1:
        return step_reader(rules, state);
    case 2:
        return drain_writer(state);
    case 3:
        return drain_reader(state);
    default:
        return wake_reader(state);
    }
}

static bool is_lost(const void *state)
{
    const State *s = state;

    return s->seen != s->shown;
}

/* All steps happen in the end, but for the other events. */
static const Model model = {
    .state_size = sizeof(State), .n_steps = 5, .n_sure = 4, .step = step, .is_bad = is_lost};

static bool can_lose(Rules rules)
{
    State first;

    memset(&first, 0, sizeof(first)); /* padding too: states are compared as bytes */
    return model_can_go_wrong(&model, &rules, &first);
}

/* ---- The tests ------------------------------------------------------------------------------ */

TEST(test_no_wake_up_is_lost)
{
    assert_false(can_lose((Rules){true, true, true, true}));
}

TEST(test_each_part_is_needed)
{
    assert_true(can_lose((Rules){false, true, true, true}));
    assert_true(can_lose((Rules){true, false, true, true}));
    assert_true(can_lose((Rules){true, true, false, true}));
    assert_true(can_lose((Rules){true, true, true, false}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_wake_up_is_lost),
        cmocka_unit_test(test_each_part_is_needed),
    };

    return cmocka_run_group_tests_name("executor-queue-model", tests, NULL, NULL);
}

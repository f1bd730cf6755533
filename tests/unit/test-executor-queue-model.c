/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How writer and reader of an executor's queue wake each other, as a model like that of
 * test-ring-model.c: every order in which their accesses can happen, on a machine that keeps
 * each side's stores in a buffer, in order, while its later loads go ahead (x86's). Here both
 * sides store the flag: the reader that wants to be woken, and the writer that has seen it.
 * The reader may also be woken by something else.
 *
 * No lost wake-up may be reachable; and without either barrier, without the second look, or
 * where the writer takes the flag back only after the event, one must be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_MESSAGES 4
#define N_OTHERS 2 /* other events that wake the reader */

typedef struct Rules {
    bool writer_barrier;
    bool reader_barrier;
    bool second_look;
    bool clears_first;
} Rules;

/* What each side does next. */
enum { SHOW, BARRIER, CHECK, CLEAR, WAKE, CLEAR_LATE, WRITTEN };
enum { LOOK, ASK, ASK_BARRIER, LOOK_AGAIN, SLEEP };

typedef struct State {
    uint8_t writer, reader;
    uint8_t shown, tail; /* by the writer; and as visible to the reader */
    uint8_t seen;        /* by the reader */
    bool wants;          /* as visible to both */
    bool clear_buffered; /* behind the tail, in the writer's buffer */
    bool ask_buffered;   /* in the reader's */
    bool event;
    uint8_t others;
} State;

typedef struct Search {
    Rules rules;
    State *visited;
    size_t n, room;
    bool lost; /* a wake-up */
} Search;

static bool is_new(Search *s, const State *state)
{
    for (size_t i = 0; i < s->n; i++)
        if (memcmp(&s->visited[i], state, sizeof(*state)) == 0)
            return false;
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 1024;
        s->visited = realloc(s->visited, s->room * sizeof(*state));
        assert_non_null(s->visited);
    }
    s->visited[s->n++] = *state;
    return true;
}

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

static bool step_writer(const Search *search, State *s)
{
    switch (s->writer) {
    case SHOW:
        if (s->clear_buffered)
            return false; /* one place in the model's buffer for each store; it drains */
        s->shown++;
        s->writer = search->rules.writer_barrier ? BARRIER : CHECK;
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
            s->writer = search->rules.clears_first ? CLEAR : WAKE;
        return true;
    case CLEAR:
        s->clear_buffered = true;
        s->writer = WAKE;
        return true;
    case WAKE: /* a system call, and so a barrier */
        if (!writer_buffer_is_empty(s))
            return false;
        s->event = true;
        s->writer = search->rules.clears_first ? next_message(s) : CLEAR_LATE;
        return true;
    case CLEAR_LATE:
        s->clear_buffered = true;
        s->writer = next_message(s);
        return true;
    default:
        return false;
    }
}

static bool step_reader(const Search *search, State *s)
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
        s->reader = search->rules.reader_barrier ? ASK_BARRIER : LOOK_AGAIN;
        return true;
    case ASK_BARRIER:
        if (s->ask_buffered)
            return false;
        s->reader = LOOK_AGAIN;
        return true;
    case LOOK_AGAIN:
        s->reader = search->rules.second_look && s->seen != s->tail ? LOOK : SLEEP;
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

/* Something else happens: a job ends, or the socket has a window. */
static bool wake_reader(State *s)
{
    if (s->reader != SLEEP || s->others == N_OTHERS)
        return false;
    s->others++;
    s->reader = LOOK;
    return true;
}

static bool step_any(const Search *search, unsigned which, State *s)
{
    switch (which) {
    case 0:
        return step_writer(search, s);
    case 1:
        return step_reader(search, s);
    case 2:
        return drain_writer(s);
    case 3:
        return drain_reader(s);
    default:
        return wake_reader(s);
    }
}

/* Of other events there may be none, so that they do not count as a way on. */
static void explore(Search *search, const State *state)
{
    bool final = true;

    if (!is_new(search, state))
        return;
    for (unsigned which = 0; which < 5; which++) {
        State next = *state;

        if (!step_any(search, which, &next))
            continue;
        if (which < 4)
            final = false;
        explore(search, &next);
    }
    if (final && state->seen != state->shown)
        search->lost = true;
}

static bool can_lose(Rules rules)
{
    Search search = {.rules = rules};
    State first;

    memset(&first, 0, sizeof(first)); /* padding too: states are compared as bytes */
    explore(&search, &first);
    free(search.visited);
    return search.lost;
}

/* ---- The tests ------------------------------------------------------------------------------ */

static void test_no_wake_up_is_lost(void **state)
{
    (void) state;
    assert_false(can_lose((Rules){true, true, true, true}));
}

static void test_each_part_is_needed(void **state)
{
    (void) state;
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

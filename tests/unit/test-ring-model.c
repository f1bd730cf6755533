/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The protocol by which two sides of a ring wake each other, as a model: every order in
 * which their accesses to memory can happen is tried, on a machine whose stores may
 * stay in a buffer while later loads go ahead (as on x86, and the one reordering that matters
 * here). No lost wake-up may be reachable; and without either barrier, or without the second
 * look, one must be, or the model would prove nothing.
 *
 * The producer is the guest with sq_tail and the doorbell, or the mediator with cq_tail and the
 * interrupt; the consumer is the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vgpu-ring.h"

#define N_ITEMS 4

typedef struct Rules {
    bool producer_barrier;
    bool consumer_barrier;
    bool second_look;
    unsigned burst; /* items that become visible with one move of the index */
} Rules;

/* What each side does next. */
enum { MOVE, BARRIER, CHECK, PRODUCED };
enum { LOOK, ASK, ASK_BARRIER, LOOK_AGAIN, SLEEP };

typedef struct State {
    uint8_t producer, consumer;
    bool tail_buffered, event_buffered; /* stored, and not visible yet */
    bool signalled;
    uint32_t tail, event;         /* as visible to the other side */
    uint32_t own_tail, own_event; /* as the side itself has them */
    uint32_t before;              /* own_tail at the last check of the event */
    uint32_t seen;                /* by the consumer */
} State;

/* Depth first; states are few, and remembered. */
typedef struct Search {
    Rules rules;
    uint32_t begin;
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

static bool drain_tail(State *s)
{
    if (!s->tail_buffered)
        return false;
    s->tail = s->own_tail;
    s->tail_buffered = false;
    return true;
}

static bool drain_event(State *s)
{
    if (!s->event_buffered)
        return false;
    s->event = s->own_event;
    s->event_buffered = false;
    return true;
}

static bool step_producer(const Search *search, State *s)
{
    switch (s->producer) {
    case MOVE:
        s->before = s->own_tail;
        s->own_tail += search->rules.burst;
        s->tail_buffered = true;
        s->producer = search->rules.producer_barrier ? BARRIER : CHECK;
        return true;
    case BARRIER:
        if (s->tail_buffered)
            return false;
        s->producer = CHECK;
        return true;
    case CHECK:
        if (vgpu_ring_must_notify(s->event, s->own_tail, s->before))
            s->signalled = true;
        s->producer = s->own_tail - search->begin >= N_ITEMS ? PRODUCED : MOVE;
        return true;
    default:
        return false;
    }
}

static bool step_consumer(const Search *search, State *s)
{
    switch (s->consumer) {
    case LOOK:
        if (s->seen != s->tail)
            s->seen = s->tail;
        else
            s->consumer = ASK;
        return true;
    case ASK:
        s->own_event = s->seen;
        s->event_buffered = true;
        s->consumer = search->rules.consumer_barrier ? ASK_BARRIER : LOOK_AGAIN;
        return true;
    case ASK_BARRIER:
        if (s->event_buffered)
            return false;
        s->consumer = LOOK_AGAIN;
        return true;
    case LOOK_AGAIN:
        s->consumer = search->rules.second_look && s->seen != s->tail ? LOOK : SLEEP;
        return true;
    case SLEEP:
        if (!s->signalled)
            return false;
        s->signalled = false;
        s->consumer = LOOK;
        return true;
    default:
        return false;
    }
}

static bool step_any(const Search *search, unsigned which, State *s)
{
    switch (which) {
    case 0:
        return step_producer(search, s);
    case 1:
        return step_consumer(search, s);
    case 2:
        return drain_tail(s);
    default:
        return drain_event(s);
    }
}

/* Stores leave their buffer in the end: a state is final when no step of any kind is left. */
static void explore(Search *search, const State *state)
{
    bool final = true;

    if (!is_new(search, state))
        return;
    for (unsigned which = 0; which < 4; which++) {
        State next = *state;

        if (!step_any(search, which, &next))
            continue;
        final = false;
        explore(search, &next);
    }
    if (final && state->seen != state->own_tail)
        search->lost = true;
}

static bool can_lose(Rules rules, uint32_t begin)
{
    Search search = {.rules = rules, .begin = begin};
    State first;

    memset(&first, 0, sizeof(first)); /* padding too: states are compared as bytes */
    first.tail = first.event = first.own_tail = first.own_event = begin;
    first.before = first.seen = begin;
    explore(&search, &first);
    free(search.visited);
    return search.lost;
}

/* ---- The tests ------------------------------------------------------------------------------ */

static void test_no_wake_up_is_lost(void **state)
{
    (void) state;
    for (uint32_t begin = 0u - N_ITEMS; begin != 2; begin++)
        for (unsigned burst = 1; burst <= N_ITEMS; burst++)
            assert_false(can_lose((Rules){true, true, true, burst}, begin));
}

static void test_each_part_is_needed(void **state)
{
    (void) state;
    assert_true(can_lose((Rules){false, true, true, 1}, 0));
    assert_true(can_lose((Rules){true, false, true, 1}, 0));
    assert_true(can_lose((Rules){true, true, false, 1}, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_wake_up_is_lost),
        cmocka_unit_test(test_each_part_is_needed),
    };

    return cmocka_run_group_tests_name("ring-model", tests, NULL, NULL);
}

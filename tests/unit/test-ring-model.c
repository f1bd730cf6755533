/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the two sides of a ring wake each other, as a model. The search goes through every order in
 * which their accesses to memory can happen, on a machine whose stores may stay in a buffer while
 * later loads go ahead: that is x86's reordering, and the one that matters here. No lost wake-up
 * may be reachable. Without either barrier, or without the second look, one must be reachable, or
 * the model would prove nothing.
 *
 * The producer is the guest with sq_tail and the doorbell, or the mediator with cq_tail and the
 * interrupt; the consumer is the other.
 */
#include <string.h>

#include "test-model.h"
#include "test.h"
#include "vgpu-ring.h"

#define N_ITEMS 4

typedef struct Rules {
    bool producer_barrier;
    bool consumer_barrier;
    bool second_look;
    unsigned burst; /* items that become visible with one move of the index */
    uint32_t begin; /* where the indices begin */
} Rules;

/* What each side does next */
enum { MOVE, BARRIER, CHECK, PRODUCED };
enum { LOOK, ASK, ASK_BARRIER, LOOK_AGAIN, SLEEP };

typedef struct State {
    uint8_t producer, consumer;
    bool tail_buffered, event_buffered; /* stored, and not visible yet */
    bool signalled;
    uint32_t tail, event;         /* as the other side sees them */
    uint32_t own_tail, own_event; /* as the side itself has them */
    uint32_t before;              /* own_tail at the last check of the event */
    uint32_t seen;                /* items that the consumer has seen */
} State;

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

static bool step_producer(const Rules *rules, State *s)
{
    switch (s->producer) {
    case MOVE:
        s->before = s->own_tail;
        s->own_tail += rules->burst;
        s->tail_buffered = true;
        s->producer = rules->producer_barrier ? BARRIER : CHECK;
        return true;
    case BARRIER:
        if (s->tail_buffered)
            return false;
        s->producer = CHECK;
        return true;
    case CHECK:
        if (vgpu_ring_must_notify(s->event, s->own_tail, s->before))
            s->signalled = true;
        s->producer = s->own_tail - rules->begin >= N_ITEMS ? PRODUCED : MOVE;
        return true;
    default:
        return false;
    }
}

static bool step_consumer(const Rules *rules, State *s)
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
        s->consumer = rules->consumer_barrier ? ASK_BARRIER : LOOK_AGAIN;
        return true;
    case ASK_BARRIER:
        if (s->event_buffered)
            return false;
        s->consumer = LOOK_AGAIN;
        return true;
    case LOOK_AGAIN:
        s->consumer = rules->second_look && s->seen != s->tail ? LOOK : SLEEP;
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

static bool step(const void *rules, unsigned which, void *state)
{
    switch (which) {
    case 0:
        return step_producer(rules, state);
    case 1:
        return step_consumer(rules, state);
    case 2:
        return drain_tail(state);
    default:
        return drain_event(state);
    }
}

static bool is_lost(const void *state)
{
    const State *s = state;

    return s->seen != s->own_tail;
}

/* Stores leave their buffer in the end, so all steps are sure to happen. */
static const Model model = {
    .state_size = sizeof(State), .n_steps = 4, .n_sure = 4, .step = step, .is_bad = is_lost};

static bool can_lose(Rules rules)
{
    State first;

    memset(&first, 0, sizeof(first)); /* padding too: states are compared as bytes */
    first.tail = first.event = first.own_tail = first.own_event = rules.begin;
    first.before = first.seen = rules.begin;
    return model_can_go_wrong(&model, &rules, &first);
}

/* ---- The tests ------------------------------------------------------------------------------ */

TEST(test_no_wake_up_is_lost)
{
    for (uint32_t begin = 0u - N_ITEMS; begin != 2; begin++)
        for (unsigned burst = 1; burst <= N_ITEMS; burst++)
            assert_false(can_lose((Rules){true, true, true, burst, begin}));
}

TEST(test_each_part_is_needed)
{
    assert_true(can_lose((Rules){false, true, true, 1, 0}));
    assert_true(can_lose((Rules){true, false, true, 1, 0}));
    assert_true(can_lose((Rules){true, true, false, 1, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_wake_up_is_lost),
        cmocka_unit_test(test_each_part_is_needed),
    };

    return cmocka_run_group_tests_name("ring-model", tests, NULL, NULL);
}

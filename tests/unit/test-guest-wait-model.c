/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How threads that wait on one ring share the sleep on its descriptor (guest/lib/ring.h,
 * "Threads"), as a model: every order is tried in which threads begin to wait, sleep, wake and give
 * up, another thread polls, and the host completes requests and interrupts. No thread may be left
 * asleep whose requests are complete; and without any one part of the protocol one must be, or the
 * model would prove nothing.
 *
 * That the two sides of the ring see each other's accesses in order is test-ring-model.c's to show.
 */
#include <string.h>

#include "test-model.h"
#include "test.h"

#define N_THREADS 3
#define N_REQUESTS 3
#define NONE 255

typedef struct Rules {
    uint8_t wants[N_THREADS]; /* a bit for each request; 0: the thread does not take part */
    bool times_out[N_THREADS];
    bool polls; /* does yet another thread poll? */
    bool fails; /* and may it find that the ring has ended? */

    bool look_after_arming;
    bool ender_wakes;    /* who ends the wait of a leader that sleeps wakes it */
    bool follower_wakes; /* who begins to follow wakes a leader that has armed for a later one */
    bool leader_passes_on;
} Rules;

/* What a thread does next. It has the lock from ARM to the sleep, and in LEAVE. */
enum { BEGIN, ARM, LOOK, SLEEP, WOKEN, LEAVE, FOLLOW, OVER };

typedef struct State {
    uint8_t wants[N_THREADS];
    uint8_t next[N_THREADS];
    uint8_t signalled[N_THREADS]; /* a follower's condition */
    uint8_t touched[N_THREADS];   /* of one that waits for several: one of any has ended */
    uint8_t gave_up[N_THREADS];
    uint8_t lock, leader; /* a thread, or NONE */
    uint8_t armed;        /* as in struct vgpu_ring */
    uint8_t wake_fd, interrupt;

    uint8_t order[N_REQUESTS]; /* of the completions */
    uint8_t tail, head, event; /* of the ring: an event of NONE is far away */
    uint8_t unchecked;         /* has the host yet to look at the event? */
    uint8_t failed;            /* then all requests have ended */
} State;

/* ---- The library ------------------------------------------------------------------------- */

/* The first @n completions, and what has ended with the ring. */
static unsigned mask_of(const State *s, unsigned n)
{
    unsigned mask = s->failed ? UINT8_MAX : 0;

    for (unsigned i = 0; i < n; i++)
        mask |= 1u << s->order[i];
    return mask;
}

static unsigned ended(const State *s)
{
    return mask_of(s, s->head);
}

static bool wants_several(const State *s, unsigned t)
{
    return (s->wants[t] & (s->wants[t] - 1)) != 0;
}

/* Of one that waits for several: it leaves to count anew, and then perhaps waits again. */
static bool is_over(const State *s, unsigned t)
{
    return wants_several(s, t) ? s->touched[t] : (s->wants[t] & ~ended(s)) == 0;
}

static bool is_waiting(const State *s, unsigned t)
{
    return s->next[t] != BEGIN && s->next[t] != OVER;
}

static void wake(const Rules *rules, State *s, unsigned t)
{
    if (s->leader != t) {
        s->signalled[t] = true;
    } else if (s->armed > 0 && rules->ender_wakes) {
        s->armed = 0;
        s->wake_fd = true;
    }
}

/* Requests end, as @head and @failed say from now on: wake those whose wait is over by that. */
static void end(const Rules *rules, State *s, uint8_t head, uint8_t failed)
{
    bool was_over[N_THREADS];

    for (unsigned t = 0; t < N_THREADS; t++)
        was_over[t] = is_over(s, t);
    s->head = head;
    s->failed = failed;
    for (unsigned t = 0; t < N_THREADS; t++)
        if (is_waiting(s, t)) {
            s->touched[t] = true;
            if (!was_over[t] && is_over(s, t))
                wake(rules, s, t);
        }
}

/* Take completions from the ring. */
static bool harvest(const Rules *rules, State *s)
{
    if (s->failed || s->head == s->tail)
        return false;
    end(rules, s, s->tail, false);
    return true;
}

static bool has_followers(const State *s)
{
    unsigned n = 0;

    for (unsigned t = 0; t < N_THREADS; t++)
        n += is_waiting(s, t);
    return n > 1;
}

static void begin(const Rules *rules, State *s, unsigned t)
{
    harvest(rules, s);
    if ((s->wants[t] & ~ended(s)) == 0) {
        s->next[t] = OVER;
        return;
    }

    s->touched[t] = s->signalled[t] = false;
    if (s->leader == NONE) {
        s->leader = (uint8_t) t;
        s->lock = (uint8_t) t;
        s->next[t] = ARM;
        return;
    }
    s->next[t] = FOLLOW;
    if (s->armed > 1 && rules->follower_wakes) {
        s->armed = 0;
        s->wake_fd = true;
    }
}

static void arm(State *s, unsigned t)
{
    unsigned wanted = (unsigned) __builtin_popcount(s->wants[t] & ~ended(s));

    s->armed = has_followers(s) ? 1 : (uint8_t) wanted;
    s->event = s->head + s->armed - 1;
    s->next[t] = LOOK;
}

static void look(const Rules *rules, State *s, unsigned t)
{
    uint8_t armed = s->armed;

    s->armed = 0; /* awake */
    if (rules->look_after_arming && harvest(rules, s)) {
        s->next[t] = is_over(s, t) ? LEAVE : ARM;
        return;
    }
    s->armed = armed;
    s->next[t] = SLEEP;
    s->lock = NONE;
}

static void leave(const Rules *rules, State *s, unsigned t)
{
    s->event = NONE;
    s->leader = NONE;
    s->lock = NONE;
    s->next[t] = s->gave_up[t] ? OVER : BEGIN; /* where it finds out whether that was all */
    for (unsigned other = 0; other < N_THREADS && rules->leader_passes_on; other++)
        if (s->next[other] == FOLLOW && !is_over(s, other)) {
            wake(rules, s, other);
            s->leader = (uint8_t) other;
            break;
        }
}

/* A follower is awake. */
static void follow(State *s, unsigned t)
{
    s->signalled[t] = false;
    if (s->leader == t) {
        s->lock = (uint8_t) t;
        s->next[t] = is_over(s, t) || s->gave_up[t] ? LEAVE : ARM;
    } else if (is_over(s, t)) {
        s->next[t] = BEGIN;
    } else if (s->gave_up[t]) {
        s->next[t] = OVER;
    }
}

/* ---- One step at a time: each returns false where it cannot be taken ---------------------------
 */

static bool step_thread(const Rules *rules, unsigned t, State *s)
{
    if (s->lock != NONE && s->lock != t && s->next[t] != SLEEP)
        return false;

    switch (s->next[t]) {
    case BEGIN:
        begin(rules, s, t);
        return true;
    case ARM:
        arm(s, t);
        return true;
    case LOOK:
        look(rules, s, t);
        return true;
    case SLEEP:
        if (!s->interrupt && !s->wake_fd && !s->gave_up[t])
            return false;
        s->interrupt = s->wake_fd = false;
        s->next[t] = WOKEN;
        return true;
    case WOKEN:
        s->lock = (uint8_t) t;
        s->armed = 0;
        harvest(rules, s);
        s->next[t] = is_over(s, t) || s->gave_up[t] ? LEAVE : ARM;
        return true;
    case LEAVE:
        leave(rules, s, t);
        return true;
    case FOLLOW:
        if (!s->signalled[t] && !s->gave_up[t])
            return false;
        follow(s, t);
        return true;
    default:
        return false;
    }
}

static bool step_time_out(const Rules *rules, unsigned t, State *s)
{
    if (!rules->times_out[t] || s->gave_up[t] || (s->next[t] != SLEEP && s->next[t] != FOLLOW))
        return false;
    s->gave_up[t] = true;
    return true;
}

static bool step_poll(const Rules *rules, State *s)
{
    return rules->polls && s->lock == NONE && harvest(rules, s);
}

static bool step_fail(const Rules *rules, State *s)
{
    if (!rules->fails || s->lock != NONE || s->failed)
        return false;
    end(rules, s, s->head, true);
    return true;
}

static bool step_check(State *s)
{
    if (!s->unchecked)
        return false;
    s->unchecked = false;
    if (s->event == s->tail - 1)
        s->interrupt = true;
    return true;
}

static bool step_complete(State *s, unsigned request)
{
    if (s->unchecked)
        return false;
    for (unsigned i = 0; i < s->tail; i++)
        if (s->order[i] == request)
            return false;
    s->order[s->tail++] = (uint8_t) request;
    s->unchecked = true;
    return true;
}

enum {
    THREADS = 0,
    CHECK = THREADS + N_THREADS,
    N_SURE,
    COMPLETIONS = N_SURE,
    TIME_OUTS = COMPLETIONS + N_REQUESTS,
    POLL = TIME_OUTS + N_THREADS,
    FAILURE,
    N_STEPS,
};

static bool step(const void *rules, unsigned which, void *state)
{
    if (which < CHECK)
        return step_thread(rules, which - THREADS, state);
    if (which == CHECK)
        return step_check(state);
    if (which < TIME_OUTS)
        return step_complete(state, which - COMPLETIONS);
    if (which < POLL)
        return step_time_out(rules, which - TIME_OUTS, state);
    return which == POLL ? step_poll(rules, state) : step_fail(rules, state);
}

/* A thread sleeps for ever, and all that it waits for is complete. */
static bool is_lost(const void *state)
{
    const State *s = state;
    unsigned complete = mask_of(s, s->tail);

    for (unsigned t = 0; t < N_THREADS; t++)
        if (s->next[t] != OVER && (s->wants[t] & ~complete) == 0)
            return true;
    return false;
}

static const Model model = {.state_size = sizeof(State),
                            .n_steps = N_STEPS,
                            .n_sure = N_SURE,
                            .step = step,
                            .is_bad = is_lost};

static bool can_lose(Rules rules)
{
    State first;

    memset(&first, 0, sizeof(first));
    first.lock = first.leader = first.event = NONE;
    for (unsigned t = 0; t < N_THREADS; t++) {
        first.wants[t] = rules.wants[t];
        first.next[t] = rules.wants[t] ? BEGIN : OVER;
    }
    return model_can_go_wrong(&model, &rules, &first);
}

/* ---- The tests ------------------------------------------------------------------------------ */

#define WHOLE_PROTOCOL \
    .look_after_arming = true, .ender_wakes = true, .follower_wakes = true, .leader_passes_on = true

TEST(test_each_for_its_own)
{
    assert_false(can_lose((Rules){.wants = {1, 2, 4}, WHOLE_PROTOCOL}));
    assert_false(can_lose((Rules){.wants = {1, 2, 0}, .polls = true, WHOLE_PROTOCOL}));
}

TEST(test_time_outs)
{
    assert_false(can_lose((Rules){.wants = {1, 2, 4}, .times_out = {true}, WHOLE_PROTOCOL}));
    assert_false(can_lose((Rules){.wants = {1, 2, 4}, .times_out = {true, true}, WHOLE_PROTOCOL}));
}

TEST(test_one_for_several)
{
    assert_false(can_lose((Rules){.wants = {3, 4, 0}, .polls = true, WHOLE_PROTOCOL}));
    assert_false(can_lose((Rules){.wants = {3, 4, 0}, .times_out = {true, true}, WHOLE_PROTOCOL}));
}

TEST(test_a_ring_that_ends)
{
    assert_false(can_lose((Rules){.wants = {1, 2, 4}, .fails = true, WHOLE_PROTOCOL}));
    assert_false(can_lose((Rules){.wants = {3, 4, 0}, .fails = true, WHOLE_PROTOCOL}));
}

TEST(test_each_part_is_needed)
{
    Rules rules = {.wants = {1, 2, 0}, WHOLE_PROTOCOL};

    rules.look_after_arming = false;
    assert_true(can_lose(rules));

    rules = (Rules){.wants = {1, 2, 0}, WHOLE_PROTOCOL};
    rules.leader_passes_on = false;
    assert_true(can_lose(rules));

    rules = (Rules){.wants = {3, 4, 0}, WHOLE_PROTOCOL};
    rules.follower_wakes = false;
    assert_true(can_lose(rules));

    rules = (Rules){.wants = {1, 0, 0}, .fails = true, WHOLE_PROTOCOL};
    rules.ender_wakes = false;
    assert_true(can_lose(rules));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_for_its_own),    cmocka_unit_test(test_time_outs),
        cmocka_unit_test(test_one_for_several),     cmocka_unit_test(test_a_ring_that_ends),
        cmocka_unit_test(test_each_part_is_needed),
    };

    return cmocka_run_group_tests_name("guest-wait-model", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ageing, held against the bounds that scheduler.h states */
#include <stdlib.h>
#include <string.h>

#include "test-scheduler-device.h"
#include "test.h"

#define CLIENTS 9 /* a third of them at each priority */
#define JOBS 120
#define PICKS 2000
#define SEEDS 100

/* What the test knows about a job, by its own counting */
typedef struct Wait {
    Job job;          /* first */
    unsigned place;   /* in the queue of its priority, when it was pushed */
    uint64_t chances; /* picks since then at which there was a place for it */
    bool due;
    uint64_t due_chances, due_level; /* these, and picks of its priority, when it came to be due */
} Wait;

typedef struct World {
    Device device;
    SchedClient clients[CLIENTS];
    Wait waits[JOBS];
    uint64_t limit_usec, longest_usec;
    unsigned load[VGPU_N_PRIORITIES]; /* percent: how likely a free job is pushed */
    uint64_t pool_picks, level_picks[VGPU_N_PRIORITIES];
    unsigned running[VGPU_N_PRIORITIES];
    unsigned passed_over[VGPU_N_PRIORITIES]; /* picks in a row while due */
    bool two_due[VGPU_N_PRIORITIES]; /* at one of these picks, low and medium were both due */
    bool overtook;
} World;

static void begin(World *w, unsigned places, SchedPolicy policy, uint64_t limit_usec)
{
    memset(w, 0, sizeof(*w));
    device_init(&w->device, places);
    scheduler_set_policy(&w->device.scheduler, policy);
    w->device.scheduler.starvation_limit_usec = w->limit_usec = limit_usec;
    for (unsigned i = 0; i < CLIENTS; i++)
        sched_client_init(&w->clients[i], UINT32_MAX);
}

/* One at least, and all but so many. */
static unsigned all_but(const World *w, unsigned n)
{
    return w->device.scheduler.max_running > n ? w->device.scheduler.max_running - n : 1;
}

/* The places that a priority may take, together with those below it */
static unsigned places_of(const World *w, unsigned priority)
{
    return all_but(w, VGPU_PRIORITY_HIGH - priority);
}

static bool may_be_picked(const World *w, const Wait *x)
{
    unsigned running = 0;

    if (x->job.sched.state != SCHED_QUEUED || x->job.sched.client->held ||
        x->job.sched.client->n_running >= all_but(w, 1))
        return false;
    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++) {
        running += w->running[p];
        if (p >= x->job.sched.priority && running >= places_of(w, p))
            return false;
    }
    return true;
}

/* Counts a pick, for all that could have been picked. */
static void note_chances(World *w)
{
    for (unsigned i = 0; i < JOBS; i++)
        w->waits[i].chances += may_be_picked(w, &w->waits[i]);
}

/* Usec until the oldest request at @priority is due: 0 or less when it is, INT64_MAX when there
 * is none */
static int64_t until_due(const World *w, unsigned priority)
{
    int64_t least = INT64_MAX;

    for (unsigned i = 0; i < JOBS; i++) {
        const Wait *x = &w->waits[i];
        int64_t left = (int64_t) (x->job.sched.queued_at_usec + w->limit_usec - w->device.now_usec);

        if (may_be_picked(w, x) && x->job.sched.priority == priority && left < least)
            least = left;
    }
    return least;
}

static int highest_waiting(const World *w)
{
    int highest = -1;

    for (unsigned i = 0; i < JOBS; i++)
        if (may_be_picked(w, &w->waits[i]) && w->waits[i].job.sched.priority > highest)
            highest = w->waits[i].job.sched.priority;
    return highest;
}

/* Notes the requests that have come to be due by now. */
static void note_due(World *w)
{
    for (unsigned i = 0; i < JOBS; i++) {
        Wait *x = &w->waits[i];

        if (x->due || x->job.sched.state != SCHED_QUEUED ||
            w->device.now_usec < x->job.sched.queued_at_usec + w->limit_usec)
            continue;
        x->due = true;
        x->due_chances = x->chances;
        x->due_level = w->level_picks[x->job.sched.priority];
    }
}

/* Checks the bounds for a request that was due, in picks and in time. */
static void check_wait(const World *w, const Wait *x)
{
    unsigned priority = x->job.sched.priority, places = places_of(w, priority),
             b = w->load[VGPU_PRIORITY_MEDIUM] > 0 ? 2 : 1;
    uint64_t k = w->level_picks[priority] - x->due_level, picks = 2 * b * k,
             due_usec = x->job.sched.queued_at_usec + w->limit_usec;

    if (!x->due || priority == VGPU_PRIORITY_HIGH)
        return;
    require(x->chances - x->due_chances <= picks);
    require(w->device.now_usec - due_usec <= (picks + places - 1) / places * w->longest_usec);
}

/* Checks that the scheduler may pick from this priority now. */
static void check_priority(World *w, unsigned priority, unsigned highest, const bool *due)
{
    bool overtakes = priority < highest;

    require(priority <= highest);
    require(!overtakes || due[priority]);
    require(!overtakes || !w->overtook);
    w->overtook = overtakes;

    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++) {
        if (p == priority || w->device.scheduler.depth[p] == 0) {
            w->passed_over[p] = 0;
            w->two_due[p] = false;
        }
        if (!due[p] || p == priority)
            continue;
        w->two_due[p] |= due[VGPU_PRIORITY_LOW] && due[VGPU_PRIORITY_MEDIUM];
        require(++w->passed_over[p] < (w->two_due[p] ? 4 : 2));
    }
}

static bool pick(World *w)
{
    bool due[VGPU_N_PRIORITIES];
    int highest = highest_waiting(w);
    unsigned priority;
    Wait *x;

    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++)
        due[p] = w->limit_usec != UINT64_MAX && until_due(w, p) <= 0;
    note_chances(w);
    x = (Wait *) device_pick(&w->device);
    require((x != NULL) == (highest >= 0));
    if (!x)
        return false;

    priority = x->job.sched.priority;
    w->running[priority]++;
    w->pool_picks++;
    w->level_picks[priority]++;
    check_priority(w, priority, (unsigned) highest, due);
    check_wait(w, x);
    if (priority == VGPU_PRIORITY_HIGH && w->device.scheduler.policy == SCHED_FIFO)
        require(x->chances <= 2 * (uint64_t) x->place);
    return true;
}

static void push_some(World *w)
{
    for (unsigned i = 0; i < JOBS; i++) {
        Wait *x = &w->waits[i];
        unsigned client = i % CLIENTS, priority = client % VGPU_N_PRIORITIES;

        if (x->job.sched.state != SCHED_IDLE || random_below(100) >= w->load[priority])
            continue;
        device_push(&w->device, &w->clients[client], &x->job, priority,
                    1 + random_below((uint32_t) w->longest_usec));
        x->place = w->device.scheduler.depth[priority];
        x->chances = 0;
        x->due = false;
    }
}

static void wait_for_end(World *w)
{
    const Job *ended = device_wait(&w->device);

    if (ended)
        w->running[ended->sched.priority]--;
    else
        w->device.now_usec += w->longest_usec;
}

static void run(World *w, unsigned n)
{
    for (uint64_t until = w->pool_picks + n; w->pool_picks < until;) {
        push_some(w);
        if (w->limit_usec != UINT64_MAX)
            note_due(w);
        while (pick(w))
            ;
        wait_for_end(w);
    }
}

/* ---- The bounds ------------------------------------------------------------------------- */

static void run_seeds(SchedPolicy policy, bool medium)
{
    static World w;

    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        random_seed(seed);
        begin(&w, 1 + random_below(6), policy, 1 + random_below(20000));
        w.longest_usec = 1 + random_below(1000);
        for (unsigned part = 0; part < 8; part++) {
            w.load[VGPU_PRIORITY_HIGH] = random_below(4) == 0 ? 100 : 1 + random_below(10);
            w.load[VGPU_PRIORITY_LOW] = random_below(20);
            w.load[VGPU_PRIORITY_MEDIUM] = medium ? 1 + random_below(20) : 0;
            run(&w, PICKS / 8);
        }
    }
}

TEST(test_bound_by_arrival)
{
    run_seeds(SCHED_FIFO, false);
}

TEST(test_bound_by_arrival_two_due)
{
    run_seeds(SCHED_FIFO, true);
}

TEST(test_bound_fair)
{
    run_seeds(SCHED_FAIR, false);
}

TEST(test_bound_fair_two_due)
{
    run_seeds(SCHED_FAIR, true);
}

/* ---- Either end ------------------------------------------------------------------------- */

static void flood(World *w, uint64_t limit_usec)
{
    random_seed(1);
    begin(w, 2, SCHED_FIFO, limit_usec);
    w->longest_usec = 100;
    w->load[VGPU_PRIORITY_HIGH] = w->load[VGPU_PRIORITY_LOW] = 50;
    run(w, PICKS);
    w->load[VGPU_PRIORITY_LOW] = 0;
    w->load[VGPU_PRIORITY_HIGH] = 100;
    run(w, PICKS);
}

/* Without a limit, lower priorities wait for as long as a higher one has requests. */
TEST(test_strict)
{
    static World w;
    uint64_t picked;

    flood(&w, UINT64_MAX);
    assert_true(w.device.scheduler.depth[VGPU_PRIORITY_LOW] > 0);
    picked = w.level_picks[VGPU_PRIORITY_LOW];
    run(&w, PICKS);
    assert_int_equal(w.level_picks[VGPU_PRIORITY_LOW], picked);
}

TEST(test_nobody_starves)
{
    static World w;

    flood(&w, 5000);
    assert_int_equal(w.device.scheduler.depth[VGPU_PRIORITY_LOW], 0);
}

/* However many requests are due, higher priorities lose at most every other pick. */
TEST(test_half_at_most)
{
    static World w;

    random_seed(1);
    begin(&w, 1, SCHED_FIFO, 1);
    w.longest_usec = 10;
    w.load[VGPU_PRIORITY_LOW] = w.load[VGPU_PRIORITY_MEDIUM] = w.load[VGPU_PRIORITY_HIGH] = 100;
    run(&w, 4000);
    assert_in_range(w.level_picks[VGPU_PRIORITY_HIGH], 1990, 2010);
    assert_in_range(w.level_picks[VGPU_PRIORITY_MEDIUM], 990, 1010);
    assert_in_range(w.level_picks[VGPU_PRIORITY_LOW], 990, 1010);
}

/* A held VM's requests are not due. When it is released, the time that they have waited counts. */
TEST(test_held)
{
    static World w;
    SchedClient *low = &w.clients[VGPU_PRIORITY_LOW], *high = &w.clients[VGPU_PRIORITY_HIGH];

    random_seed(1);
    begin(&w, 1, SCHED_FIFO, 1000);
    w.longest_usec = 10;
    sched_client_hold(low, true);
    device_push(&w.device, low, &w.waits[0].job, VGPU_PRIORITY_LOW, 10);
    w.device.now_usec += 5000;
    for (unsigned i = 1; i <= 6; i++)
        device_push(&w.device, high, &w.waits[i].job, VGPU_PRIORITY_HIGH, 10);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(device_pick(&w.device), &w.waits[1 + i].job);
        assert_non_null(device_wait(&w.device));
    }

    sched_client_hold(low, false);
    assert_ptr_equal(device_pick(&w.device), &w.waits[0].job);
    assert_non_null(device_wait(&w.device));
    assert_ptr_equal(device_pick(&w.device), &w.waits[4].job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound_by_arrival), cmocka_unit_test(test_bound_by_arrival_two_due),
        cmocka_unit_test(test_bound_fair),       cmocka_unit_test(test_bound_fair_two_due),
        cmocka_unit_test(test_strict),           cmocka_unit_test(test_nobody_starves),
        cmocka_unit_test(test_half_at_most),     cmocka_unit_test(test_held),
    };

    return cmocka_run_group_tests_name("scheduler-ageing", tests, NULL, NULL);
}

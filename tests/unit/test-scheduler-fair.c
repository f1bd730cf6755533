/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shares of a device under SCHED_FAIR, held against the bound that fair.h states */
#include <stdlib.h>
#include <string.h>

#include "test-scheduler-device.h"
#include "test.h"

#define CLIENTS_MAX 8
#define DEEP 1000 /* requests of one client outstanding */
#define SEEDS 300
#define PICKS 3000

typedef struct Client {
    SchedClient sched;
    Job *jobs;
    unsigned n_jobs; /* that it keeps outstanding, unless it is idle */
    uint64_t short_usec, long_usec;
    unsigned one_in;   /* requests is long */
    uint64_t arrivals; /* the next request that is picked arrived at this or later */
    double work;       /* usec of all that was picked */
    double longest;    /* usec, taken or estimated */
    unsigned n_picked;
    bool idle;
} Client;

typedef struct World {
    Device device;
    Client clients[CLIENTS_MAX];
    unsigned n_clients;
    /* The range of the difference in work / weight since both clients have been waiting */
    struct {
        bool open;
        double low, high;
    } pair[CLIENTS_MAX][CLIENTS_MAX];
} World;

static World w;

static void add_client(uint32_t weight, unsigned n_jobs, uint64_t usec)
{
    Client *c = &w.clients[w.n_clients];

    *c = (Client){.n_jobs = n_jobs, .short_usec = usec, .long_usec = usec, .one_in = 1};
    sched_client_init(&c->sched, UINT32_MAX);
    sched_client_set_weight(&c->sched, weight);
    c->jobs = calloc(n_jobs, sizeof(*c->jobs));
    assert_non_null(c->jobs);
    for (unsigned i = 0; i < n_jobs; i++)
        c->jobs[i].client = w.n_clients;
    w.n_clients++;
}

static void begin(unsigned places)
{
    memset(&w, 0, sizeof(w));
    device_init(&w.device, places);
    scheduler_set_policy(&w.device.scheduler, SCHED_FAIR);
}

static void end(void)
{
    for (unsigned i = 0; i < w.n_clients; i++)
        free(w.clients[i].jobs);
}

static void push(Client *c, Job *j)
{
    uint64_t usec = random_below(c->one_in) == 0 ? c->long_usec : c->short_usec;

    device_push(&w.device, &c->sched, j, VGPU_PRIORITY_MEDIUM, usec);
}

/* Pushes all of the client's jobs that are not outstanding. */
static void fill(Client *c)
{
    for (unsigned i = 0; i < c->n_jobs && !c->idle; i++)
        if (c->jobs[i].sched.state == SCHED_IDLE)
            push(c, &c->jobs[i]);
}

static double normalized(const Client *c)
{
    return c->work / c->sched.account.weight;
}

static double part(const Client *c)
{
    return c->longest / c->sched.account.weight;
}

static bool is_waiting(const Client *c)
{
    return c->sched.n_queued > 0 && !c->sched.held;
}

static void note_pair(unsigned i, unsigned k)
{
    const Client *f = &w.clients[i], *g = &w.clients[k];
    double difference = normalized(f) - normalized(g),
           bound = 2.0 * w.device.scheduler.max_running * (part(f) + part(g));

    if (!is_waiting(f) || !is_waiting(g)) {
        w.pair[i][k].open = false;
        return;
    }
    if (!w.pair[i][k].open)
        w.pair[i][k].low = w.pair[i][k].high = difference;
    w.pair[i][k].open = true;
    if (difference < w.pair[i][k].low)
        w.pair[i][k].low = difference;
    if (difference > w.pair[i][k].high)
        w.pair[i][k].high = difference;
    /* Rounding may add to the bound, at most this if it goes one way at every pick. */
    require(w.pair[i][k].high - w.pair[i][k].low <= bound + PICKS / 1048576.0);
}

static void note_pairs(void)
{
    for (unsigned i = 0; i < w.n_clients; i++)
        for (unsigned k = 0; k < i; k++)
            note_pair(i, k);
}

static Client *pick(void)
{
    Job *j = device_pick(&w.device);
    double usec, estimate;
    Client *c;

    if (!j)
        return NULL;
    c = &w.clients[j->client];
    require(j->sched.arrival >= c->arrivals);
    c->arrivals = j->sched.arrival + 1;
    c->n_picked++;

    usec = j->usec > 0 ? (double) j->usec : 1; /* a request is charged at least this */
    c->work += usec;
    estimate = (double) j->sched.charged * c->sched.account.weight / 1048576.0;
    if (c->longest < estimate)
        c->longest = estimate;
    if (c->longest < usec)
        c->longest = usec;
    return c;
}

/* Runs until @n requests were picked and one of them has ended. A job that ends is pushed again
 * at once. */
static void run(unsigned n)
{
    while (n > 0) {
        for (unsigned i = 0; i < w.n_clients; i++)
            fill(&w.clients[i]);
        note_pairs();
        while (n > 0 && pick()) {
            n--;
            note_pairs();
        }
        if (!device_wait(&w.device))
            break;
        note_pairs();
    }
}

/* The usual world: a device with one place */
static int set_up(void **state)
{
    (void) state;
    random_seed(1);
    begin(1);
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    end();
    return 0;
}

/* ---- The bound ------------------------------------------------------------------------ */

static const uint32_t some_weights[] = {1, 3, 50, 100, 100, 100, 101, 300, 1000, 10000};
static const uint64_t some_usecs[] = {0, 1, 2, 10, 99, 1000, 5000, 200000};
#define ANY(array) (array)[random_below(sizeof(array) / sizeof((array)[0]))]

static void add_any_client(unsigned places)
{
    unsigned depth = random_below(4) == 0 ? DEEP : 1 + random_below(3 * places);

    add_client(ANY(some_weights), depth, ANY(some_usecs));
    if (random_below(2) == 0) {
        Client *c = &w.clients[w.n_clients - 1];

        c->long_usec = ANY(some_usecs);
        c->one_in = 1 + random_below(40);
    }
}

/* The bound holds for any places, weights, times and numbers of requests, while clients come
 * and go. */
TEST(test_bound)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        random_seed(seed);
        begin(1 + random_below(random_below(2) == 0 ? 2 : 24));
        for (unsigned n = 2 + random_below(CLIENTS_MAX - 1); n > 0; n--)
            add_any_client(w.device.scheduler.max_running);

        for (unsigned picked = 0; picked < PICKS; picked += 100) {
            Client *c = &w.clients[random_below(w.n_clients)];

            run(100);
            c->idle = random_below(3) == 0;
        }
        end();
    }
}

/* Where the estimates are right, the shares are those of the weights. */
TEST(test_weights)
{
    static const uint32_t weights[] = {100, 300, 50, 550};

    for (unsigned i = 0; i < 4; i++)
        add_client(weights[i], 10, 400);
    run(1000);
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(w.clients[i].n_picked, weights[i] - 1, weights[i] + 1);
}

/* Time is shared: requests that take ten times as long are picked a tenth as often. */
TEST(test_times)
{
    add_client(100, 10, 1000);
    add_client(100, 10, 100);
    run(1100);
    assert_in_range(w.clients[0].n_picked, 98, 102);
}

/* ---- A thousand against one ---------------------------------------------------------------- */

TEST(test_thousand_outstanding)
{
    random_seed(1);
    for (unsigned places = 1; places <= 2; places++) {
        begin(places);
        add_client(100, DEEP, 500);
        for (unsigned i = 1; i < CLIENTS_MAX; i++)
            add_client(100, 1, 500);
        run(CLIENTS_MAX * 100);
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
            assert_in_range(w.clients[i].n_picked, 98, 102);
        end();
    }
}

/* A thousand outstanding requests do not delay the first requests of those that come later. */
TEST(test_late_comers)
{
    add_client(100, DEEP, 500);
    for (unsigned i = 1; i < CLIENTS_MAX; i++) {
        add_client(100, 1, 500);
        w.clients[i].idle = true;
    }
    run(5000);
    for (unsigned i = 1; i < CLIENTS_MAX; i++)
        w.clients[i].idle = false;
    run(CLIENTS_MAX);
    for (unsigned i = 1; i < CLIENTS_MAX; i++)
        assert_int_equal(w.clients[i].n_picked, 1);
}

/* ---- Credit and debt ------------------------------------------------------------------------- */

/* A client that was idle for long gets its share from now on, and no more. */
TEST(test_idle_saves_nothing)
{
    unsigned before;

    add_client(100, 10, 100);
    add_client(100, 10, 100);
    run(10);
    w.clients[1].idle = true;
    run(10000);
    w.clients[1].idle = false;
    before = w.clients[1].n_picked;
    run(100);
    assert_in_range(w.clients[1].n_picked - before, 49, 51);
}

/* The same for a client that was held, whose requests were waiting all the time. */
TEST(test_held_saves_nothing)
{
    unsigned before;

    add_client(100, 10, 100);
    add_client(100, 10, 100);
    run(10);
    sched_client_hold(&w.clients[1].sched, true);
    before = w.clients[1].n_picked;
    run(10000);
    assert_int_equal(w.clients[1].n_picked, before);
    sched_client_hold(&w.clients[1].sched, false);
    run(100);
    assert_in_range(w.clients[1].n_picked - before, 49, 51);
}

/* Requests take longer than was estimated: what their client got too much, it gives back. */
TEST(test_estimate_is_corrected)
{
    add_client(100, 10, 100);
    add_client(100, 10, 100);
    run(100);
    w.clients[1].long_usec = w.clients[1].short_usec = 5000;
    for (unsigned i = 0; i < 2; i++)
        w.clients[i].work = 0;
    memset(w.pair, 0, sizeof(w.pair));
    run(2040);
    assert_true(w.clients[0].work > 0.95 * w.clients[1].work);
    assert_true(w.clients[1].work > 0.95 * w.clients[0].work);
}

/* A client owes nothing for what it used while nobody else wanted the device. */
TEST(test_idle_device_forgives)
{
    add_client(1, 1, 1000000);
    add_client(1, 1, 1000);
    w.clients[1].idle = true;
    run(1);
    w.clients[0].idle = w.clients[1].idle = false;
    run(2);
    assert_int_equal(w.clients[1].n_picked, 1);
    assert_int_equal(w.clients[0].n_picked, 2);
}

/* A client's debt goes with it to another priority and to another pool. */
TEST(test_debt_moves_along)
{
    Scheduler other;

    scheduler_init(&other, &w.device.next_arrival, 1, UINT32_MAX);
    scheduler_set_policy(&other, SCHED_FAIR);
    add_client(100, 20, 100);
    add_client(100, 20, 5000);
    run(4);
    assert_int_equal(w.clients[1].n_picked, 1);

    for (unsigned i = 0; i < 2; i++) {
        sched_client_set_priority(&w.clients[i].sched, VGPU_PRIORITY_HIGH);
        sched_client_move(&w.clients[i].sched, &other);
    }
    for (unsigned i = 0; i < 10; i++) {
        SchedRequest *r = scheduler_pick(&other, 0);

        assert_ptr_equal(r->client, &w.clients[0].sched);
        sched_request_complete(r, 100);
    }
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound),
        IN_WORLD(test_weights),
        IN_WORLD(test_times),
        cmocka_unit_test(test_thousand_outstanding),
        IN_WORLD(test_late_comers),
        IN_WORLD(test_idle_saves_nothing),
        IN_WORLD(test_held_saves_nothing),
        IN_WORLD(test_estimate_is_corrected),
        IN_WORLD(test_idle_device_forgives),
        IN_WORLD(test_debt_moves_along),
    };

    return cmocka_run_group_tests_name("scheduler-fair", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two schedulers, and every operation on what they have queued, in random order. Where the policy
 * says which request is next, a model says it too; under every policy, no request is lost and none
 * is picked twice.
 */
#include <string.h>

#include "test-scheduler-device.h"
#include "test.h"
#include "vm-settings.h"

#define SCHEDULERS 2
#define CLIENTS 12
#define REQUESTS 200
#define STEPS 20000
#define SEEDS 30
#define LIMIT_USEC 500

typedef struct Model {
    uint64_t next_arrival;
    uint64_t now_usec;
    Scheduler schedulers[SCHEDULERS];
    SchedClient clients[CLIENTS];
    SchedRequest requests[REQUESTS];
    SchedState state[REQUESTS]; /* the state that it must be in */
} Model;

static bool may_be_picked(const SchedRequest *r, const Scheduler *s)
{
    return r->state == SCHED_QUEUED && r->scheduler == s && !r->client->held;
}

/* Running in @s, by the model's own states: at @priority and below it, and of @client, unless that
 * is NULL. */
static unsigned running(const Model *m, const Scheduler *s, unsigned priority,
                        const SchedClient *client)
{
    unsigned n = 0;

    for (unsigned i = 0; i < REQUESTS; i++) {
        const SchedRequest *r = &m->requests[i];

        n += m->state[i] == SCHED_RUNNING && r->scheduler == s && r->priority <= priority &&
             (!client || r->client == client);
    }
    return n;
}

/* One at least, and all but so many. */
static unsigned all_but(const Scheduler *s, unsigned n)
{
    return s->max_running > n ? s->max_running - n : 1;
}

/* Does scheduler.h promise a place to @r now? */
static bool has_place(const Model *m, const Scheduler *s, const SchedRequest *r)
{
    for (unsigned p = r->priority; p < VGPU_N_PRIORITIES; p++)
        if (running(m, s, p, NULL) >= all_but(s, VGPU_PRIORITY_HIGH - p))
            return false;
    return running(m, s, VGPU_PRIORITY_HIGH, r->client) < all_but(s, 1);
}

/* The next request by priority and arrival, found in the simplest way: at @priority alone
 * unless that is negative, and of @client alone unless that is NULL. */
static SchedRequest *first(Model *m, const Scheduler *s, int priority, const SchedClient *client)
{
    SchedRequest *best = NULL;

    for (unsigned i = 0; i < REQUESTS; i++) {
        SchedRequest *r = &m->requests[i];

        if (!may_be_picked(r, s) || (priority >= 0 && r->priority != priority) ||
            (client && r->client != client))
            continue;
        if (best && (r->priority < best->priority ||
                     (r->priority == best->priority && r->arrival > best->arrival)))
            continue;
        if (has_place(m, s, r))
            best = r;
    }
    return best;
}

static bool is_due(Model *m, const Scheduler *s, int priority)
{
    const SchedRequest *oldest = first(m, s, priority, NULL);

    return oldest && s->starvation_limit_usec != UINT64_MAX &&
           m->now_usec >= oldest->queued_at_usec + s->starvation_limit_usec;
}

static unsigned index_of(const Model *m, const SchedRequest *r)
{
    return (unsigned) (r - m->requests);
}

static void check_state(Model *m, SchedRequest *r, SchedState before, SchedState after)
{
    require(m->state[index_of(m, r)] == before);
    require(r->state == after);
    m->state[index_of(m, r)] = after;
}

static void pick(Model *m, Scheduler *s)
{
    SchedRequest *highest = first(m, s, -1, NULL), *r, *older;
    bool due[VGPU_N_PRIORITIES];

    for (int p = 0; p < VGPU_N_PRIORITIES; p++)
        due[p] = is_due(m, s, p);
    if (s->held)
        highest = NULL;
    r = scheduler_pick(s, m->now_usec);
    require((r != NULL) == (highest != NULL));
    if (!r)
        return;

    check_state(m, r, SCHED_QUEUED, SCHED_RUNNING);
    require(r->priority == highest->priority || due[r->priority]);
    require(r->priority <= highest->priority);
    older = first(m, s, r->priority, s->policy == SCHED_FAIR ? r->client : NULL);
    require(!older || older->arrival > r->arrival);
}

static SchedRequest *any_in_state(Model *m, SchedState wanted)
{
    unsigned start = random_below(REQUESTS);

    for (unsigned i = 0; i < REQUESTS; i++) {
        SchedRequest *r = &m->requests[(start + i) % REQUESTS];

        if (r->state == wanted)
            return r;
    }
    return NULL;
}

static void push(Model *m, Scheduler *s, SchedClient *client)
{
    SchedRequest *r = any_in_state(m, SCHED_IDLE);

    if (!r)
        return;
    require(scheduler_push(s, client, r, random_below(VGPU_N_PRIORITIES), m->now_usec) == 0);
    check_state(m, r, SCHED_IDLE, SCHED_QUEUED);
}

static void complete(Model *m)
{
    SchedRequest *r = any_in_state(m, SCHED_RUNNING);

    if (!r)
        return;
    sched_request_complete(r, random_below(1000));
    check_state(m, r, SCHED_RUNNING, SCHED_IDLE);
}

static void put_back(Model *m)
{
    SchedRequest *r = any_in_state(m, SCHED_RUNNING);
    uint64_t arrival = r ? r->arrival : 0;

    if (!r)
        return;
    sched_request_put_back(r);
    check_state(m, r, SCHED_RUNNING, SCHED_QUEUED);
    require(r->arrival == arrival);
}

static void drop(Model *m)
{
    SchedRequest *r = any_in_state(m, SCHED_QUEUED);

    if (!r)
        return;
    sched_request_remove(r);
    check_state(m, r, SCHED_QUEUED, SCHED_IDLE);
}

static void check_counts(const Model *m, const Scheduler *s)
{
    unsigned depth[VGPU_N_PRIORITIES] = {0}, running = 0;

    for (unsigned i = 0; i < REQUESTS; i++) {
        const SchedRequest *r = &m->requests[i];

        require(r->state == m->state[i]);
        if (r->scheduler != s)
            continue;
        if (r->state == SCHED_QUEUED)
            depth[r->priority]++;
        running += r->state == SCHED_RUNNING;
    }
    require(s->n_running == running);
    require(memcmp(s->depth, depth, sizeof(depth)) == 0);
}

static void change(Scheduler *s, SchedClient *client)
{
    switch (random_below(6)) {
    case 0:
        sched_client_set_priority(client, random_below(VGPU_N_PRIORITIES));
        break;
    case 1:
        sched_client_hold(client, random_below(2) == 0);
        break;
    case 2:
        sched_client_set_weight(client, 1 + random_below(VM_WEIGHT_MAX));
        break;
    case 3:
        scheduler_set_policy(s, random_below(2) == 0 ? SCHED_FIFO : SCHED_FAIR);
        break;
    case 4:
        s->starvation_limit_usec = random_below(2) == 0 ? UINT64_MAX : LIMIT_USEC;
        break;
    default:
        sched_client_move(client, s);
    }
}

static void step(Model *m)
{
    SchedClient *client = &m->clients[random_below(CLIENTS)];
    Scheduler *s = &m->schedulers[random_below(SCHEDULERS)];

    m->now_usec += random_below(20);
    switch (random_below(13)) {
    case 0 ... 4:
        push(m, s, client);
        break;
    case 5 ... 7:
        pick(m, s);
        break;
    case 8 ... 9:
        complete(m);
        break;
    case 10:
        drop(m);
        break;
    case 11:
        put_back(m);
        break;
    default:
        change(s, client);
    }
}

/* Picks all that is left; each request is picked once. */
static void drain(Model *m)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        sched_client_hold(&m->clients[i], false);
    for (unsigned i = 0; i < SCHEDULERS; i++) {
        while (scheduler_queued(&m->schedulers[i]) > 0) {
            while (!first(m, &m->schedulers[i], -1, NULL))
                complete(m);
            pick(m, &m->schedulers[i]);
        }
        check_counts(m, &m->schedulers[i]);
        for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++)
            require(!m->schedulers[i].fair[p].waiting);
    }
    require(!any_in_state(m, SCHED_QUEUED));
}

static void run(bool fifo_only)
{
    static Model m;

    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        random_seed(seed);
        memset(&m, 0, sizeof(m));
        for (unsigned i = 0; i < SCHEDULERS; i++)
            scheduler_init(&m.schedulers[i], &m.next_arrival, 1 + random_below(7), REQUESTS);
        for (unsigned i = 0; i < CLIENTS; i++)
            sched_client_init(&m.clients[i], REQUESTS);

        for (unsigned i = 0; i < STEPS; i++) {
            step(&m);
            if (fifo_only)
                for (unsigned k = 0; k < SCHEDULERS; k++) {
                    scheduler_set_policy(&m.schedulers[k], SCHED_FIFO);
                    m.schedulers[k].starvation_limit_usec = UINT64_MAX;
                }
            if (i % 64 == 0)
                for (unsigned k = 0; k < SCHEDULERS; k++)
                    check_counts(&m, &m.schedulers[k]);
        }
        drain(&m);
    }
}

TEST(test_fifo)
{
    run(true);
}

TEST(test_any_policy)
{
    run(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fifo),
        cmocka_unit_test(test_any_policy),
    };

    return cmocka_run_group_tests_name("scheduler-model", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The scheduler, held against what its header promises, with a clock of the test's own */
#include <stdlib.h>
#include <string.h>

#include "scheduler.h"
#include "test.h"

typedef struct Fixture {
    uint64_t next_arrival;
    Scheduler scheduler;
} Fixture;

static Fixture fixture_new(unsigned max_running, unsigned limit)
{
    return (Fixture){.scheduler = {.max_running = max_running, .limit = limit}};
}

/* The fixture links to itself, so it must not move after it is initialised. */
static void fixture_init(Fixture *f)
{
    scheduler_init(&f->scheduler, &f->next_arrival, f->scheduler.max_running, f->scheduler.limit);
}

static void push(Fixture *f, SchedClient *c, SchedRequest *r, unsigned priority)
{
    assert_int_equal(scheduler_push(&f->scheduler, c, r, priority, f->next_arrival * 10), 0);
}

TEST(test_empty)
{
    Fixture f = fixture_new(1, 1);

    fixture_init(&f);
    assert_null(scheduler_pick(&f.scheduler, 0));
    assert_int_equal(scheduler_queued(&f.scheduler), 0);
}

TEST(test_priority_before_arrival)
{
    Fixture f = fixture_new(10, 10);
    SchedRequest r[6] = {0};
    SchedClient c;
    static const unsigned priorities[6] = {0, 2, 1, 0, 1, 2};
    static const unsigned order[6] = {1, 5, 2, 4, 0, 3};

    fixture_init(&f);
    sched_client_init(&c, 10);
    for (unsigned i = 0; i < 6; i++)
        push(&f, &c, &r[i], priorities[i]);
    for (unsigned i = 0; i < 6; i++)
        assert_ptr_equal(scheduler_pick(&f.scheduler, 100), &r[order[i]]);
    assert_null(scheduler_pick(&f.scheduler, 100));
}

/* No more are out of the queue at once than may run. */
TEST(test_running_is_bounded)
{
    Fixture f = fixture_new(2, 10);
    SchedRequest r[4] = {0};
    SchedClient a, b;

    fixture_init(&f);
    sched_client_init(&a, 10);
    sched_client_init(&b, 10);
    for (unsigned i = 0; i < 3; i++)
        push(&f, i == 1 ? &b : &a, &r[i], VGPU_PRIORITY_HIGH);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 1), &r[0]);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 2), &r[1]);
    assert_null(scheduler_pick(&f.scheduler, 3));

    push(&f, &b, &r[3], VGPU_PRIORITY_HIGH);
    sched_request_complete(&r[1], 1);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 5), &r[3]);
    assert_int_equal(r[3].picked_at_usec, 5);
    assert_int_equal(b.n_running, 1);
}

static void test_limits(void **state)
{
    Fixture f = fixture_new(1, 3);
    SchedRequest r[5] = {0};
    SchedClient small, other;

    (void) state;
    fixture_init(&f);
    sched_client_init(&small, 2);
    sched_client_init(&other, 9);
    push(&f, &small, &r[0], 0);
    push(&f, &small, &r[1], 2);
    assert_int_equal(scheduler_push(&f.scheduler, &small, &r[2], 2, 0), SCHED_CLIENT_FULL);
    assert_int_equal(r[2].state, SCHED_IDLE);
    push(&f, &other, &r[3], 1);
    assert_int_equal(scheduler_push(&f.scheduler, &other, &r[4], 2, 0), SCHED_POOL_FULL);

    /* What runs does not count as queued. */
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &r[1]);
    push(&f, &small, &r[2], 2);
}

/* A VM's requests keep their order of arrival among those of the new priority. */
TEST(test_priority_change_merges)
{
    Fixture f = fixture_new(10, 10);
    SchedRequest a[3] = {0}, b[3] = {0};
    SchedClient ca, cb;

    fixture_init(&f);
    sched_client_init(&ca, 10);
    sched_client_init(&cb, 10);
    for (unsigned i = 0; i < 3; i++) {
        push(&f, &ca, &a[i], VGPU_PRIORITY_LOW);
        push(&f, &cb, &b[i], VGPU_PRIORITY_HIGH);
    }
    sched_client_set_priority(&ca, VGPU_PRIORITY_HIGH);
    assert_int_equal(f.scheduler.depth[VGPU_PRIORITY_HIGH], 6);
    assert_int_equal(f.scheduler.depth[VGPU_PRIORITY_LOW], 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &a[i]);
        assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &b[i]);
    }
}

static void test_priority_change_leaves_running(void **state)
{
    Fixture f = fixture_new(1, 10);
    SchedRequest r[2] = {0};
    SchedClient c;

    (void) state;
    fixture_init(&f);
    sched_client_init(&c, 10);
    push(&f, &c, &r[0], VGPU_PRIORITY_LOW);
    push(&f, &c, &r[1], VGPU_PRIORITY_LOW);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &r[0]);
    sched_client_set_priority(&c, VGPU_PRIORITY_HIGH);
    assert_int_equal(r[0].priority, VGPU_PRIORITY_LOW);
    assert_int_equal(r[0].state, SCHED_RUNNING);
    assert_int_equal(r[1].priority, VGPU_PRIORITY_HIGH);
}

static void test_remove(void **state)
{
    Fixture f = fixture_new(10, 10);
    SchedRequest r[3] = {0};
    SchedClient c;

    (void) state;
    fixture_init(&f);
    sched_client_init(&c, 10);
    for (unsigned i = 0; i < 3; i++)
        push(&f, &c, &r[i], VGPU_PRIORITY_MEDIUM);
    sched_request_remove(&r[1]);
    assert_int_equal(r[1].state, SCHED_IDLE);
    assert_int_equal(c.n_queued, 2);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &r[0]);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &r[2]);
}

TEST(test_hold)
{
    Fixture f = fixture_new(10, 10);
    SchedRequest a[3] = {0}, b[2] = {0};
    SchedClient ca, cb;

    fixture_init(&f);
    sched_client_init(&ca, 10);
    sched_client_init(&cb, 10);
    push(&f, &ca, &a[0], VGPU_PRIORITY_LOW);
    push(&f, &cb, &b[0], VGPU_PRIORITY_LOW);
    sched_client_hold(&ca, true);
    push(&f, &ca, &a[1], VGPU_PRIORITY_LOW);
    push(&f, &cb, &b[1], VGPU_PRIORITY_LOW);
    sched_client_set_priority(&ca, VGPU_PRIORITY_MEDIUM);
    assert_int_equal(f.scheduler.depth[VGPU_PRIORITY_MEDIUM], 2);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &b[0]);

    sched_client_set_priority(&ca, VGPU_PRIORITY_LOW);
    sched_client_hold(&ca, false);
    push(&f, &ca, &a[2], VGPU_PRIORITY_LOW);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &a[0]);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &a[1]);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &b[1]);
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &a[2]);
}

TEST(test_hold_all)
{
    Fixture f = fixture_new(10, 10);
    SchedRequest r = {0};
    SchedClient c;

    fixture_init(&f);
    sched_client_init(&c, 10);
    f.scheduler.held = true;
    push(&f, &c, &r, VGPU_PRIORITY_HIGH);
    assert_null(scheduler_pick(&f.scheduler, 0));
    f.scheduler.held = false;
    assert_ptr_equal(scheduler_pick(&f.scheduler, 0), &r);
}

TEST(test_move)
{
    Fixture from = fixture_new(10, 10);
    SchedRequest r[3] = {0}, there[2] = {0};
    SchedClient c, other;
    Scheduler to;

    fixture_init(&from);
    scheduler_init(&to, &from.next_arrival, 10, 2);
    sched_client_init(&c, 10);
    sched_client_init(&other, 10);
    push(&from, &c, &r[0], VGPU_PRIORITY_LOW);
    assert_int_equal(scheduler_push(&to, &other, &there[0], VGPU_PRIORITY_LOW, 0), 0);
    push(&from, &c, &r[1], VGPU_PRIORITY_HIGH);
    push(&from, &c, &r[2], VGPU_PRIORITY_LOW);
    assert_int_equal(scheduler_push(&to, &other, &there[1], VGPU_PRIORITY_LOW, 0), 0);

    sched_client_move(&c, &to);
    assert_int_equal(scheduler_queued(&from.scheduler), 0);
    assert_int_equal(scheduler_queued(&to), 5);
    assert_ptr_equal(scheduler_pick(&to, 0), &r[1]);
    assert_ptr_equal(scheduler_pick(&to, 0), &r[0]);
    assert_ptr_equal(scheduler_pick(&to, 0), &there[0]);
    assert_ptr_equal(scheduler_pick(&to, 0), &r[2]);
    assert_ptr_equal(scheduler_pick(&to, 0), &there[1]);
    sched_request_complete(&r[1], 1);
    assert_int_equal(to.n_running, 4);
    assert_int_equal(from.scheduler.n_running, 0);
}

/* ---- Ten thousand VMs --------------------------------------------------------------- */

#define N_VMS 10000
#define PER_VM 4

/* The VMs push in turn, and so they are served in turn. A third of them is at each priority;
 * then all of the low ones are raised. */
TEST(test_ten_thousand_vms)
{
    SchedClient *clients = calloc(N_VMS, sizeof(*clients));
    SchedRequest *requests = calloc((size_t) N_VMS * PER_VM, sizeof(*requests));
    Fixture f = fixture_new(1, N_VMS * PER_VM);
    unsigned served[VGPU_N_PRIORITIES] = {0};
    uint64_t last[VGPU_N_PRIORITIES] = {0};
    SchedRequest *r;

    assert_non_null(clients);
    assert_non_null(requests);
    fixture_init(&f);
    for (unsigned i = 0; i < N_VMS; i++)
        sched_client_init(&clients[i], PER_VM);
    for (unsigned i = 0; i < N_VMS * PER_VM; i++)
        push(&f, &clients[i % N_VMS], &requests[i], (i % N_VMS) % VGPU_N_PRIORITIES);

    for (unsigned i = 0; i < N_VMS; i++)
        if (i % VGPU_N_PRIORITIES == VGPU_PRIORITY_LOW)
            sched_client_set_priority(&clients[i], VGPU_PRIORITY_HIGH);
    assert_int_equal(f.scheduler.depth[VGPU_PRIORITY_LOW], 0);

    while ((r = scheduler_pick(&f.scheduler, f.next_arrival))) {
        assert_true(r->arrival >= last[r->priority]);
        assert_true(r->priority != VGPU_PRIORITY_MEDIUM ||
                    f.scheduler.depth[VGPU_PRIORITY_HIGH] == 0);
        last[r->priority] = r->arrival;
        served[r->priority]++;
        sched_request_complete(r, 1);
    }
    assert_int_equal(served[VGPU_PRIORITY_HIGH] + served[VGPU_PRIORITY_MEDIUM], N_VMS * PER_VM);
    assert_int_equal(served[VGPU_PRIORITY_LOW], 0);
    for (unsigned i = 0; i < N_VMS; i++)
        assert_int_equal(clients[i].n_queued + clients[i].n_running, 0);

    free(requests);
    free(clients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_priority_before_arrival),
        cmocka_unit_test(test_running_is_bounded),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_priority_change_merges),
        cmocka_unit_test(test_priority_change_leaves_running),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_hold_all),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_ten_thousand_vms),
    };

    return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}

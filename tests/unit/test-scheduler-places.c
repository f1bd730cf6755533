/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nobody has all places: what scheduler.h says of them, with a device in virtual time */
#include <string.h>

#include "test-scheduler-device.h"
#include "test.h"
#include "vm-settings.h"

#define GREEDY 4
#define QUEUE 64
#define LONGEST_USEC 1000000
#define SHORT_USEC 10
#define TRIES 200

/* Four clients that always have as much queued as they may, and one that has a request at times. */
typedef struct World {
    Device device;
    SchedClient greedy[GREEDY], modest;
    Job jobs[GREEDY][2 * QUEUE], job;
} World;

static void begin(World *w, unsigned places, SchedPolicy policy)
{
    random_seed(places);
    memset(w, 0, sizeof(*w));
    device_init(&w->device, places);
    scheduler_set_policy(&w->device.scheduler, policy);
    for (unsigned i = 0; i < GREEDY; i++)
        sched_client_init(&w->greedy[i], QUEUE);
    sched_client_init(&w->modest, QUEUE);
}

/* Each of the @n first clients fills its queue again. */
static void fill(World *w, unsigned n, unsigned priority)
{
    for (unsigned c = 0; c < n; c++)
        for (unsigned i = 0; i < 2 * QUEUE && w->greedy[c].n_queued < QUEUE; i++)
            if (w->jobs[c][i].sched.state == SCHED_IDLE)
                device_push(&w->device, &w->greedy[c], &w->jobs[c][i], priority, LONGEST_USEC);
}

static void pick_all(World *w)
{
    while (device_pick(&w->device))
        continue;
}

/* Lets greedy requests end, and others take their places, for a while that is no multiple of what
 * they take. */
static void run(World *w, unsigned n, unsigned priority)
{
    for (unsigned i = random_below(3 * GREEDY); i > 0; i--) {
        fill(w, n, priority);
        pick_all(w);
        (void) device_wait(&w->device);
    }
    fill(w, n, priority);
    pick_all(w);
}

/* Returns how long the modest client's request waits until it is begun. */
static uint64_t wait_of_modest(World *w, unsigned n, unsigned greedy_priority, unsigned priority)
{
    uint64_t start;

    run(w, n, greedy_priority);
    start = w->device.now_usec;
    device_push(&w->device, &w->modest, &w->job, priority, SHORT_USEC);
    pick_all(w);
    while (w->job.sched.state == SCHED_QUEUED) {
        (void) device_wait(&w->device);
        fill(w, n, greedy_priority);
        pick_all(w);
    }
    return w->job.ends_usec - SHORT_USEC - start;
}

static void wait_for_modest(World *w)
{
    while (w->job.sched.state != SCHED_IDLE)
        (void) device_wait(&w->device);
}

/* The longest that a request of @priority waits among @n clients that have all that they may. */
static uint64_t longest_wait(unsigned places, SchedPolicy policy, unsigned n,
                             unsigned greedy_priority, unsigned priority)
{
    static World w;
    uint64_t longest = 0;

    begin(&w, places, policy);
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t wait = wait_of_modest(&w, n, greedy_priority, priority);

        longest = wait > longest ? wait : longest;
        wait_for_modest(&w);
    }
    return longest;
}

/* Four VMs of low priority that do the worst cost a high one nothing, but where there is only one
 * place: there it waits for what runs, which is 1.3 times as long as that at most. */
TEST(test_high_among_low)
{
    for (SchedPolicy policy = SCHED_FIFO; policy <= SCHED_FAIR; policy++) {
        assert_in_range(longest_wait(1, policy, GREEDY, VGPU_PRIORITY_LOW, VGPU_PRIORITY_HIGH) +
                            SHORT_USEC,
                        1, LONGEST_USEC * 13 / 10);
        for (unsigned places = 2; places <= DEVICE_PLACES_MAX; places++)
            assert_int_equal(
                longest_wait(places, policy, GREEDY, VGPU_PRIORITY_LOW, VGPU_PRIORITY_HIGH), 0);
    }
}

TEST(test_high_among_medium)
{
    for (unsigned places = 2; places <= 16; places++)
        assert_int_equal(
            longest_wait(places, SCHED_FIFO, GREEDY, VGPU_PRIORITY_MEDIUM, VGPU_PRIORITY_HIGH), 0);
}

TEST(test_medium_among_low)
{
    for (unsigned places = 3; places <= 16; places++)
        assert_int_equal(
            longest_wait(places, SCHED_FIFO, GREEDY, VGPU_PRIORITY_LOW, VGPU_PRIORITY_MEDIUM), 0);
}

/* One VM does not have all places either, of whatever priority it is. */
TEST(test_one_client)
{
    for (SchedPolicy policy = SCHED_FIFO; policy <= SCHED_FAIR; policy++)
        for (unsigned places = 2; places <= 16; places++)
            assert_int_equal(
                longest_wait(places, policy, 1, VGPU_PRIORITY_HIGH, VGPU_PRIORITY_HIGH), 0);
}

/* Alone, a client of each priority has all that is not kept for others. */
TEST(test_alone)
{
    static World w;

    for (unsigned places = 1; places <= 16; places++)
        for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++) {
            unsigned kept = p == VGPU_PRIORITY_LOW ? 2 : 1;

            begin(&w, places, SCHED_FIFO);
            fill(&w, 1, p);
            pick_all(&w);
            assert_int_equal(w.device.scheduler.n_running, places > kept ? places - kept : 1);
        }
}

/* What a client has running in another pool takes no place here. */
TEST(test_places_of_another_pool)
{
    static World w;
    Scheduler other;

    begin(&w, 4, SCHED_FIFO);
    scheduler_init(&other, &w.device.next_arrival, 4, QUEUE);
    fill(&w, 1, VGPU_PRIORITY_HIGH);
    pick_all(&w);
    assert_int_equal(w.greedy[0].n_running, 3);
    sched_client_move(&w.greedy[0], &other);
    for (unsigned i = 0; i < 3; i++)
        assert_non_null(scheduler_pick(&other, w.device.now_usec));
    assert_null(scheduler_pick(&other, w.device.now_usec));
}

/* ---- What is put back --------------------------------------------------------------------- */

TEST(test_put_back_is_first)
{
    static World w;
    Job *picked;

    for (SchedPolicy policy = SCHED_FIFO; policy <= SCHED_FAIR; policy++) {
        begin(&w, 8, policy);
        for (unsigned i = 0; i < 3; i++)
            device_push(&w.device, &w.modest, &w.jobs[0][i], VGPU_PRIORITY_HIGH, 1);
        picked = device_pick(&w.device);
        assert_ptr_equal(picked, &w.jobs[0][0]);
        assert_ptr_equal(device_pick(&w.device), &w.jobs[0][1]);
        sched_request_put_back(&w.jobs[0][1].sched);
        sched_request_put_back(&w.jobs[0][0].sched);
        w.device.place[0] = w.device.place[1] = NULL;

        assert_int_equal(w.device.scheduler.n_running, 0);
        assert_int_equal(w.modest.n_queued, 3);
        for (unsigned i = 0; i < 3; i++)
            assert_ptr_equal(device_pick(&w.device), &w.jobs[0][i]);
    }
}

/* What was put back costs nothing: where two share, neither is behind for it. */
TEST(test_put_back_is_not_charged)
{
    static World w;
    uint64_t before;

    begin(&w, 8, SCHED_FAIR);
    device_push(&w.device, &w.modest, &w.jobs[0][0], VGPU_PRIORITY_HIGH, 1000);
    assert_non_null(device_pick(&w.device));
    assert_non_null(device_wait(&w.device));
    device_push(&w.device, &w.modest, &w.jobs[0][0], VGPU_PRIORITY_HIGH, 1000);
    before = w.modest.account.used;
    assert_non_null(device_pick(&w.device));
    assert_true(w.modest.account.used > before);
    sched_request_put_back(&w.jobs[0][0].sched);
    assert_int_equal(w.modest.account.used, before);
}

TEST(test_put_back_while_held)
{
    static World w;

    begin(&w, 8, SCHED_FAIR);
    device_push(&w.device, &w.modest, &w.job, VGPU_PRIORITY_LOW, 1);
    assert_non_null(device_pick(&w.device));
    w.device.place[0] = NULL;
    sched_client_hold(&w.modest, true);
    sched_request_put_back(&w.job.sched);
    assert_null(device_pick(&w.device));
    sched_client_hold(&w.modest, false);
    assert_ptr_equal(device_pick(&w.device), &w.job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_high_among_low),
        cmocka_unit_test(test_high_among_medium),
        cmocka_unit_test(test_medium_among_low),
        cmocka_unit_test(test_one_client),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_places_of_another_pool),
        cmocka_unit_test(test_put_back_is_first),
        cmocka_unit_test(test_put_back_is_not_charged),
        cmocka_unit_test(test_put_back_while_held),
    };

    return cmocka_run_group_tests_name("scheduler-places", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fair shares and ageing, as VMs with rings have them. One request runs at a time, and the two VMs
 * have one window in common. A request either adds ones to a vector of counts or copies those
 * counts: so all requests take equally long, and the copies show in which order they ran.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ring-peer.h"
#include "test.h"
#include "world.h"

#define WINDOW (UINT64_C(1) << 24)
#define ENTRIES 1024u
#define OUTSTANDING 1000u
#define CELLS (UINT64_C(1) << 18) /* of a vector; a request takes about 0.5 ms */
#define VM_QUEUE_LIMIT 64

/* The window holds two rings, and from here on the vectors. */
#define RING_SIZE (UINT64_C(1) << 20)
#define VECTOR(i) (2 * RING_SIZE + (i) *CELLS * 8)
#define ONES VECTOR(0)
#define ZEROS VECTOR(1)
#define COUNT VECTOR(2)
#define SEEN VECTOR(3)

static const char *const names[] = {"many", "few"};

static RingGuest guests[2];
static int fds[2];
static pid_t executor;
static uint64_t submitted[2], completed[2];
static double work[2], longest[2]; /* usec */

#define POOL(settings) \
    "[Pool A]\nBackend=cpu\nInFlight=1\n" settings "[Timeouts]\nRequestTimeoutSec=infinity\n"

static int start(void **state)
{
    return world_start(*state);
}

static void connect_guest(unsigned vm, const char *priority, uint32_t weight)
{
    register_vm(names[vm], (uint8_t) (1 + vm), "A", priority);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", names[vm], 1, "Weight", "u", weight, 1);
    fds[vm] = dial();
    hello(fds[vm], (uint8_t) (1 + vm), 0, NULL);
    (void) expect_welcome(fds[vm]);
    ring_turn_on(&guests[vm], fds[vm]);
    submitted[vm] = completed[vm] = 0;
    work[vm] = longest[vm] = 0;
}

static void connect_guests(const char *priority, uint32_t weight, uint32_t other_weight)
{
    int64_t *ones;

    assert_int_equal(ring_guest_open(&guests[0], WINDOW, 0, ENTRIES, 0), 0);
    assert_int_equal(ring_guest_open_beside(&guests[1], &guests[0], RING_SIZE, ENTRIES, 0), 0);
    ones = (int64_t *) (guests[0].window + ONES);
    for (uint64_t i = 0; i < CELLS; i++)
        ones[i] = 1;
    connect_guest(0, priority, weight);
    connect_guest(1, "low", other_weight);
    executor = (pid_t) get_u32(POOL_A, VGPU_INTERFACE_POOL, "ExecutorPID");
}

static int disconnect_guests(void **state)
{
    for (unsigned vm = 0; vm < 2; vm++)
        ring_down(&guests[vm], fds[vm]);
    return world_end(state);
}

/* ---- Requests --------------------------------------------------------------------------- */

static int64_t cell(uint64_t vector)
{
    return __atomic_load_n((int64_t *) (guests[0].window + vector), __ATOMIC_ACQUIRE);
}

static void submit(unsigned vm, unsigned n, uint64_t summand, uint64_t sum)
{
    for (; n > 0; n--) {
        const VGPUSubmission s = ring_guest_add(submitted[vm]++, CELLS, COUNT, summand, sum);

        ring_guest_fill(&guests[vm], &s);
    }
    (void) ring_guest_publish(&guests[vm]);
}

static void submit_counts(unsigned vm, unsigned n)
{
    submit(vm, n, ONES, COUNT);
}

static void submit_looks(unsigned vm, unsigned n)
{
    submit(vm, n, ZEROS, SEEN);
}

/* How many of the VM's requests the mediator has completed */
static uint64_t done(unsigned vm)
{
    return __atomic_load_n(&guests[vm].header->cq_tail, __ATOMIC_ACQUIRE);
}

/* Has the VM more requests outstanding than the pool lets in? If not, this program got no
 * processor for a while; it learns that here, before it submits again. */
static bool has_enough(unsigned vm)
{
    return submitted[vm] - done(vm) > 2 * VM_QUEUE_LIMIT;
}

static unsigned missing(unsigned vm)
{
    return OUTSTANDING - (unsigned) (submitted[vm] - completed[vm]);
}

/* Completions come in the order of submission: no request is lost, and none is done twice. */
static void note_completion(unsigned vm, const VGPUCompletion *c)
{
    double usec =
        c->exec_time_us > 0 ? c->exec_time_us : 1; /* a request is charged at least this */

    assert_int_equal(c->status, VGPU_ERROR_NONE);
    assert_int_equal(c->tag, completed[vm]++);
    work[vm] += usec;
    if (longest[vm] < usec)
        longest[vm] = usec;
}

static void take(unsigned vm)
{
    VGPUCompletion c = expect_completion(&guests[vm], VGPU_ERROR_NONE);

    note_completion(vm, &c);
}

/* Takes the completions that are there. */
static void take_some(unsigned vm)
{
    VGPUCompletion c;

    while (ring_guest_take(&guests[vm], &c))
        note_completion(vm, &c);
}

static void take_all(unsigned vm)
{
    while (completed[vm] < submitted[vm])
        take(vm);
}

static void stop_executor(void)
{
    assert_true(test_process_stop(executor));
}

static void continue_executor(void)
{
    assert_int_equal(kill(executor, SIGCONT), 0);
}

static void wait_for_depth(const char *property, unsigned n)
{
    time_t end = time(NULL) + WIRE_TIMEOUT_MSEC / 1000;

    while (get_u32(POOL_A, VGPU_INTERFACE_POOL, property) < n)
        assert_true(time(NULL) < end);
}

/* ---- Shares ----------------------------------------------------------------------------- */

/* The second VM submits one request while a thousand of the first wait. Returns how many of
 * those run before it. */
static int64_t measure_turn(void)
{
    int64_t before;

    stop_executor();
    take_some(0);
    submit_counts(0, missing(0));
    before = cell(COUNT);
    submit_looks(1, 1);
    ring_wait_taken(&guests[1]);
    continue_executor();
    take(1);
    return cell(SEEN) - before;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return (x > y) - (x < y);
}

/* A VM with one request at a time against one that has a thousand outstanding. Times are
 * measured, and a disturbance costs the VM some turns, so the test looks at most of the turns
 * and not at all. In the order of arrival each turn would be 63 or 64. */
TEST(test_one_against_a_thousand)
{
    enum { ROUNDS = 60 };
    int64_t turns[ROUNDS];

    connect_guests("low", 100, 100);
    for (unsigned i = 0; i < ROUNDS; i++)
        turns[i] = measure_turn();
    qsort(turns, ROUNDS, sizeof(turns[0]), compare);
    print_message("# of 60 turns, the 30th waited for %d, the 54th for %d\n", (int) turns[29],
                  (int) turns[53]);
    assert_in_range(turns[29], 0, 3);
    assert_in_range(turns[53], 0, VM_QUEUE_LIMIT / 2);
    take_all(0);
}

/* Keeps both VMs busy for a while. Returns false where one of them ran out of requests. */
static bool run_both(uint64_t ret_done[2])
{
    assert_true(ring_guest_wait_for(&guests[1], 150, WIRE_TIMEOUT_MSEC));
    if (!has_enough(0) || !has_enough(1))
        return false;
    for (unsigned vm = 0; vm < 2; vm++)
        ret_done[vm] = done(vm);
    for (unsigned vm = 0; vm < 2; vm++) {
        while (completed[vm] < ret_done[vm])
            take(vm);
        submit_looks(vm, missing(vm));
    }
    return true;
}

/* Checks the bound of fair.h on what was completed since @before; each VM may have begun one
 * request more. Returns whether the shares are within 15 % of the weights, as they are once
 * they are large against the bound. */
static bool check_shares(const double before[2])
{
    double many = (work[0] - before[0]) / 100, few = (work[1] - before[1]) / 300,
           parts = longest[0] / 100 + longest[1] / 300;

    assert_true(many - few <= 3 * parts);
    assert_true(few - many <= 3 * parts);
    return many >= 0.85 * few && many <= 1.15 * few;
}

static void begin_both(uint64_t ret_done[2], double ret_work[2])
{
    take_all(0);
    take_all(1);
    stop_executor();
    submit_looks(0, OUTSTANDING);
    submit_looks(1, OUTSTANDING);
    wait_for_depth("QueueDepthLow", 2 * (VM_QUEUE_LIMIT - 1));
    for (unsigned vm = 0; vm < 2; vm++) {
        ret_done[vm] = done(vm);
        ret_work[vm] = work[vm];
    }
    continue_executor();
}

/* Both VMs have more than enough requests: they get shares by weight, however many they have
 * outstanding. Time is what is shared: on a busy machine the requests of one VM may be measured
 * to take longer than those of the other, and then it gets fewer of them. */
TEST(test_weights)
{
    uint64_t from[2], to[2], many = 0, few = 0;
    bool as_weighted = false;
    double before[2];

    connect_guests("low", 100, 300);
    submit_looks(0, 1); /* the first request in a window takes much longer */
    submit_looks(1, 1);
    begin_both(from, before);
    for (unsigned i = 0; i < 40 && !as_weighted; i++) {
        if (!run_both(to)) {
            begin_both(from, before);
            continue;
        }
        many = to[0] - from[0];
        few = to[1] - from[1];
        as_weighted = check_shares(before) && few > 2 * many;
    }
    print_message("# weights 100:300 gave %d:%d\n", (int) many, (int) few);
    assert_true(as_weighted);
    take_all(0);
    take_all(1);
}

/* ---- Changes ------------------------------------------------------------------------------ */

static void reload(const char *config)
{
    write_config(config);
    call_manager(NULL, "Reload", NULL);
}

/* While nothing runs, queues two hundred requests of one VM and then one of the other. */
static void queue_two_hundred_and_one(void)
{
    stop_executor();
    submit_counts(0, 200);
    wait_for_depth("QueueDepthLow", VM_QUEUE_LIMIT - 1);
    submit_looks(1, 1);
    ring_wait_taken(&guests[1]);
}

/* Requests that were queued by arrival run fairly after the change, and the other way round. */
TEST(test_policy_changes)
{
    connect_guests("low", 100, 100);
    expect_text(POOL_A, VGPU_INTERFACE_POOL, "Policy", "fifo");
    submit_looks(1, 1);
    take(1);

    queue_two_hundred_and_one();
    reload(POOL("Policy=fair\n"));
    expect_signal(POOL_A, "PropertiesChanged", VGPU_INTERFACE_POOL);
    expect_text(POOL_A, VGPU_INTERFACE_POOL, "Policy", "fair");
    continue_executor();
    take(1);
    assert_in_range(cell(SEEN), 0, VM_QUEUE_LIMIT / 4);
    take_all(0);

    queue_two_hundred_and_one();
    reload(POOL("Policy=fifo\n"));
    expect_text(POOL_A, VGPU_INTERFACE_POOL, "Policy", "fifo");
    continue_executor();
    take(1);
    assert_in_range(cell(SEEN), 200 + VM_QUEUE_LIMIT - 1, 200 + VM_QUEUE_LIMIT + 1);
    take_all(0);
    assert_int_equal(cell(COUNT), 400);
}

TEST(test_bad_values)
{
    connect_guests("low", 100, 100);
    reload(POOL("Policy=fair\nStarvationLimitSec=7\n"));
    assert_true(get_u64(POOL_A, VGPU_INTERFACE_POOL, "StarvationLimitUSec") == 7000000);

    reload(POOL("Policy=rotten\nStarvationLimitSec=0\nWeight=5\n"));
    assert_int_equal(test_mediator_wait_log(&mediator, ":4: Policy=rotten is not"), 0);
    assert_int_equal(test_mediator_wait_log(&mediator, ":5: StarvationLimitSec=0 is not"), 0);
    assert_int_equal(test_mediator_wait_log(&mediator, ":6: unknown setting Weight=5"), 0);
    expect_text(POOL_A, VGPU_INTERFACE_POOL, "Policy", "fifo");
    assert_true(get_u64(POOL_A, VGPU_INTERFACE_POOL, "StarvationLimitUSec") == UINT64_MAX);

    call_object(VGPU_BUS_ERROR_INVALID_LIMIT, VM("many"), VGPU_INTERFACE_VM, "SetLimits", "a{sv}b",
                1, "Weight", "u", 10001, 1);
    call_object(VGPU_BUS_ERROR_INVALID_LIMIT, VM("many"), VGPU_INTERFACE_VM, "SetLimits", "a{sv}b",
                1, "Weight", "s", "much", 1);
    assert_int_equal(get_u32(VM("many"), VGPU_INTERFACE_VM, "Weight"), 100);
}

/* ---- Ageing ------------------------------------------------------------------------------- */

static uint64_t now_msec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

/* One low request waits while high ones keep coming. Returns for how long, or 0 where the high
 * ones ran out. */
static uint64_t measure_starvation(void)
{
    bool ended = false;
    uint64_t begin;
    VGPUCompletion c;

    stop_executor();
    take_some(0);
    submit_counts(0, missing(0));
    wait_for_depth("QueueDepthHigh", VM_QUEUE_LIMIT - 1);
    begin = now_msec();
    submit_looks(1, 1);
    ring_wait_taken(&guests[1]);
    continue_executor();

    while (!ring_guest_take(&guests[1], &c)) {
        take(0);
        ended = ended || !has_enough(0);
        submit_counts(0, 1);
        assert_true(now_msec() - begin < WIRE_TIMEOUT_MSEC);
    }
    note_completion(1, &c);
    return ended || !has_enough(0) ? 0 : now_msec() - begin;
}

/* The low request waits for the limit, not less, and then has a turn. */
TEST(test_starvation_limit)
{
    uint64_t waited = 0;

    connect_guests("high", 100, 100);
    submit_looks(1, 1);
    take(1);
    for (unsigned i = 0; i < 10 && waited == 0; i++)
        waited = measure_starvation();
    assert_true(waited >= 1000);
    take_all(0);
}

/* A test of two VMs in a pool with these settings */
#define WITH_POOL(settings, test)                                      \
    {                                                                  \
#test, test, start, disconnect_guests, (void *) POOL(settings) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_POOL("Policy=fair\n", test_one_against_a_thousand),
        WITH_POOL("Policy=fair\n", test_weights),
        WITH_POOL("", test_policy_changes),
        WITH_POOL("", test_bad_values),
        WITH_POOL("Policy=fair\nStarvationLimitSec=1\n", test_starvation_limit),
    };

    return cmocka_run_group_tests_name("fair", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-session-storms fake|gpu [N] - N sessions (40 without it), some at a time, each with memory
 * of a random size and kernels that run. At a random moment the guest process, or the executor, is
 * killed; some come to their end. What all of them leave is nothing: no process, not a byte of the
 * device's memory, no descriptor in the mediator.
 */
#include "clock.h"
#include "guest-process.h"
#include "session-host.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 6u
#define EXECUTORS_MAX 64u
#define MIB (UINT64_C(1) << 20)
#define PIECES_MAX 4u
/* A session lives for so many times what one takes alone, at most: several begin at once. */
#define LIVES 8u
#define LIFE_MIN_NSEC (600 * NSEC_PER_MSEC)
#define OPENED 1u

static unsigned n_sessions = 40;
static uint64_t life_nsec = LIFE_MIN_NSEC;

static struct {
    pid_t pid;
    uint64_t kill_nsec; /* 0: no more */
    bool kill_executor;
} slots[AT_ONCE];

static struct {
    unsigned guests, executors, ends;
} counts;

/* A process's own sequence, the same in each run */
static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* ---- The guests -------------------------------------------------------------------------------
 */

static int launch_random(GuestProcess *g, uint64_t *seed)
{
    const uint64_t time = next_random(seed) % 50 * NSEC_PER_MSEC;
    const VGPUSessionSet zero = {.address = g->memory, .count = 1, .rows = 1, .width = 4};
    int r;

    if (next_random(seed) % 4 > 0)
        return guest_process_launch(g, GUEST_BUSY, 1, 1, 0, &time, sizeof(time));
    r = vgpu_session_post(g->session, VGPU_SESSION_OP_SET, &g->from, &zero, sizeof(zero), NULL, 0);
    return r != 0 ? r
                  : guest_process_launch(g, GUEST_ENDLESS, 1, 1, 0, &g->memory, sizeof(g->memory));
}

/* Whatever happens to it may be because of the test. */
static void run_guest(HostReport *report, uint32_t number)
{
    uint64_t seed = number;
    GuestProcess g;
    int r = guest_process_open(&g);

    if (r == 0)
        __atomic_add_fetch(&report->n, 1, __ATOMIC_RELAXED);
    for (uint64_t i = next_random(&seed) % PIECES_MAX; r == 0 && i > 0; i--) {
        const uint64_t size = (1 + next_random(&seed) % 64) * MIB - next_random(&seed) % 4096;
        VGPUSessionSet set = {.count = size / 4, .rows = 1, .width = 4, .value = 0xdeadbeef};

        r = vgpu_session_memory_alloc(g.session, &g.from, size, &set.address);
        if (r == 0)
            r = vgpu_session_post(g.session, VGPU_SESSION_OP_SET, &g.from, &set, sizeof(set), NULL,
                                  0);
    }
    for (uint64_t i = next_random(&seed) % 8; r == 0 && i > 0; i--)
        r = launch_random(&g, &seed);
    if (r == 0 && next_random(&seed) % 2 == 0)
        (void) guest_process_wait(&g);
    while (r == 0 && next_random(&seed) % 4 != 0) {
        r = vgpu_session_get_failure(g.session);
        usleep(10000);
    }
    guest_process_close(&g);
}

/* ---- The storm ---------------------------------------------------------------------------------
 */

static void start_session(HostReport *opened, unsigned slot, uint32_t number)
{
    slots[slot].pid = host_fork(run_guest, opened, number);
    slots[slot].kill_nsec = now_nsec() + (uint64_t) random() % life_nsec;
    slots[slot].kill_executor = random() % 2;
}

static void kill_something(unsigned slot)
{
    pid_t executors[EXECUTORS_MAX];
    unsigned n = 0;

    slots[slot].kill_nsec = 0;
    if (slots[slot].kill_executor) {
        n = host_executors(executors, EXECUTORS_MAX);
        n = n > EXECUTORS_MAX ? EXECUTORS_MAX : n;
    }
    /* Which is not known, and does not matter. Its own goes the other way, so that all come to an
     * end. */
    if (n > 0) {
        (void) kill(executors[(unsigned) random() % n], SIGKILL);
        counts.executors++;
        slots[slot].kill_executor = false;
        slots[slot].kill_nsec = now_nsec() + (uint64_t) random() % life_nsec;
        return;
    }
    (void) kill(slots[slot].pid, SIGKILL);
    counts.guests++;
}

/* Returns whether there was an end. */
static bool look_at(unsigned slot)
{
    int status;

    if (waitpid(slots[slot].pid, &status, WNOHANG) == slots[slot].pid) {
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            counts.ends++;
        } else {
            assert_int_equal(WTERMSIG(status), SIGKILL);
        }
        slots[slot].pid = 0;
        return true;
    }
    if (slots[slot].kill_nsec != 0 && now_nsec() > slots[slot].kill_nsec)
        kill_something(slot);
    return false;
}

static void run_storm(HostReport *opened)
{
    unsigned n_started = 0, n_ended = 0;
    uint64_t last = now_nsec();

    while (n_ended < n_sessions) {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            if (slots[i].pid == 0 && n_started < n_sessions)
                start_session(opened, i, ++n_started);
            if (slots[i].pid != 0 && look_at(i)) {
                n_ended++;
                last = now_nsec();
            }
        }
        assert_true(now_nsec() - last < HOST_PATIENCE_NSEC);
        usleep(500);
    }
}

/* What stays after the first sessions, the driver keeps: 64 KiB have been seen. Nothing is added to
 * it. */
static HostRest first_session(void)
{
    HostRest before = host_rest(), now;
    HostReport *report = host_report(0);

    for (unsigned i = 0; i < 2; i++) {
        uint64_t started = now_nsec();

        host_await(host_fork(host_compute_once, report, 1));
        assert_int_equal(report->result, 0);
        if (life_nsec < LIVES * (now_nsec() - started))
            life_nsec = LIVES * (now_nsec() - started);
        for (uint64_t begin = now_nsec(); host_executors(NULL, 0) > 0; usleep(1000))
            assert_true(now_nsec() - begin < HOST_PATIENCE_NSEC);
        usleep(1000000); /* connections that have ended are still being closed */
        now = host_rest();
    }
    assert_in_range(before.free_memory - now.free_memory, 0, 2 << 20);
    return now;
}

TEST(test_storm)
{
    HostReport *report = host_report(0), *opened = host_report(OPENED);
    HostRest rest = first_session();
    uint64_t begin = now_nsec(), settled;

    srandom(1);
    run_storm(opened);
    settled = host_await_rest(&rest);
    printf("# %u sessions in %.1f s, %u of them had a context: %u guest processes and %u executors "
           "killed, %u ended by "
           "themselves\n",
           n_sessions, (double) (now_nsec() - begin) / 1e9, (unsigned) opened->n, counts.guests,
           counts.executors, counts.ends);
    printf("# all %llu MiB free, and all descriptors closed, %.1f ms after the last\n",
           (unsigned long long) (rest.free_memory / MIB), (double) settled / 1e6);
    assert_true(opened->n >= n_sessions / 10);
    assert_true(counts.guests > 0 && counts.executors > 0);

    host_await(host_fork(host_compute_once, report, 2));
    assert_int_equal(report->result, 0);
    (void) host_await_rest(&rest);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_storm)};

    host_main(argc, argv, "[Limits]\nFaultLimit=0\n", &n_sessions);
    if (n_sessions == 0)
        return EXIT_FAILURE;
    return cmocka_run_group_tests_name("session-storms", tests, host_start, host_end);
}

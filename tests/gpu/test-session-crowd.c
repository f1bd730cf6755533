/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Eight sessions at once, each with numbers of its own: one is killed, one faults, the others'
 * results stay right. And what a session leaves in the device's memory, the next one does not see.
 */
#include "clock.h"
#include "guest-process.h"
#include "session-host.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_SESSIONS 8u
#define KILLED 2u
#define FAULTING 5u
#define ROUNDS 20u
#define PATTERN 0xa5c35a3cu
#define PIECES_MAX 512u
#define MIB (UINT64_C(1) << 20)

/* ---- Eight at once ----------------------------------------------------------------------------
 */

static void compute_and_fault(HostReport *report, uint32_t seed)
{
    GuestProcess g;
    int r = guest_process_open(&g);

    while (r == 0) {
        r = guest_process_compute(&g, seed++);
        __atomic_store_n(&report->n, report->n + 1, __ATOMIC_RELEASE);
        if (r == 0 && __atomic_load_n(&report->stop, __ATOMIC_ACQUIRE)) {
            r = guest_process_launch(&g, GUEST_ILLEGAL_ADDRESS, 1, 1, 0, NULL, 0);
            if (r == 0)
                r = guest_process_wait(&g);
        }
    }
    host_say(report, r);
    guest_process_close(&g);
}

TEST(test_eight)
{
    HostReport *reports[N_SESSIONS];
    HostRest rest = host_rest();
    pid_t pids[N_SESSIONS];
    int status;

    for (unsigned i = 0; i < N_SESSIONS; i++) {
        reports[i] = host_report(i);
        pids[i] = host_fork(i == FAULTING ? compute_and_fault : host_compute_on, reports[i],
                            (i + 1) * 1000000);
    }
    for (unsigned i = 0; i < N_SESSIONS; i++)
        host_await_rounds(reports[i], ROUNDS);
    assert_int_equal(host_executors(NULL, 0), N_SESSIONS);

    assert_int_equal(kill(pids[KILLED], SIGKILL), 0);
    assert_int_equal(waitpid(pids[KILLED], &status, 0), pids[KILLED]);
    __atomic_store_n(&reports[FAULTING]->stop, true, __ATOMIC_RELEASE);
    host_await(pids[FAULTING]);
    assert_int_equal(reports[FAULTING]->result, 700);

    for (unsigned i = 0; i < N_SESSIONS; i++)
        if (i != KILLED && i != FAULTING)
            host_await_rounds(reports[i], ROUNDS);
    for (unsigned i = 0; i < N_SESSIONS; i++) {
        if (i == KILLED || i == FAULTING)
            continue;
        __atomic_store_n(&reports[i]->stop, true, __ATOMIC_RELEASE);
        host_await(pids[i]);
        assert_int_equal(reports[i]->result, 0);
        printf("# session %u: %llu rounds, the longest %.1f ms\n", i,
               (unsigned long long) reports[i]->n, (double) reports[i]->longest_ns / 1e6);
    }
    rest.n_fds = host_rest().n_fds; /* what the first sessions have left is there to stay */
    printf("# all memory free %.1f ms after the last\n", (double) host_await_rest(&rest) / 1e6);
}

/* ---- What a session leaves ----------------------------------------------------------------------
 */

typedef struct Pieces {
    uint64_t address[PIECES_MAX];
    uint64_t size; /* bytes of each */
    unsigned n;
} Pieces;

/* Nearly all that there is, on a GPU */
static int take_memory(GuestProcess *g, Pieces *ret)
{
    uint64_t bytes = 64 * MIB;
    int r = 0;

    *ret = (Pieces){.size = 4 * MIB};
    if (host_is_gpu()) {
        const VGPUSessionMemory none = {0};
        VGPUSessionReply reply;

        r = vgpu_session_call(g->session, VGPU_SESSION_OP_MEMORY_INFO, &g->from, &none,
                              sizeof(none), NULL, 0, &reply);
        if (r != 0)
            return r;
        *ret = (Pieces){.size = 512 * MIB};
        bytes = reply.value[0] / 16 * 15;
    }
    for (; r == 0 && ret->n < bytes / ret->size && ret->n < PIECES_MAX; ret->n++)
        r = vgpu_session_memory_alloc(g->session, &g->from, ret->size, &ret->address[ret->n]);
    return r;
}

/* Is killed, and so gives nothing back itself. */
static void fill_memory(HostReport *report, uint32_t value)
{
    GuestProcess g;
    Pieces pieces;
    int r = guest_process_open(&g);

    if (r == 0)
        r = take_memory(&g, &pieces);
    for (unsigned i = 0; r == 0 && i < pieces.n; i++) {
        const VGPUSessionSet set = {.address = pieces.address[i],
                                    .count = pieces.size / 4,
                                    .rows = 1,
                                    .width = 4,
                                    .value = value};

        r = vgpu_session_post(g.session, VGPU_SESSION_OP_SET, &g.from, &set, sizeof(set), NULL, 0);
    }
    if (r == 0)
        r = guest_process_wait(&g);
    report->bytes = r == 0 ? pieces.n * pieces.size : 0;
    host_say(report, r);
    while (true)
        (void) pause();
}

typedef struct Count {
    uint64_t from;
    uint32_t value, pad;
    uint64_t n, count;
} Count;

/* report->n: how many numbers of all that memory are not @value */
static int count_others(GuestProcess *g, const Pieces *pieces, uint32_t value, uint64_t *ret)
{
    const VGPUSessionSet zero = {.address = g->memory, .count = 2, .rows = 1, .width = 4};
    int r =
        vgpu_session_post(g->session, VGPU_SESSION_OP_SET, &g->from, &zero, sizeof(zero), NULL, 0);

    for (unsigned i = 0; r == 0 && i < pieces->n; i++) {
        const Count count = {
            .from = pieces->address[i], .value = value, .n = pieces->size / 4, .count = g->memory};

        r = guest_process_launch(g, GUEST_COUNT_OTHERS, 1024, 256, 0, &count, sizeof(count));
    }
    if (r == 0)
        r = vgpu_session_download(g->session, &g->from, 0, ret, g->memory, sizeof(*ret));
    return r != 0 ? r : vgpu_session_get_latched(g->session);
}

static void look_for_others(HostReport *report, uint32_t value)
{
    GuestProcess g;
    Pieces pieces;
    int r = guest_process_open(&g);

    if (r == 0)
        r = take_memory(&g, &pieces);
    if (r == 0)
        r = count_others(&g, &pieces, value, &report->n);
    report->bytes = r == 0 ? pieces.n * pieces.size : 0;
    host_say(report, r);
    guest_process_close(&g);
}

static void say_why(const HostReport *report)
{
    char *log = report->result != 0 ? test_mediator_log(host_mediator()) : NULL;

    for (char *line = log ? strtok(log, "\n") : NULL; line; line = strtok(NULL, "\n"))
        printf("# %s\n", line);
    free(log);
}

TEST(test_memory_is_clean)
{
    HostReport *filled = host_report(0), *seen = host_report(1);
    HostRest rest = host_rest();
    pid_t pid = host_fork(fill_memory, filled, PATTERN);

    host_await_done(filled);
    say_why(filled);
    assert_int_equal(filled->result, 0);
    assert_true(filled->bytes > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void) host_await_rest(&rest);

    host_await(host_fork(look_for_others, seen, 0));
    say_why(seen);
    assert_int_equal(seen->result, 0);
    assert_int_equal(seen->bytes, filled->bytes);
    assert_int_equal(seen->n, 0);
    printf("# %llu MiB filled and left; all of them are 0 for the next session\n",
           (unsigned long long) (filled->bytes / MIB));

    /* The kernel that counts does count. */
    host_await(host_fork(look_for_others, seen, PATTERN));
    assert_int_equal(seen->n, filled->bytes / 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eight),
        cmocka_unit_test(test_memory_is_clean),
    };

    host_main(argc, argv, "[Limits]\nFaultLimit=0\n", NULL);
    return cmocka_run_group_tests_name("session-crowd", tests, host_start, host_end);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every fault of a kernel in one session, beside a neighbour that computes and checks its numbers
 * all the time. Comments say, of each fault, the CUresult that reaches the guest, how long it takes
 * from there until a new session has computed, and the neighbour's longest round meanwhile: three
 * copies, two kernels, two waits.
 */
#include "clock.h"
#include "guest-process.h"
#include "session-host.h"
#include "test.h"

#include <stdio.h>
#include <unistd.h>

#define NEIGHBOUR 0u
#define FAULTY 1u
#define AFTER 2u
#define LARGE_SHARED (1u << 20)

static struct {
    HostReport *report;
    pid_t pid;
    uint64_t quiet_ns; /* its longest round while nothing is wrong */
} neighbour;

/* ---- The faults ------------------------------------------------------------------------------ */

static int launch_with_memory(GuestProcess *g, GuestKernel kernel)
{
    return guest_process_launch(g, kernel, 1, 1, 0, &g->memory, sizeof(g->memory));
}

static int fault_alone(GuestProcess *g, GuestKernel kernel)
{
    return guest_process_launch(g, kernel, 1, 1, 0, NULL, 0);
}

static int fault_assert(GuestProcess *g, GuestKernel kernel)
{
    const int32_t number = -1;

    return guest_process_launch(g, kernel, 1, 1, 0, &number, sizeof(number));
}

/* The kernel looks at the memory's first word. */
static int fault_while_zero(GuestProcess *g, GuestKernel kernel)
{
    const VGPUSessionSet zero = {.address = g->memory, .count = 1, .rows = 1, .width = 4};
    int r =
        vgpu_session_post(g->session, VGPU_SESSION_OP_SET, &g->from, &zero, sizeof(zero), NULL, 0);

    return r != 0 ? r : launch_with_memory(g, kernel);
}

static int fault_jump(GuestProcess *g, GuestKernel kernel)
{
    const VGPUSessionSet ones = {
        .address = g->memory, .count = 1024, .rows = 1, .width = 4, .value = UINT32_MAX};
    int r =
        vgpu_session_post(g->session, VGPU_SESSION_OP_SET, &g->from, &ones, sizeof(ones), NULL, 0);

    return r != 0 ? r : launch_with_memory(g, kernel);
}

static int fault_shared(GuestProcess *g, GuestKernel kernel)
{
    const uint64_t time = 0;

    return guest_process_launch(g, kernel, 1, 1, LARGE_SHARED, &time, sizeof(time));
}

typedef struct Fault {
    const char *name;
    int (*launch)(GuestProcess *g, GuestKernel kernel);
    GuestKernel kernel;
    bool survives;  /* the session does */
    int results[7]; /* one of these; a GPU chooses */
} Fault;

static const Fault faults[] = {
    {"illegal address", fault_alone, GUEST_ILLEGAL_ADDRESS, false, {700}},
    {"misaligned address", launch_with_memory, GUEST_MISALIGNED, false, {716}},
    {"assertion", fault_assert, GUEST_ASSERT, false, {710}},
    {"trap", fault_alone, GUEST_TRAP, false, {719}},
    {"stack overflow", fault_while_zero, GUEST_STACK_OVERFLOW, false, {714, 700, 717, 719}},
    {"no instructions", fault_jump, GUEST_JUMP, false, {715, 718, 700, 714, 716, 717, 719}},
    {"endless, KernelTimeoutSec=1", fault_while_zero, GUEST_ENDLESS, false, {702}},
    {"too much shared memory", fault_shared, GUEST_BUSY, true, {1, 701}},
};

static bool is_wanted(const Fault *fault, int result)
{
    for (size_t i = 0; i < sizeof(fault->results) / sizeof(fault->results[0]); i++)
        if (fault->results[i] != 0 && fault->results[i] == result)
            return true;
    return false;
}

/* In a process of its own. Ends with another status than 0 when something but the fault is wrong.
 */
static void run_fault(HostReport *report, uint32_t seed)
{
    const Fault *fault = &faults[seed];
    GuestProcess g;
    int r = guest_process_open(&g);

    if (r == 0)
        r = guest_process_compute(&g, seed);
    if (r != 0)
        _exit(10);
    r = fault->launch(&g, fault->kernel);
    if (r == 0)
        r = guest_process_wait(&g);
    host_say(report, r);
    r = guest_process_compute(&g, seed);
    if (fault->survives ? r != 0 : r != report->result)
        _exit(11);
    if (!fault->survives && vgpu_session_get_sticky(g.session) != report->result)
        _exit(12);
    guest_process_close(&g);
}

/* ---- Tests -------------------------------------------------------------------------------------
 */

static uint64_t take_longest(void)
{
    return __atomic_exchange_n(&neighbour.report->longest_ns, 0, __ATOMIC_RELAXED);
}

static int start_neighbour(void **state)
{
    int r = host_start(state);

    if (r != 0)
        return r;
    neighbour.report = host_report(NEIGHBOUR);
    neighbour.pid = host_fork(host_compute_on, neighbour.report, 1000);
    host_await_rounds(neighbour.report, 5);
    (void) take_longest();
    host_await_rounds(neighbour.report, 50);
    neighbour.quiet_ns = take_longest();
    printf("# %-28s %6s %14s %20s\n", "fault", "result", "recovery (ms)", "neighbour's (ms)");
    printf("# %-28s %6s %14s %20.3f\n", "none", "", "", (double) neighbour.quiet_ns / 1e6);
    return 0;
}

static int end_neighbour(void **state)
{
    __atomic_store_n(&neighbour.report->stop, true, __ATOMIC_RELEASE);
    host_await(neighbour.pid);
    return neighbour.report->result == 0 ? host_end(state) : -1;
}

static void test_fault(void **state)
{
    const Fault *fault = *state;
    HostReport *faulty = host_report(FAULTY), *after = host_report(AFTER);
    pid_t pid;

    (void) take_longest();
    pid = host_fork(run_fault, faulty, (uint32_t) (fault - faults));
    host_await_done(faulty);
    host_await(host_fork(host_compute_once, after, 7));
    host_await(pid);
    host_await_rounds(neighbour.report, 3);

    printf("# %-28s %6d %14.1f %20.3f\n", fault->name, faulty->result,
           (double) (after->at_nsec - faulty->at_nsec) / 1e6, (double) take_longest() / 1e6);
    if (!is_wanted(fault, faulty->result))
        fail_msg("%s: the guest sees %d", fault->name, faulty->result);
    assert_int_equal(after->result, 0);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[sizeof(faults) / sizeof(faults[0])];

    host_main(argc, argv, "KernelTimeoutSec=1\n[Limits]\nFaultLimit=0\n", NULL);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        tests[i] = (struct CMUnitTest){
            .name = faults[i].name, .test_func = test_fault, .initial_state = (void *) &faults[i]};
    return cmocka_run_group_tests_name("session-faults", tests, start_neighbour, end_neighbour);
}

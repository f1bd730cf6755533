/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the scheduler costs a request (push, pick, complete) with 1, 100 and 10,000 VMs, and what a
 * change of priority costs a VM that has 1,000 requests among 10,000. Under the policy fifo the
 * cost of a request should not depend on the number of VMs; under fair, it grows with its
 * logarithm.
 *
 * What it shows: the scheduler alone, its memory included. With many VMs that does not fit into
 * the caches any more, which is part of the figure. What it does not show: the sockets, which cost
 * a request a hundred times as much.
 */
#include <stdio.h>
#include <stdlib.h>

#include "measure.h"
#include "scheduler.h"

#define REPETITIONS 9
#define REQUESTS 2000000

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n, size);

    if (!p)
        exit(EXIT_FAILURE);
    return p;
}

/* Each VM has one request outstanding, as a device has, and submits the next one when that is
 * done. Priorities are mixed. */
static double run(unsigned n_vms, SchedPolicy policy)
{
    SchedClient *clients = allocate(n_vms, sizeof(*clients));
    SchedRequest *requests = allocate(n_vms, sizeof(*requests));
    uint64_t next_arrival = 0;
    Scheduler s;
    double begin;

    scheduler_init(&s, &next_arrival, 16, n_vms + 1);
    scheduler_set_policy(&s, policy);
    for (unsigned i = 0; i < n_vms; i++) {
        sched_client_init(&clients[i], 64);
        if (scheduler_push(&s, &clients[i], &requests[i], i % VGPU_N_PRIORITIES, 0) != 0)
            exit(EXIT_FAILURE);
    }

    begin = now_sec();
    for (unsigned i = 0; i < REQUESTS; i++) {
        SchedRequest *r = scheduler_pick(&s, i);

        sched_request_complete(r, i % 100);
        if (scheduler_push(&s, r->client, r, i % VGPU_N_PRIORITIES, i) != 0)
            exit(EXIT_FAILURE);
    }
    double per_request = (now_sec() - begin) * 1e9 / REQUESTS;

    free(requests);
    free(clients);
    return per_request;
}

/* The worst case: the VM's requests stand among the arrivals of all others. */
static double run_set_priority(void)
{
    enum { VMS = 10, PER_VM = 1000 };
    SchedClient *clients = allocate(VMS, sizeof(*clients));
    SchedRequest *requests = allocate(VMS * PER_VM, sizeof(*requests));
    uint64_t next_arrival = 0;
    Scheduler s;
    double begin, spent;

    scheduler_init(&s, &next_arrival, 16, VMS * PER_VM);
    for (unsigned i = 0; i < VMS; i++)
        sched_client_init(&clients[i], PER_VM);
    for (unsigned i = 0; i < VMS * PER_VM; i++) {
        unsigned vm = i % VMS;

        if (scheduler_push(&s, &clients[vm], &requests[i],
                           vm == 0 ? VGPU_PRIORITY_LOW : VGPU_PRIORITY_HIGH, i) != 0)
            exit(EXIT_FAILURE);
    }

    begin = now_sec();
    sched_client_set_priority(&clients[0], VGPU_PRIORITY_HIGH);
    spent = (now_sec() - begin) * 1e6;

    free(requests);
    free(clients);
    return spent;
}

static void compare(const char *name, SchedPolicy policy, const char *aim)
{
    double one[REPETITIONS], hundred[REPETITIONS], many[REPETITIONS], base;

    (void) run(1, policy);
    for (unsigned i = 0; i < REPETITIONS; i++) {
        one[i] = run(1, policy);
        hundred[i] = run(100, policy);
        many[i] = run(10000, policy);
    }

    base = median(one, REPETITIONS);
    printf("%s, 1 VM:       %.1f ns a request\n", name, base);
    printf("%s, 100 VMs:    %.1f ns a request, ratio %.2f%s\n", name, median(hundred, REPETITIONS),
           median(hundred, REPETITIONS) / base, aim);
    printf("%s, 10000 VMs:  %.1f ns a request, ratio %.2f%s, to 100 VMs %.2f%s\n", name,
           median(many, REPETITIONS), median(many, REPETITIONS) / base, aim,
           median(many, REPETITIONS) / median(hundred, REPETITIONS), aim);
}

int main(void)
{
    double move[REPETITIONS];

    compare("fifo", SCHED_FIFO, " (aim <= 1.5)");
    compare("fair", SCHED_FAIR, "");
    for (unsigned i = 0; i < REPETITIONS; i++)
        move[i] = run_set_priority();
    printf("set-priority of 1,000 requests among 10,000: %.0f us (aim < 1000)\n",
           median(move, REPETITIONS));
    return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host for tests of many sessions: a mediator of the test's own with the real executor, over the
 * fake driver or the host's own, processes that open sessions on it, and what is left of them.
 */
#ifndef SESSION_HOST_H
#define SESSION_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mediator.h"

/* The most that anything takes here, on a machine that does other things beside */
#define HOST_PATIENCE_NSEC (60 * UINT64_C(1000000000))

/*
 * host_main() - reads a test program's arguments: fake or gpu, and a number
 * @config: mediator.conf, from the pool's own settings on
 * @ret_number: what the second one says; left alone without it
 *
 * Ends the program, as skipped, with gpu where there is none.
 */
void host_main(int argc, char **argv, const char *config, unsigned *ret_number);

/* host_is_gpu() - is it the host's own driver? */
bool host_is_gpu(void);

/* host_start(), host_end() - around a group of tests */
int host_start(void **state);
int host_end(void **state);

/* host_mediator() - the one that runs */
const TestMediator *host_mediator(void);

/* host_free_memory() - bytes of the device that nobody has */
uint64_t host_free_memory(void);

/* host_executors() - how many sessions' executors there are. @ret: the first @max of them */
unsigned host_executors(pid_t *ret, unsigned max);

/* What is there while nobody has a session */
typedef struct HostRest {
    uint64_t free_memory;
    unsigned n_fds; /* the mediator's: windows, eventfds, control pages, connections */
} HostRest;

HostRest host_rest(void);

/* host_await_rest() - until all is as it was, or less. Returns the nanoseconds that it took; fails
 * the test after HOST_PATIENCE_NSEC, and on a GPU after a second */
uint64_t host_await_rest(const HostRest *rest);

/* ---- Processes -------------------------------------------------------------------------------
 */

/* What a process and the test tell each other, in memory that both have */
typedef struct HostReport {
    bool stop;           /* the test: come to an end */
    bool is_done;        /* the process: the other members are final */
    int result;          /* CUresult, or GUEST_WRONG */
    uint64_t n;          /* rounds computed */
    uint64_t longest_ns; /* the longest of them, since the test has cleared it */
    uint64_t at_nsec;    /* when the result came, by now_nsec() */
    uint64_t bytes;
} HostReport;

/* host_report() - cleared; there are HOST_REPORTS_MAX of them */
#define HOST_REPORTS_MAX 64u
HostReport *host_report(unsigned index);

/* host_fork() - a child that runs @body, and ends with status 0 if that returns */
pid_t host_fork(void (*body)(HostReport *report, uint32_t seed), HostReport *report, uint32_t seed);

/* host_await() - until the child ends; its status must be 0 */
void host_await(pid_t pid);

/* host_await_done() - until the process has said its last word */
void host_await_done(const HostReport *report);

/* host_await_rounds() - until the process has computed @n more; fails the test when it has ended */
void host_await_rounds(const HostReport *report, uint64_t n);

/* host_compute_on() - a body: open a session, and compute until it is told to stop */
void host_compute_on(HostReport *report, uint32_t seed);

/* host_compute_once() - a body: open a session, compute once */
void host_compute_once(HostReport *report, uint32_t seed);

/* host_say() - the process's last word */
void host_say(HostReport *report, int result);

#endif

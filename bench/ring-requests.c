/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring through mediator and executor, beside two floors. All are measured in turn, several
 * times; the results are medians of the ratios.
 *
 * - One request at a time, which the guest waits for by eventfd, beside two processes that only
 *   wake each other by eventfd. Also a guest that spins, beside the same: what spinning is worth.
 * - 64 outstanding, beside the executor alone with 64 outstanding: once with nothing to do, which
 *   is all overhead, and once with sums of vectors of 32 KiB each.
 *
 * What it shows: what the mediator and the executor cost. What it does not show: KVM's part, from
 * the doorbell's register to the eventfd and from the eventfd to the guest, nor a GPU (the backend
 * is cpu).
 *
 * With the argument "cuda", the backend is cuda, and one request at a time is measured that adds
 * one number to another, beside one with nothing to do. cuda-floor has what such an addition takes
 * without us.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor-protocol.h"
#include "measure.h"
#include "mediator.h"
#include "ring-guest.h"
#include "test-executor-client.h"
#include "wire.h"

#define REPETITIONS 7
#define ROUNDS_ONE 20000
#define ROUNDS_MANY 200000
#define MANY 64
#define ELEMENTS 4096

/* ---- The floor of one: two processes and two eventfds ------------------------------- */

static void wake(int fd)
{
    const uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one))
        die("cannot write an eventfd");
}

static void sleep_on(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) != sizeof(count))
        die("cannot read an eventfd");
}

static double ping_pong(unsigned rounds)
{
    int ping = eventfd(0, EFD_CLOEXEC), pong = eventfd(0, EFD_CLOEXEC);
    pid_t pid = ping < 0 || pong < 0 ? -1 : fork();
    double begin;

    if (pid < 0)
        die("cannot start the other process");
    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            sleep_on(ping);
            wake(pong);
        }
    }

    begin = now_sec();
    for (unsigned i = 0; i < rounds; i++) {
        wake(ping);
        sleep_on(pong);
    }
    begin = now_sec() - begin;

    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    close(ping);
    close(pong);
    return begin * 1e6 / rounds;
}

/* ---- The floor of many: the executor alone ---------------------------------------------- */

static void send_jobs(Client *c, const VGPUSubmission *job, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const ExecutorCompute compute = {.submission = *job};
        ExecutorMessage *m = executor_writer_begin(&c->requests);

        m->header = (ExecutorHeader){
            .type = EXECUTOR_MSG_COMPUTE,
            .length = sizeof(compute),
            .tag = i,
        };
        memcpy(m->payload, &compute, sizeof(compute));
    }
    executor_writer_flush(&c->requests);
}

static void send_window(Client *c, const RingGuest *g)
{
    unsigned char m[64];

    if (!client_send_with_fds(c, m, message_window(m, EXECUTOR_MSG_WINDOW_ADD, 0), g->fds, 1))
        die("cannot send the window");
}

/* Receives all results that are there, and waits for at least one. */
static unsigned receive_results(Client *c)
{
    const ExecutorMessage *m;
    unsigned n = 0;

    while (n == 0) {
        while (executor_reader_next(&c->answers, &m) > 0) {
            ExecutorResult result;

            memcpy(&result, m->payload, sizeof(result));
            if (result.status != VGPU_ERROR_NONE)
                die("the executor failed");
            executor_reader_pop(&c->answers);
            n++;
        }
        if (n == 0 && executor_reader_sleep(&c->answers) == 0)
            sleep_on(c->process.fds[EXECUTOR_FD_ANSWERS_EVENT]);
    }
    return n;
}

static double run_executor_alone(const RingGuest *g, const VGPUSubmission *job, unsigned rounds)
{
    const ClientOptions options = {
        .executor = getenv("VGPU_EXECUTOR"), .backend = "cpu", .slots = MANY};
    Client *c = client_start(&options);
    unsigned done = 0;
    double begin;

    client_hello(c);
    send_window(c, g);
    if (fcntl(c->process.fds[EXECUTOR_FD_ANSWERS_EVENT], F_SETFL, O_RDWR) < 0)
        die("cannot wait for the executor");
    begin = now_sec();
    send_jobs(c, job, MANY);
    while (done < rounds) {
        unsigned n = receive_results(c);

        done += n;
        send_jobs(c, job, n);
    }
    begin = now_sec() - begin;

    client_hang_up(c);
    (void) client_end(c, NULL);
    return done / begin;
}

/* ---- The ring ------------------------------------------------------------------------ */

static int connect_ring(const TestMediator *m, const RingGuest *g)
{
    const VGPUHello hello = {.features = VGPU_FEATURE_RING};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 1, 0, VGPU_PRIORITY_MEDIUM, sizeof(hello));
    int fd = wire_connect(m->socket);
    WireMessage welcome, ready;

    if (fd < 0 || !wire_send(fd, &h, &hello) || wire_receive(fd, &welcome) != 1 ||
        !ring_guest_setup(g, fd, 1, VGPU_RING_N_FDS) || wire_receive(fd, &ready) != 1 ||
        ready.header.msg_type != VGPU_MSG_RING_READY)
        die("no ring");
    return fd;
}

static void take(RingGuest *g)
{
    VGPUCompletion c;

    if (!ring_guest_wait(g, &c, WIRE_TIMEOUT_MSEC) || c.status != VGPU_ERROR_NONE)
        die("no completion");
}

static double run_row(RingGuest *g, const VGPUSubmission *job, unsigned rounds)
{
    double begin = now_sec();

    for (unsigned i = 0; i < rounds; i++) {
        ring_guest_submit(g, job);
        take(g);
    }
    return (now_sec() - begin) * 1e6 / rounds;
}

static double run_one(RingGuest *g, unsigned rounds)
{
    const VGPUSubmission nop = ring_guest_nop(1);

    return run_row(g, &nop, rounds);
}

static double run_many(RingGuest *g, const VGPUSubmission *job, unsigned rounds)
{
    unsigned outstanding = 0, done = 0;
    double begin = now_sec();
    VGPUCompletion c;

    while (done < rounds) {
        for (; outstanding < MANY; outstanding++)
            ring_guest_fill(g, job);
        (void) ring_guest_publish(g);
        take(g);
        outstanding--, done++;
        while (ring_guest_take(g, &c))
            outstanding--, done++;
    }
    begin = now_sec() - begin;
    for (; outstanding > 0; outstanding--)
        take(g);
    return done / begin;
}

/* ---- The comparison ------------------------------------------------------------------ */

typedef struct Comparison {
    double floor[REPETITIONS], ours[REPETITIONS], ratio[REPETITIONS];
} Comparison;

static void compare(Comparison *c, unsigned i, double floor, double ours)
{
    c->floor[i] = floor;
    c->ours[i] = ours;
    c->ratio[i] = ours / floor;
}

/* Keeps 64 outstanding, in turn with the executor alone. */
static void compare_many(RingGuest *g, const VGPUSubmission *job, unsigned rounds, const char *name)
{
    uint64_t doorbells = g->n_doorbells, signals = g->n_signals;
    Comparison c;

    for (unsigned i = 0; i < REPETITIONS; i++) {
        double floor = run_executor_alone(g, job, rounds);

        compare(&c, i, floor, run_many(g, job, rounds));
    }
    printf("ring, depth %d, %s: executor %.0f/s, ring %.0f/s, ratio %.2f (aim >= 0.7)\n", MANY,
           name, median(c.floor, REPETITIONS), median(c.ours, REPETITIONS),
           median(c.ratio, REPETITIONS));
    printf("  for each request: %.4f doorbells, %.4f signals waited for\n",
           (double) (g->n_doorbells - doorbells) / (REPETITIONS * rounds),
           (double) (g->n_signals - signals) / (REPETITIONS * rounds));
}

static void compare_one(RingGuest *g)
{
    Comparison one, spun;

    for (unsigned i = 0; i < REPETITIONS; i++) {
        double floor = ping_pong(ROUNDS_ONE);

        compare(&one, i, floor, run_one(g, ROUNDS_ONE));
        g->spins = true;
        compare(&spun, i, floor, run_one(g, ROUNDS_ONE));
        g->spins = false;
    }
    printf("ring, depth 1:  eventfd %.1f us, ring %.1f us, ratio %.2f (aim <= 2.5)\n",
           median(one.floor, REPETITIONS), median(one.ours, REPETITIONS),
           median(one.ratio, REPETITIONS));
    printf("  guest spins:  eventfd %.1f us, ring %.1f us, ratio %.2f\n",
           median(spun.floor, REPETITIONS), median(spun.ours, REPETITIONS),
           median(spun.ratio, REPETITIONS));
}

static void measure_additions(RingGuest *g)
{
    const VGPUSubmission nop = ring_guest_nop(1),
                         sum = ring_guest_add(1, 1, 1 << 20, 2 << 20, 3 << 20);
    double nothing[REPETITIONS], addition[REPETITIONS];

    for (unsigned spins = 0; spins < 2; spins++) {
        g->spins = spins;
        (void) run_row(g, &sum, ROUNDS_ONE / 10);
        for (unsigned i = 0; i < REPETITIONS; i++) {
            nothing[i] = run_row(g, &nop, ROUNDS_ONE);
            addition[i] = run_row(g, &sum, ROUNDS_ONE);
        }
        printf("ring, cuda, depth 1, guest %s: nothing to do %.2f us, one addition %.2f us\n",
               spins ? "spins" : "sleeps", median(nothing, REPETITIONS),
               median(addition, REPETITIONS));
    }
}

int main(int argc, char **argv)
{
    const bool cuda = argc > 1 && strcmp(argv[1], "cuda") == 0;
    const VGPUSubmission nop = ring_guest_nop(1),
                         sum = ring_guest_add(1, ELEMENTS, 1 << 20, 2 << 20, 3 << 20);
    TestMediator mediator;
    RingGuest g;
    int fd;

    if (test_mediator_start(&mediator,
                            cuda ? "[Pool A]\nBackend=cuda\nInFlight=64\n"
                                 : "[Pool A]\nBackend=cpu\nInFlight=64\n",
                            "none") < 0 ||
        ring_guest_open(&g, VGPU_WINDOW_SIZE_DEFAULT, 0, 128, 0) < 0)
        return EXIT_FAILURE;
    fd = connect_ring(&mediator, &g);
    (void) run_one(&g, ROUNDS_ONE / 10);

    if (cuda) {
        measure_additions(&g);
    } else {
        compare_one(&g);
        compare_many(&g, &nop, ROUNDS_MANY, "nothing to do");
        compare_many(&g, &sum, ROUNDS_MANY / 4, "sums of 4096 int64");
    }

    close(fd);
    ring_guest_close(&g);
    return test_mediator_stop(&mediator) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CUDA through a session, by the mediator's socket on the same machine, beside the driver itself:
 * the two in turn, each in a process of its own, several times. Printed are the medians and the
 * median of the ratios, ours to native.
 *
 * Then the mediator's share of a core while eight sessions launch and wait without a pause.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"
#include "mediator.h"
#include "sessions.h"

#define REPETITIONS 9
#define CONTEXTS 5
#define FLAT_OUT 8
#define FLAT_OUT_SEC 3

static const struct {
    const char *name, *unit, *aim;
} figures[N_FIGURES] = {
    [FIGURE_LAUNCH_CALL] = {"launch, time in the caller", "ns", "ours <= 600"},
    [FIGURE_LAUNCH_RATE] = {"launches", "thousand/s", ">= 0.95"},
    [FIGURE_LAUNCH_WAIT] = {"launch and synchronize", "us", "native + 3"},
    [FIGURE_PINNED_UP] = {"pinned, 256 MiB up", "GB/s", ">= 0.98"},
    [FIGURE_PINNED_DOWN] = {"pinned, 256 MiB down", "GB/s", ">= 0.98"},
    [FIGURE_PAGEABLE_UP] = {"pageable, 256 MiB up", "GB/s", ">= 0.95"},
    [FIGURE_PAGEABLE_DOWN] = {"pageable, 256 MiB down", "GB/s", ">= 0.95"},
    [FIGURE_REGISTER] = {"register and give up 32 MiB", "ms", "said"},
    [FIGURE_REGISTERED_UP] = {"registered, 32 MiB up", "GB/s", ">= 0.95"},
    [FIGURE_REGISTERED_DOWN] = {"registered, 32 MiB down", "GB/s", ">= 0.95"},
    [FIGURE_SMALL_UP] = {"4 KiB up", "us", "native + 2"},
    [FIGURE_SMALL_DOWN] = {"4 KiB down", "us", "native + 2"},
    [FIGURE_REPLAY_RATE] = {"replays of three kernels", "thousand/s", ">= 0.98"},
};

/* ---- A way in a process of its own ----------------------------------------------------------- */

typedef struct Worker {
    pid_t pid;
    int ask, answer;
} Worker;

static void worker_serve(const Way *way, int ask, int answer)
{
    double begin = now_sec(), value;
    Figure f;

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    way->begin();
    value = (now_sec() - begin) * 1e3;
    while (write(answer, &value, sizeof(value)) == sizeof(value) &&
           read(ask, &f, sizeof(f)) == sizeof(f))
        value = way->figure(f);
    exit(EXIT_SUCCESS);
}

static double worker_value(const Worker *w)
{
    double value;
    int status;

    if (read(w->answer, &value, sizeof(value)) == sizeof(value))
        return value;
    if (waitpid(w->pid, &status, 0) == w->pid && WIFEXITED(status) && WEXITSTATUS(status) == 77)
        exit(77);
    die("a process that measures has ended");
}

/* Returns the milliseconds up to its first context. */
static double worker_start(Worker *w, const Way *way)
{
    int ask[2], answer[2];

    if (pipe(ask) < 0 || pipe(answer) < 0)
        die("pipe");
    w->pid = fork();
    if (w->pid < 0)
        die("fork");
    if (w->pid == 0) {
        close(ask[1]);
        close(answer[0]);
        worker_serve(way, ask[0], answer[1]);
    }
    close(ask[0]);
    close(answer[1]);
    w->ask = ask[1];
    w->answer = answer[0];
    return worker_value(w);
}

static double worker_figure(const Worker *w, Figure f)
{
    if (write(w->ask, &f, sizeof(f)) != sizeof(f))
        die("a process that measures has ended");
    return worker_value(w);
}

static void worker_stop(Worker *w)
{
    close(w->ask);
    close(w->answer);
    (void) waitpid(w->pid, NULL, 0);
}

/* ---- Figures ----------------------------------------------------------------------------------
 */

static void print_figure(const char *name, const char *unit, const char *aim, double *native,
                         double *ours, size_t n)
{
    double ratio[REPETITIONS];

    for (size_t i = 0; i < n; i++)
        ratio[i] = ours[i] / native[i];
    printf("%-28s native %9.2f, session %9.2f %s, ratio %.3f (aim %s)\n", name, median(native, n),
           median(ours, n), unit, median(ratio, n), aim);
    fflush(stdout);
}

/* Who registers the window pins its memory, and that is a part of it. */
static void measure_contexts(const char *name, uint64_t window_size)
{
    double native[CONTEXTS], ours[CONTEXTS];
    Worker w;

    session_window_size = window_size;
    for (unsigned i = 0; i < CONTEXTS; i++) {
        native[i] = worker_start(&w, &way_native);
        worker_stop(&w);
        ours[i] = worker_start(&w, &way_session);
        worker_stop(&w);
    }
    print_figure(name, "ms", "<= 1.1", native, ours, CONTEXTS);
}

static bool is_of_launches(Figure f)
{
    return f == FIGURE_LAUNCH_CALL || f == FIGURE_LAUNCH_RATE || f == FIGURE_LAUNCH_WAIT ||
           f == FIGURE_REPLAY_RATE;
}

static void measure_figures(Figure first, Figure last, bool launches)
{
    Worker native, ours;

    (void) worker_start(&native, &way_native);
    (void) worker_start(&ours, &way_session);
    for (unsigned f = first; f <= last; f++) {
        double a[REPETITIONS], b[REPETITIONS];

        if (launches && !is_of_launches(f))
            continue;
        (void) worker_figure(&native, f);
        (void) worker_figure(&ours, f);
        for (unsigned i = 0; i < REPETITIONS; i++) {
            a[i] = worker_figure(&native, f);
            b[i] = worker_figure(&ours, f);
        }
        print_figure(figures[f].name, figures[f].unit, figures[f].aim, a, b, REPETITIONS);
    }
    /* The one that started later has the other's pipe, too. */
    worker_stop(&ours);
    worker_stop(&native);
}

/* ---- The mediator's part ------------------------------------------------------------------------
 */

static double cpu_sec(pid_t pid)
{
    unsigned long user = 0, system = 0;
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    f = fopen(path, "re");
    if (!f || fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                     &system) != 2)
        die("no figures of the mediator");
    fclose(f);
    return (double) (user + system) / (double) sysconf(_SC_CLK_TCK);
}

static void flat_out(int ready)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    way_session.begin();
    (void) way_session.figure(FIGURE_LAUNCH_WAIT);
    (void) !write(ready, "", 1);
    for (;;)
        (void) way_session.figure(FIGURE_LAUNCH_WAIT);
}

static void measure_mediator(pid_t mediator)
{
    pid_t pids[FLAT_OUT];
    double begin;
    char byte;
    int fds[2];

    if (pipe(fds) < 0)
        die("pipe");
    session_window_size = UINT64_C(1) << 30;
    for (unsigned i = 0; i < FLAT_OUT; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            flat_out(fds[1]);
    }
    close(fds[1]);
    for (unsigned i = 0; i < FLAT_OUT; i++)
        if (read(fds[0], &byte, 1) != 1)
            die("a session did not begin");
    begin = cpu_sec(mediator);
    sleep(FLAT_OUT_SEC);
    printf("the mediator, %d sessions flat out: %.2f %% of a core (aim < 2)\n", FLAT_OUT,
           (cpu_sec(mediator) - begin) / FLAT_OUT_SEC * 100);
    fflush(stdout);
    for (unsigned i = 0; i < FLAT_OUT; i++) {
        (void) kill(pids[i], SIGKILL);
        (void) waitpid(pids[i], NULL, 0);
    }
}

/* Pageable copies alone, with so many threads that copy downloads */
static void measure_pageable(unsigned threads)
{
    printf("pageable copies, %u threads\n", threads);
    session_window_size = UINT64_C(1) << 30;
    session_copy_threads = threads;
    measure_figures(FIGURE_PAGEABLE_UP, FIGURE_REGISTERED_DOWN, false);
}

/* With an argument, a part alone: "pageable" copies, by one to four threads; "launches"; or else
 * the mediator's */
int main(int argc, char **argv)
{
    TestMediator mediator;

    if (test_mediator_start(&mediator,
                            "[Pool A]\nBackend=cuda\n[Unregistered]\nPolicy=allow\n"
                            "[Limits]\nWindowSizeMax=1G\n",
                            "none") < 0)
        return EXIT_FAILURE;
    if (setenv("VGPU_SOCKET", mediator.socket, 1) < 0)
        return EXIT_FAILURE;

    if (argc > 1 && strcmp(argv[1], "pageable") == 0) {
        for (unsigned threads = 1; threads <= 4; threads++)
            measure_pageable(threads);
        return test_mediator_stop(&mediator) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (argc > 1) {
        session_window_size = UINT64_C(1) << 30;
        if (strcmp(argv[1], "launches") == 0)
            measure_figures(0, N_FIGURES - 1, true);
        else
            measure_mediator(mediator.pid);
        return test_mediator_stop(&mediator) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    measure_contexts("first context, window 32 MiB", UINT64_C(32) << 20);
    measure_contexts("first context, window 1 GiB", UINT64_C(1) << 30);
    measure_figures(0, N_FIGURES - 1, false);
    measure_mediator(mediator.pid);

    (void) test_mediator_stop(&mediator);
    return EXIT_SUCCESS;
}

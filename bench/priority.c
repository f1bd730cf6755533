/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * priority BACKEND - how long a VM of high priority waits while four of low priority want more
 * than there is. The four keep their rings full of vector additions of a millisecond or two each;
 * the one has a small addition at a time, at random moments. Measured is the 99th percentile of
 * its latency, beside what that can be at best: the 99th percentile with nobody else there, plus
 * the run time of one low request (the median of what the executor reports), since a running
 * request is not interrupted. In turn, several times; medians.
 *
 * What it shows: what mediator and executor add to that, at InFlight=1, for those to whom latency
 * matters, and at the default. What it does not show: VMs, for the guests are processes here, and
 * the five of them share the processors with mediator and executor. A machine that has other work
 * makes some low requests many times longer than the median. A request that comes at random waits
 * for such a one in 1 % of all cases if 1 % of the time is spent in them, so the benchmark prints
 * how long those are.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests.h"

#define REPETITIONS 5
#define N_LOW 4
#define SAMPLES 1000
#define PAUSE_MAX_US 2000
#define ENTRIES 64

/* The window of a low guest: it holds three vectors, and no cache holds those of four guests. */
#define LOW_WINDOW (UINT64_C(64) << 20)
#define LOW_ELEMENTS (UINT64_C(1) << 21)
#define LOW_BYTES (LOW_ELEMENTS * sizeof(int64_t))
#define HIGH_ELEMENTS 16u

#define LOW_TIMES 4096u

/* What the low guests report; the memory is shared with their processes. */
typedef struct Low {
    uint32_t n;     /* completed */
    uint32_t first; /* the first that counts: those before it touch new pages */
    uint32_t run_us[LOW_TIMES];
} Low;

/* ---- Guests ------------------------------------------------------------------ */

/* Never ends. */
static void run_low(const TestMediator *m, uint32_t id, Low *low)
{
    const uint64_t first = VGPU_RING_ALIGNMENT * 4;
    const VGPUSubmission add =
        ring_guest_add(id, LOW_ELEMENTS, first, first + LOW_BYTES, first + 2 * LOW_BYTES);
    unsigned owed = 0;
    VGPUCompletion c;
    RingGuest g;

    guest_start_low(m, &g, LOW_WINDOW, ENTRIES, id, &add);
    for (;;) {
        guest_take(&g, &c, WIRE_TIMEOUT_MSEC);
        guest_submit_again(&g, &add, &owed);
        low->run_us[low->n % LOW_TIMES] = c.exec_time_us;
        __atomic_store_n(&low->n, low->n + 1, __ATOMIC_RELEASE);
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

/* The 99th percentile of the latency, in microseconds */
static double measure_high(RingGuest *g)
{
    const uint64_t first = VGPU_RING_ALIGNMENT * 4, bytes = HIGH_ELEMENTS * sizeof(int64_t);
    const VGPUSubmission add =
        ring_guest_add(0, HIGH_ELEMENTS, first, first + bytes, first + 2 * bytes);
    static double us[SAMPLES];
    VGPUCompletion c;

    for (unsigned i = 0; i < SAMPLES; i++) {
        double begin;

        guest_pause(random() % PAUSE_MAX_US);
        begin = now_sec();
        ring_guest_submit(g, &add);
        guest_take(g, &c, WIRE_TIMEOUT_MSEC);
        us[i] = (now_sec() - begin) * 1e6;
    }
    qsort(us, SAMPLES, sizeof(*us), compare_doubles);
    return us[SAMPLES * 99 / 100 - 1];
}

/* ---- The load ------------------------------------------------------------------ */

static void load_start(const TestMediator *m, Low *low, pid_t *pids)
{
    for (unsigned i = 0; i < N_LOW; i++) {
        low[i].n = 0;
        pids[i] = fork();
        if (pids[i] < 0)
            die("cannot start a guest");
        if (pids[i] == 0)
            run_low(m, 2 + i, &low[i]);
    }
    for (unsigned i = 0; i < N_LOW; i++)
        while (__atomic_load_n(&low[i].n, __ATOMIC_ACQUIRE) == 0)
            guest_pause(1000);
    for (unsigned i = 0; i < N_LOW; i++)
        low[i].first = low[i].n;
}

static void load_end(const pid_t *pids)
{
    for (unsigned i = 0; i < N_LOW; i++) {
        (void) kill(pids[i], SIGKILL);
        (void) waitpid(pids[i], NULL, 0);
    }
}

/* From the run times that the executor reports for the low requests, in microseconds: their
 * median, and the time such that 1 % of all the time is spent in requests that take this long
 * or longer; also the part of @sec in which one ran. */
static double load_run_us(const Low *low, double sec, double *ret_longest, double *ret_busy)
{
    static double us[N_LOW * LOW_TIMES];
    double sum = 0, above = 0;
    size_t n = 0, i;

    for (unsigned v = 0; v < N_LOW; v++)
        for (unsigned j = low[v].first; j < low[v].n && j < LOW_TIMES; j++)
            sum += us[n++] = low[v].run_us[j];
    if (n == 0) {
        fputs("the low guests came to nothing\n", stderr);
        exit(EXIT_FAILURE);
    }
    qsort(us, n, sizeof(*us), compare_doubles);
    for (i = n - 1; i > 0 && above + us[i] < sum / 100; i--)
        above += us[i];
    *ret_longest = us[i];
    *ret_busy = sum / 1e6 / sec;
    return us[n / 2];
}

/* ---- The comparison -------------------------------------------------------------- */

typedef struct Result {
    double alone[REPETITIONS], run[REPETITIONS], longest[REPETITIONS], busy[REPETITIONS],
        loaded[REPETITIONS], ratio[REPETITIONS];
} Result;

static void measure(const TestMediator *m, RingGuest *high, Low *low, Result *ret)
{
    pid_t pids[N_LOW];

    for (unsigned i = 0; i < REPETITIONS; i++) {
        double begin;

        ret->alone[i] = measure_high(high);
        load_start(m, low, pids);
        begin = now_sec();
        ret->loaded[i] = measure_high(high);
        load_end(pids);
        ret->run[i] = load_run_us(low, now_sec() - begin, &ret->longest[i], &ret->busy[i]);
        ret->ratio[i] = ret->loaded[i] / (ret->alone[i] + ret->run[i]);
    }
}

/* Returns the exit status. */
static int compare(const char *backend, unsigned in_flight, Low *low)
{
    TestMediator mediator;
    char config[64];
    RingGuest high;
    Result r;
    int fd;

    snprintf(config, sizeof(config), "[Pool A]\nBackend=%s\nInFlight=%u\n", backend, in_flight);
    if (test_mediator_start(&mediator, config, "none") < 0)
        return EXIT_FAILURE;
    fd = guest_start(&mediator, &high, VGPU_WINDOW_SIZE_DEFAULT, ENTRIES, 1, VGPU_PRIORITY_HIGH);
    if (!guest_has_device(&high)) {
        printf("no device for backend %s\n", backend);
        (void) test_mediator_stop(&mediator);
        return 77;
    }
    measure(&mediator, &high, low, &r);

    printf("high among %d low, %s, InFlight=%u: p99 alone %.0f us, a low request %.0f us, p99 "
           "%.0f us, ratio %.2f (aim <= 1.3)\n",
           N_LOW, backend, in_flight, median(r.alone, REPETITIONS), median(r.run, REPETITIONS),
           median(r.loaded, REPETITIONS), median(r.ratio, REPETITIONS));
    printf("  low requests ran %.0f %% of the time, 1 %% of it in ones of %.0f us and more\n",
           median(r.busy, REPETITIONS) * 100, median(r.longest, REPETITIONS));
    close(fd);
    ring_guest_close(&high);
    return test_mediator_stop(&mediator) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    Low *low =
        mmap(NULL, N_LOW * sizeof(*low), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int r;

    setlinebuf(stdout); /* otherwise each guest prints what the buffer holds as well */
    if (argc != 2 || low == MAP_FAILED)
        return EXIT_FAILURE;
    r = compare(argv[1], 1, low);
    return r == EXIT_SUCCESS ? compare(argv[1], 16, low) : r;
}

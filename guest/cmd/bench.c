/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu bench: measures round trips of the scalar add, and prints all measurements. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "bench.h"
#include "cleanup.h"

#define COUNT_DEFAULT 1000u

/* A signal handler has no other way to say something. */
static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void) signal;
    interrupted = 1;
}

static void handle_signals(void)
{
    /* The second signal ends the program at once. */
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND};

    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool bench_is_interrupted(void)
{
    return interrupted != 0;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}

void count_accesses(vgpu_device *dev, const vgpu_counters *before, measurement *m)
{
    vgpu_counters after;

    vgpu_get_counters(dev, &after);
    m->polls = after.polls - before->polls;
    m->accesses = after.reads - before->reads + after.writes - before->writes - m->polls;
}

/* Returns an exit code. */
static int bench_one_add(const options *o, vgpu_device *dev, uint32_t a, uint32_t b)
{
    uint32_t sum;
    int r;

    r = vgpu_add(dev, a, b, o->timeout_ms, &sum);
    if (r != 0)
        return complain_result(vgpu_get_address(dev), r);
    if (sum != a + b) {
        complain("%s: %" PRIu32 " + %" PRIu32 " came back as %" PRIu32, vgpu_get_address(dev), a, b,
                 sum);
        return EXIT_REFUSED;
    }
    return EXIT_OK;
}

static int bench_measure(const options *o, vgpu_device *dev, measurement *m)
{
    vgpu_counters before;
    uint64_t start, last;
    uint32_t n = 0;
    int r;

    for (uint32_t i = 0; i < WARM_UP; i++) {
        r = bench_one_add(o, dev, i, i);
        if (r != EXIT_OK)
            return r;
    }

    vgpu_get_counters(dev, &before);
    start = last = now_nsec();
    do {
        uint64_t now;

        r = bench_one_add(o, dev, n, 0x9e3779b9u * n);
        if (r != EXIT_OK)
            return r;
        now = now_nsec();
        m->ns[n++] = now - last;
        last = now;
    } while (n < m->count && !bench_is_interrupted());
    m->count = n;
    m->total_ns = last - start;

    count_accesses(dev, &before, m);
    return EXIT_OK;
}

static void bench_report(const options *o, const measurement *m)
{
    /* The p-th percentile is the smallest value that p percent of the values do not exceed. */
    double median = (double) m->ns[(m->count - 1) / 2] / 1e3;
    double p99 = (double) m->ns[((uint64_t) m->count * 99 + 99) / 100 - 1] / 1e3;
    double max = (double) m->ns[m->count - 1] / 1e3;
    double n = (double) m->count, rate = n / ((double) m->total_ns / 1e9);

    printf(o->json ? "{\"requests\":%" PRIu32 ",\"median_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,"
                     "\"requests_per_second\":%.0f,\"mmio_per_request\":%.*f,"
                     "\"polls_per_request\":%.2f,\"interrupt\":%s"
                   : "requests:       %" PRIu32 "\n"
                     "round trip:     median %.1f us, 99th percentile %.1f us, longest %.1f us\n"
                     "rate:           %.0f requests/s\n"
                     "MMIO accesses:  %.*f per request, and %.2f repeated polls\n"
                     "by interrupt:   %s\n",
           m->count, median, p99, max, rate, m->depth > 0 ? 4 : 2, (double) m->accesses / n,
           (double) m->polls / n,
           o->json ? (o->interrupt ? "true" : "false") : (o->interrupt ? "yes" : "no"));
    if (m->depth > 0)
        printf(o->json ? ",\"depth\":%" PRIu32 ",\"doorbells_per_request\":%.4f,"
                         "\"interrupts_per_request\":%.4f"
                       : "on the ring:    depth %" PRIu32
                         ", %.4f doorbells and %.4f interrupts per "
                         "request\n",
               m->depth, (double) m->ring.doorbells / n, (double) m->ring.interrupts / n);
    if (o->json)
        puts("}");
}

/* The bench uses the registers unless the user asks for the ring. */
static bool wants_ring(const options *o)
{
    return o->path == PATH_RING || o->depth > 0;
}

int command_bench(const options *o, char **argv)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    CLEANUP_FREE uint64_t *ns = NULL;
    measurement m = {.count = o->count ? o->count : COUNT_DEFAULT};
    int r;

    (void) argv;
    if (o->path == PATH_REGISTERS && o->depth > 0) {
        complain("--depth does not go with --path=registers");
        return EXIT_USAGE;
    }
    ns = calloc(m.count, sizeof(*ns));
    if (!ns) {
        complain("out of memory");
        return EXIT_SYSTEM;
    }
    m.ns = ns;

    handle_signals();
    r = open_device(o, o->device, &dev);
    if (r != EXIT_OK)
        return r;
    r = wants_ring(o) ? measure_ring(o, dev, &m) : bench_measure(o, dev, &m);
    if (r != EXIT_OK)
        return r;

    qsort(ns, m.count, sizeof(*ns), compare_u64);
    bench_report(o, &m);
    return finish_output(EXIT_OK);
}

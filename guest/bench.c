/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu bench: round trips of the scalar add. */
#include <inttypes.h>
#include <stdlib.h>

#include "cleanup.h"
#include "command.h"
#include "deadline.h"

#define COUNT_DEFAULT 1000u
#define WARM_UP 16u /* the host may have to start its service for the first */

typedef struct measurement {
    uint64_t *ns; /* each round trip */
    uint32_t count;
    uint64_t total_ns;
    vgpu_counters accesses;
} measurement;

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}

/* Returns an exit code. */
static int one_add(const options *o, vgpu_device *dev, uint32_t a, uint32_t b)
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

static int measure(const options *o, vgpu_device *dev, measurement *m)
{
    vgpu_counters before;
    uint64_t start, last;
    int r;

    for (uint32_t i = 0; i < WARM_UP; i++) {
        r = one_add(o, dev, i, i);
        if (r != EXIT_OK)
            return r;
    }

    vgpu_get_counters(dev, &before);
    start = last = clock_now();
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t now;

        r = one_add(o, dev, i, 0x9e3779b9u * i);
        if (r != EXIT_OK)
            return r;
        now = clock_now();
        m->ns[i] = now - last;
        last = now;
    }
    m->total_ns = last - start;

    vgpu_get_counters(dev, &m->accesses);
    m->accesses.requests -= before.requests;
    m->accesses.reads -= before.reads;
    m->accesses.writes -= before.writes;
    m->accesses.polls -= before.polls;
    return EXIT_OK;
}

static void report(const options *o, const measurement *m)
{
    /* The p-th percentile is the smallest value that p percent of the values do not exceed. */
    double median = (double) m->ns[(m->count - 1) / 2] / 1e3;
    double p99 = (double) m->ns[((uint64_t) m->count * 99 + 99) / 100 - 1] / 1e3;
    double max = (double) m->ns[m->count - 1] / 1e3;
    double rate = (double) m->count / ((double) m->total_ns / 1e9);
    double n = (double) m->accesses.requests;
    double mmio = (double) (m->accesses.reads + m->accesses.writes - m->accesses.polls) / n;
    double polls = (double) m->accesses.polls / n;

    printf(o->json ? "{\"requests\":%" PRIu32 ",\"median_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,"
                     "\"requests_per_second\":%.0f,\"mmio_per_request\":%.2f,"
                     "\"polls_per_request\":%.2f,\"interrupt\":%s}\n"
                   : "requests:       %" PRIu32 "\n"
                     "round trip:     median %.1f us, 99th percentile %.1f us, longest %.1f us\n"
                     "rate:           %.0f requests/s\n"
                     "MMIO accesses:  %.2f per request, and %.2f repeated polls\n"
                     "by interrupt:   %s\n",
           m->count, median, p99, max, rate, mmio, polls,
           o->json ? (o->interrupt ? "true" : "false") : (o->interrupt ? "yes" : "no"));
}

int command_bench(const options *o, char **argv)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    CLEANUP_FREE uint64_t *ns = NULL;
    measurement m = {.count = o->count ? o->count : COUNT_DEFAULT};
    int r;

    (void) argv;
    ns = calloc(m.count, sizeof(*ns));
    if (!ns) {
        complain("out of memory");
        return EXIT_SYSTEM;
    }
    m.ns = ns;

    r = open_device(o, o->device, &dev);
    if (r != EXIT_OK)
        return r;
    r = measure(o, dev, &m);
    if (r != EXIT_OK)
        return r;

    qsort(ns, m.count, sizeof(*ns), compare_u64);
    report(o, &m);
    return finish_output(EXIT_OK);
}

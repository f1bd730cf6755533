/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "statistics.h"

#include <assert.h>
#include <stdbool.h>

#include "clock.h"

#define SUB_BUCKETS (1u << HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t usec)
{
    unsigned exponent;

    if (usec < SUB_BUCKETS)
        return (unsigned) usec;

    exponent = 63 - (unsigned) __builtin_clzll(usec);
    if (exponent >= HISTOGRAM_MAX_BITS)
        return HISTOGRAM_BUCKETS - 1;

    /* The leading bit picks the row, the three behind it the bucket in the row. */
    return ((exponent - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS) +
           (unsigned) (usec >> (exponent - HISTOGRAM_SUB_BITS) & (SUB_BUCKETS - 1));
}

uint64_t histogram_bucket_max(unsigned i)
{
    unsigned row = i >> HISTOGRAM_SUB_BITS;

    if (row == 0)
        return i;
    if (i == HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;

    return ((uint64_t) (SUB_BUCKETS + (i & (SUB_BUCKETS - 1)) + 1) << (row - 1)) - 1;
}

void histogram_add(Histogram *h, uint64_t usec)
{
    h->bucket[bucket_of(usec)]++;
    h->sum += usec;
    if (usec > h->max)
        h->max = usec;
}

uint64_t histogram_percentile(const Histogram *h, unsigned percent)
{
    uint64_t total = 0, wanted, seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += h->bucket[i];
    if (total == 0)
        return 0;

    wanted = total / 100 * percent + (total % 100 * percent + 99) / 100;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t value = histogram_bucket_max(i);

        seen += h->bucket[i];
        if (seen >= wanted)
            return value < h->max ? value : h->max;
    }
    return h->max;
}

/* ---- Time of the last seconds ------------------------------------------------------------ */

#define WINDOW_SIZE (TIME_WINDOW_SECONDS + 1)

static bool time_window_has(const TimeWindow *w, uint64_t second)
{
    return second <= w->second && second + WINDOW_SIZE > w->second;
}

/* Makes room for later seconds, in which nothing is counted yet. */
static void time_window_advance(TimeWindow *w, uint64_t second)
{
    uint64_t from = w->second + 1;

    if (second <= w->second)
        return;
    if (second - w->second > WINDOW_SIZE)
        from = second - WINDOW_SIZE + 1;
    for (; from <= second; from++)
        w->usec[from % WINDOW_SIZE] = 0;
    w->second = second;
}

void time_window_add(TimeWindow *w, uint64_t begin, uint64_t end)
{
    time_window_advance(w, end / USEC_PER_SEC);
    while (end > begin) {
        uint64_t second = (end - 1) / USEC_PER_SEC, start = second * USEC_PER_SEC;

        if (!time_window_has(w, second))
            return;
        if (start < begin)
            start = begin;
        w->usec[second % WINDOW_SIZE] += (uint32_t) (end - start);
        end = start;
    }
}

double time_window_share(const TimeWindow *w, uint64_t now)
{
    uint64_t this_second = now / USEC_PER_SEC, sum = 0;
    double share;

    for (uint64_t i = 1; i <= TIME_WINDOW_SECONDS && i <= this_second; i++)
        if (time_window_has(w, this_second - i))
            sum += w->usec[(this_second - i) % WINDOW_SIZE];
    share = (double) sum / (TIME_WINDOW_SECONDS * (double) USEC_PER_SEC);
    return share < 1 ? share : 1;
}

/* Counts what ran until now. */
static void busy_count(BusyTime *b, uint64_t now)
{
    if (b->n == 0 || now <= b->since_usec)
        return;

    time_window_add(&b->window, b->since_usec, now);
    b->total_usec += now - b->since_usec;
    b->since_usec = now;
}

void busy_begin(BusyTime *b, uint64_t now)
{
    if (b->n++ == 0)
        b->since_usec = now;
}

void busy_end(BusyTime *b, uint64_t now)
{
    assert(b->n > 0);
    if (b->n == 1)
        busy_count(b, now);
    b->n--;
}

uint64_t busy_total(const BusyTime *b, uint64_t now)
{
    BusyTime copy = *b;

    busy_count(&copy, now);
    return copy.total_usec;
}

double busy_share(const BusyTime *b, uint64_t now)
{
    BusyTime copy = *b;

    busy_count(&copy, now);
    return time_window_share(&copy.window, now);
}

void busy_reset(BusyTime *b, uint64_t now)
{
    busy_count(b, now);
    b->total_usec = 0;
}

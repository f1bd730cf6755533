/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "statistics.h"

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

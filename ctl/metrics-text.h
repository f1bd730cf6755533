/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that the mediator counts, as text for a collector. */
#ifndef VGPU_CTL_METRICS_TEXT_H
#define VGPU_CTL_METRICS_TEXT_H

#include <stdint.h>
#include <stdio.h>

#include "snapshot.h"

typedef enum MetricsFormat {
    METRICS_PROMETHEUS,  /* Prometheus' text format, version 0.0.4 */
    METRICS_OPENMETRICS, /* OpenMetrics 1.0 */
} MetricsFormat;

/*
 * The bounds of histograms are 2^k - 1 µs, for every VM and at all times. The mediator's buckets
 * are finer, and one of them ends at each of these bounds, so none has to be divided.
 */
#define METRICS_N_BOUNDS 27

/* A distribution of times. */
typedef struct MetricsDistribution {
    uint64_t bucket[METRICS_N_BOUNDS + 1]; /* up to 2^(i + 1) - 1 µs; the last is the rest */
} MetricsDistribution;

/* What is to be written. */
typedef struct Metrics {
    const Snapshot *snapshot;
    const char *version;                                     /* of the mediator */
    uint32_t connections;                                    /* of peers to it */
    const MetricsDistribution *vm_waits, *vm_executions;     /* one for each VM */
    const MetricsDistribution *pool_waits, *pool_executions; /* one for each pool */
} Metrics;

/*
 * metrics_distribution_add() - count times
 * @limit: µs that none of them is above
 * @count: how many
 */
void metrics_distribution_add(MetricsDistribution *d, uint64_t limit, uint64_t count);

/* metrics_text_write() - write it all. Whether that worked, the file's error indicator says */
void metrics_text_write(FILE *f, MetricsFormat format, const Metrics *metrics);

#endif

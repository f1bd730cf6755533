/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What has happened to the requests of a VM or a pool: counters, and the
 * distributions of waiting and running times in fixed memory; and how much of the last
 * seconds they took.
 */
#ifndef VGPU_STATISTICS_H
#define VGPU_STATISTICS_H

#include <stdint.h>

/*
 * Log-linear buckets: a value below 8 has one of its own, and each power of two
 * from there to 2^37 µs (38 hours) is cut into eight. A bucket is at most an eighth
 * of its values wide, which bounds the error of a percentile. What is larger
 * counts in the last.
 */
#define HISTOGRAM_SUB_BITS 3
#define HISTOGRAM_MAX_BITS 37
#define HISTOGRAM_BUCKETS ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

typedef struct Histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS];
    uint64_t sum; /* µs, over all values */
    uint64_t max; /* µs, exact */
} Histogram;

typedef struct Statistics {
    uint64_t submitted;         /* well-formed and queued */
    uint64_t completed;         /* answered with NONE */
    uint64_t failed;            /* queued, and answered with an error or to nobody */
    uint64_t rejected;          /* never queued */
    uint64_t bytes_in;          /* of requests queued */
    uint64_t bytes_out;         /* of their responses */
    uint64_t last_request_usec; /* CLOCK_REALTIME of the last one queued; 0: none yet */
    Histogram wait;             /* in the queue, of all that left it to run */
    Histogram execution;        /* by the executor's measure, of all that completed */
} Statistics;

/* Time spent in each of the last seconds, by CLOCK_MONOTONIC. All zero: none. */
#define TIME_WINDOW_SECONDS 10

typedef struct TimeWindow {
    uint64_t second;                        /* the newest one that is counted */
    uint32_t usec[TIME_WINDOW_SECONDS + 1]; /* of it and of those before, by second modulo size */
} TimeWindow;

/* When at least one of several things runs. All zero: nothing runs, nothing ran. */
typedef struct BusyTime {
    TimeWindow window;
    uint64_t total_usec;
    uint64_t since_usec; /* while n > 0: not counted yet since then */
    unsigned n;          /* how many run */
} BusyTime;

/*
 * time_window_add() - count the time from @begin_usec to @end_usec
 *
 * Times that overlap count as often. The ends come in order, more or less.
 */
void time_window_add(TimeWindow *w, uint64_t begin_usec, uint64_t end_usec);

/* time_window_share() - the time in the last ten whole seconds before @now_usec over ten seconds,
 * 1 at most */
double time_window_share(const TimeWindow *w, uint64_t now_usec);

/* busy_begin(), busy_end() - one more runs; one runs no more */
void busy_begin(BusyTime *b, uint64_t now_usec);
void busy_end(BusyTime *b, uint64_t now_usec);

/* busy_total() - the time in which at least one ran, in µs */
uint64_t busy_total(const BusyTime *b, uint64_t now_usec);

/* busy_share() - the part of the last ten whole seconds in which at least one ran */
double busy_share(const BusyTime *b, uint64_t now_usec);

/* busy_reset() - busy_total() starts at 0 again; what runs goes on */
void busy_reset(BusyTime *b, uint64_t now_usec);

/* histogram_add() - count one value, in µs */
void histogram_add(Histogram *h, uint64_t usec);

/* histogram_bucket_max() - the largest value, in µs, that bucket @i counts */
uint64_t histogram_bucket_max(unsigned i);

/*
 * histogram_percentile() - the value that @percent percent do not exceed
 * @percent: 1..100
 *
 * Returns the upper end of the bucket it lies in, or the largest value counted
 * where that is less; 0 without values.
 */
uint64_t histogram_percentile(const Histogram *h, unsigned percent);

#endif

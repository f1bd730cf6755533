/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the benchmarks share */
#ifndef VGPU_BENCH_MEASURE_H
#define VGPU_BENCH_MEASURE_H

#include <stddef.h>

/* now_sec() - CLOCK_MONOTONIC in seconds */
double now_sec(void);

/* median() - the median of @n values, which it sorts; of two in the middle, the upper one */
double median(double *values, size_t n);

/* die() - print what failed, and errno, and exit */
void die(const char *what) __attribute__((noreturn));

#endif

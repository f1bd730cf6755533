/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of DOT, SUM, MIN and MAX: the partial results of many parts of a vector become
 * one result. The parts come in the order of the vector and are always cut alike, so the
 * same vector gives the same bits each time.
 *
 * Partial sums of floating-point numbers are float64. They are combined in pairs, like the
 * digits of a binary counter, so that each passes through log2(parts) + 1 more additions.
 * Partial sums of integers are modulo 2^64, from which those modulo 2^32 follow. For MIN
 * and MAX a partial result is both the smallest and the largest key of the part. An integer
 * is its own key. The key of a floating-point number is its bits, ordered as integers from
 * -NaN over -infinity, -0 and +0 to +NaN. So the order of zeros, and whether there was a
 * NaN, show at the end.
 */
#ifndef VGPU_EXECUTOR_REDUCTION_H
#define VGPU_EXECUTOR_REDUCTION_H

#include "executor-protocol.h"

typedef struct Partial {
    uint64_t low;  /* sums: the float64's bits, or the integer; MIN and MAX: the smallest key */
    uint64_t high; /* MIN and MAX: the largest key */
} Partial;

typedef struct Reduction {
    uint32_t opcode, type;
    uint64_t n;       /* partial results so far */
    double sums[64];  /* [i]: the sum of 2^i partial results, if bit i of n is set */
    uint64_t integer; /* the sum */
    int64_t min, max; /* keys */
} Reduction;

/* reduction_begin() - for a VGPU_OP_RING_DOT, _SUM, _MIN or _MAX on a VGPU_TYPE_* */
void reduction_begin(Reduction *r, uint32_t opcode, uint32_t type);

/* reduction_add() - add the result of the next part */
void reduction_add(Reduction *r, const Partial *p);

/* reduction_end() - the result's bytes as in VGPUSubmission, after at least one part */
uint64_t reduction_end(const Reduction *r);

#endif

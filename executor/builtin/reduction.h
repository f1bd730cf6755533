/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of DOT, SUM, MIN and MAX: many partial results, each of a part of the
 * vector, become one. The parts come in the order of the vector and are always
 * cut alike, so the same vector gives the same bits at each time.
 *
 * Sums of floating-point numbers are partial sums in float64, combined in pairs
 * like the digits of a binary counter, so that each passes through log2(parts) + 1
 * more additions. Sums of integers are partial sums modulo 2^64, from which those
 * modulo 2^32 follow. For MIN and MAX a part is both its smallest and its largest
 * key: integers are their own keys, and those of floating-point numbers are their
 * bits, ordered as integers from -NaN over -infinity, -0 and +0 to +NaN. So the
 * order of zeros and whether there was a NaN are seen at the end.
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
    double sums[64];  /* [i]: the sum of 2^i of them, where bit i of n is set */
    uint64_t integer; /* the sum */
    int64_t min, max; /* keys */
} Reduction;

/* reduction_begin() - for a VGPU_OP_RING_DOT, _SUM, _MIN or _MAX on a VGPU_TYPE_* */
void reduction_begin(Reduction *r, uint32_t opcode, uint32_t type);

/* reduction_add() - the next part's result */
void reduction_add(Reduction *r, const Partial *p);

/* reduction_end() - the value's bytes as in VGPUSubmission, after at least one part */
uint64_t reduction_end(const Reduction *r);

#endif

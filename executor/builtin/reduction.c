/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reduction.h"

#include <assert.h>

#define FLOAT32_INFINITY UINT32_C(0x7f800000)
#define FLOAT32_NAN UINT32_C(0x7fc00000)
#define FLOAT64_INFINITY UINT64_C(0x7ff0000000000000)
#define FLOAT64_NAN UINT64_C(0x7ff8000000000000)

static bool is_sum(const Reduction *r)
{
    return r->opcode == VGPU_OP_RING_SUM || r->opcode == VGPU_OP_RING_DOT;
}

static bool is_floating(const Reduction *r)
{
    return r->type == VGPU_TYPE_FLOAT32 || r->type == VGPU_TYPE_FLOAT64;
}

void reduction_begin(Reduction *r, uint32_t opcode, uint32_t type)
{
    r->opcode = opcode;
    r->type = type;
    r->n = 0;
    r->integer = 0;
    r->min = INT64_MAX;
    r->max = INT64_MIN;
}

static void add_pairwise(Reduction *r, double sum)
{
    unsigned level = 0;

    for (; r->n >> level & 1; level++)
        sum = r->sums[level] + sum;
    r->sums[level] = sum;
}

void reduction_add(Reduction *r, const Partial *p)
{
    int64_t min = (int64_t) p->low, max = (int64_t) p->high;
    double sum;

    if (!is_sum(r)) {
        r->min = min < r->min ? min : r->min;
        r->max = max > r->max ? max : r->max;
    } else if (is_floating(r)) {
        memcpy(&sum, &p->low, sizeof(sum));
        add_pairwise(r, sum);
    } else {
        r->integer += p->low;
    }
    r->n++;
}

static double pairwise_sum(const Reduction *r)
{
    unsigned level = (unsigned) __builtin_ctzll(r->n);
    double sum = r->sums[level];

    for (level++; level < 64; level++)
        if (r->n >> level & 1)
            sum = r->sums[level] + sum;

    return sum;
}

static uint64_t floating_sum(const Reduction *r)
{
    double sum = pairwise_sum(r);
    float sum32 = (float) sum;
    uint64_t bits = 0;

    if (r->type == VGPU_TYPE_FLOAT32)
        memcpy(&bits, &sum32, sizeof(sum32));
    else
        memcpy(&bits, &sum, sizeof(sum));
    return bits;
}

/* These turn keys back into bits. A key beyond those of the infinities is that of a NaN. */
static uint64_t float32_extreme(const Reduction *r, int64_t key)
{
    uint32_t bits = (uint32_t) key;

    if (r->max > FLOAT32_INFINITY || r->min < -(int64_t) FLOAT32_INFINITY - 1)
        return FLOAT32_NAN;
    return key < 0 ? bits ^ UINT32_C(0x7fffffff) : bits;
}

static uint64_t float64_extreme(const Reduction *r, int64_t key)
{
    uint64_t bits = (uint64_t) key;

    if (r->max > (int64_t) FLOAT64_INFINITY || r->min < -(int64_t) FLOAT64_INFINITY - 1)
        return FLOAT64_NAN;
    return key < 0 ? bits ^ UINT64_C(0x7fffffffffffffff) : bits;
}

static uint64_t extreme(const Reduction *r)
{
    int64_t key = r->opcode == VGPU_OP_RING_MIN ? r->min : r->max;

    switch (r->type) {
    case VGPU_TYPE_FLOAT32:
        return float32_extreme(r, key);
    case VGPU_TYPE_FLOAT64:
        return float64_extreme(r, key);
    case VGPU_TYPE_INT32:
        return (uint32_t) key;
    default:
        return (uint64_t) key;
    }
}

uint64_t reduction_end(const Reduction *r)
{
    assert(r->n > 0);

    if (!is_sum(r))
        return extreme(r);
    if (is_floating(r))
        return floating_sum(r);
    return r->type == VGPU_TYPE_INT32 ? (uint32_t) r->integer : r->integer;
}

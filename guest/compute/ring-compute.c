/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Vectors in ordinary memory, piece by piece through the window. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ring-pipeline.h"

/* Bytes of one operand of a piece. Computing a piece must take long compared with the request
 * itself; and a piece must fit into a processor's cache, where it is copied and computed. */
#define PIECE_MAX (UINT64_C(256) << 10)

#define UNIT_MASK ((uint64_t) HEAP_UNIT - 1)

typedef struct work {
    uint32_t opcode;
    vgpu_type type;
    double scalar;
    const uint8_t *a, *b; /* b: or NULL */
    uint8_t *c;           /* or NULL: one value is wanted */
    size_t element;       /* bytes */
    size_t piece;         /* elements */
    uint64_t room;        /* bytes of one operand of a piece, in the window */
    vgpu_value value;     /* of the pieces so far */
    double sum;           /* likewise, of floating-point ones */
} work;

/* ---- One value from those of the pieces ----------------------------------------- */

static double as_double(vgpu_type type, vgpu_value v)
{
    return type == VGPU_FLOAT32 ? (double) v.float32 : v.float64;
}

/* The host's rules: NaN if either is one, and -0 is smaller than 0. */
static bool replaces(double x, double by, bool smallest)
{
    if (isnan(x) || isnan(by))
        return !isnan(x);
    if (x == by)
        return smallest ? signbit(by) : !signbit(by);
    return smallest ? by < x : by > x;
}

static bool replaces_integer(vgpu_type type, vgpu_value x, vgpu_value by, bool smallest)
{
    int64_t old = type == VGPU_INT32 ? x.int32 : x.int64;
    int64_t new = type == VGPU_INT32 ? by.int32 : by.int64;

    return smallest ? new < old : new > old;
}

static void work_combine_extreme(work *w, vgpu_value v)
{
    bool smallest = w->opcode == VGPU_OP_RING_MIN;

    if (w->type == VGPU_INT32 || w->type == VGPU_INT64
            ? replaces_integer(w->type, w->value, v, smallest)
            : replaces(as_double(w->type, w->value), as_double(w->type, v), smallest))
        w->value = v;
}

static void work_combine_sum(work *w, vgpu_value v)
{
    switch (w->type) {
    case VGPU_INT32:
        w->value.int32 = (int32_t) ((uint32_t) w->value.int32 + (uint32_t) v.int32);
        break;
    case VGPU_INT64:
        w->value.int64 = (int64_t) ((uint64_t) w->value.int64 + (uint64_t) v.int64);
        break;
    case VGPU_FLOAT32:
        w->sum += (double) v.float32;
        w->value.float32 = (float) w->sum;
        break;
    case VGPU_FLOAT64:
        w->sum += v.float64;
        w->value.float64 = w->sum;
        break;
    }
}

static void work_combine(work *w, vgpu_value v, bool first)
{
    if (first) {
        w->value = v;
        if (w->type == VGPU_FLOAT32 || w->type == VGPU_FLOAT64)
            w->sum = as_double(w->type, v);
    } else if (w->opcode == VGPU_OP_RING_MIN || w->opcode == VGPU_OP_RING_MAX) {
        work_combine_extreme(w, v);
    } else {
        work_combine_sum(w, v);
    }
}

/* ---- Pieces ------------------------------------------------------------------------ */

static size_t work_piece(const work *w, size_t n, size_t first)
{
    return n - first < w->piece ? n - first : w->piece;
}

static int work_start_piece(const work *w, stage *s, size_t first, size_t n, int timeout_ms)
{
    uint8_t *a = s->memory, *b = a + w->room, *c = b + w->room;
    size_t at = first * w->element, bytes = n * w->element;
    int r;

    memcpy(a, w->a + at, bytes);
    if (w->b)
        memcpy(b, w->b + at, bytes);
    r = w->c ? vgpu_job_vector(s->owner->ring, w->opcode, w->type, w->scalar, a, b, c, n, &s->job)
             : vgpu_job_reduce(s->owner->ring, w->opcode, w->type, a, b, n, &s->job);
    return r < 0 ? r : stage_start(s, timeout_ms);
}

static int work_finish_piece(work *w, stage *s, size_t first, size_t n, int timeout_ms)
{
    int r = stage_wait(s, timeout_ms);

    if (r != 0)
        return r;
    if (w->c)
        memcpy(w->c + first * w->element, s->memory + 2 * w->room, n * w->element);
    else
        work_combine(w, s->request.completion.value, first == 0);
    return 0;
}

static uint32_t work_operands(const work *w)
{
    return w->c ? 3 : w->b ? 2 : 1;
}

/* Choose the size of a piece, as large as the window allows, and how many there are at a time:
 * several, unless one piece is all. */
static int work_divide(vgpu_ring *ring, size_t n, work *w, uint32_t *ret_stages)
{
    uint64_t each = vgpu_window_largest(ring) / work_operands(w), most = (uint64_t) n * w->element;
    uint64_t room = most < PIECE_MAX ? (most + HEAP_UNIT - 1) & ~UNIT_MASK : PIECE_MAX;
    uint32_t stages = most <= room && room <= each ? 1 : PIPELINE_STAGES;

    if (room > each / stages)
        room = each / stages & ~UNIT_MASK;
    if (room == 0)
        return -ENOSPC;

    w->room = room;
    w->piece = (size_t) (room / w->element);
    assert(w->piece > 0); /* an element is smaller than a unit of the heap */
    *ret_stages = stages;
    return 0;
}

/* Another thread can take memory between the look at what is free and the allocation: look again
 * then. */
static int work_begin(vgpu_ring *ring, size_t n, work *w, uint32_t *ret_stages, pipeline **ret)
{
    int r;

    do {
        r = work_divide(ring, n, w, ret_stages);
        if (r < 0)
            return r;
        r = pipeline_new(ring, *ret_stages, w->room * work_operands(w), ret);
    } while (r == -ENOSPC);
    return r;
}

static int work_run(vgpu_ring *ring, work *w, size_t n, int timeout_ms, size_t *ret_done)
{
    CLEANUP_PIPELINE pipeline *p = NULL;
    size_t started = 0, next = 0, done = 0, finished = 0;
    uint32_t stages;
    int r;

    r = work_begin(ring, n, w, &stages, &p);
    while (r == 0 && done < n) {
        while (r == 0 && next < n && started - finished < stages) {
            size_t count = work_piece(w, n, next);

            r = work_start_piece(w, &p->stages[started % stages], next, count, timeout_ms);
            if (r == 0) {
                started++;
                next += count;
            }
        }
        if (r == 0) {
            size_t count = work_piece(w, n, done);

            r = work_finish_piece(w, &p->stages[finished % stages], done, count, timeout_ms);
            if (r == 0) {
                finished++;
                done += count;
            }
        }
    }

    *ret_done = done;
    return r;
}

/* The rules are in a header that the host uses too. */
static bool is_supported(uint32_t opcode, vgpu_type type, bool vector)
{
    const VGPUSubmission s = {.opcode = opcode, .type = type};
    VGPUShape shape;

    return vgpu_type_size(type) > 0 && opcode != VGPU_OP_RING_MATMUL &&
           vgpu_submission_shape(&s, &shape) && shape.has_c == vector;
}

int vgpu_compute_vector(vgpu_ring *ring, uint32_t opcode, vgpu_type type, double scalar,
                        const void *a, const void *b, size_t n, int timeout_ms, void *c,
                        size_t *ret_done)
{
    work w = {.opcode = opcode, .type = type, .scalar = scalar, .a = a, .b = b, .c = c};
    size_t done = 0;
    int r;

    w.element = vgpu_type_size(type);
    r = ring_check_caller(ring);
    if (r == 0 && !is_supported(opcode, type, true))
        r = -EINVAL;
    if (r == 0 && n > 0)
        r = work_run(ring, &w, n, timeout_ms, &done);

    if (ret_done)
        *ret_done = done;
    return r;
}

int vgpu_compute_reduce(vgpu_ring *ring, uint32_t opcode, vgpu_type type, const void *a,
                        const void *b, size_t n, int timeout_ms, vgpu_value *ret)
{
    work w = {.opcode = opcode, .type = type, .a = a};
    size_t done;
    int r;

    r = ring_check_caller(ring);
    if (r < 0)
        return r;
    if (!is_supported(opcode, type, false))
        return -EINVAL;
    if (n == 0)
        return -ERANGE;

    w.element = vgpu_type_size(type);
    if (opcode == VGPU_OP_RING_DOT)
        w.b = b;
    r = work_run(ring, &w, n, timeout_ms, &done);
    if (r == 0)
        *ret = w.value;
    return r;
}

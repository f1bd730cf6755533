/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filling in requests on the window. */
#include <errno.h>

#include "ring.h"

/* Fill in @o for a pointer. A pointer that is not into the window gets an offset that the check
 * refuses. */
static void job_place(const vgpu_ring *ring, const void *memory, uint32_t stride, VGPUOperand *o)
{
    o->stride = stride;
    if (vgpu_window_offset(ring, memory, 0, &o->offset) < 0)
        o->offset = UINT64_MAX;
}

/* The rules are in a header that the host uses too. */
static int job_finish(const vgpu_ring *ring, const VGPUSubmission *submission, vgpu_job *ret)
{
    bool repeatable;

    switch (vgpu_submission_check(submission, ring->window_size, &repeatable)) {
    case VGPU_ERROR_NONE:
        *ret = (vgpu_job){.submission = *submission};
        return 0;
    case VGPU_ERROR_UNSUPPORTED_OP:
        return -EINVAL;
    default:
        return -ERANGE;
    }
}

int vgpu_job_vector(const vgpu_ring *ring, uint32_t opcode, vgpu_type type, double scalar,
                    const void *a, const void *b, void *c, uint64_t n, vgpu_job *ret)
{
    VGPUSubmission s = {.opcode = opcode, .type = type, .count = n};

    if (opcode != VGPU_OP_RING_ADD && opcode != VGPU_OP_RING_MUL && opcode != VGPU_OP_RING_AXPY)
        return -EINVAL;

    if (opcode == VGPU_OP_RING_AXPY)
        s.scalar = scalar;
    job_place(ring, a, 1, &s.a);
    job_place(ring, b, 1, &s.b);
    job_place(ring, c, 1, &s.c);
    return job_finish(ring, &s, ret);
}

int vgpu_job_reduce(const vgpu_ring *ring, uint32_t opcode, vgpu_type type, const void *a,
                    const void *b, uint64_t n, vgpu_job *ret)
{
    VGPUSubmission s = {.opcode = opcode, .type = type, .count = n};

    if (opcode != VGPU_OP_RING_DOT && opcode != VGPU_OP_RING_SUM && opcode != VGPU_OP_RING_MIN &&
        opcode != VGPU_OP_RING_MAX)
        return -EINVAL;

    job_place(ring, a, 1, &s.a);
    if (opcode == VGPU_OP_RING_DOT)
        job_place(ring, b, 1, &s.b);
    return job_finish(ring, &s, ret);
}

int vgpu_job_matmul(const vgpu_ring *ring, vgpu_type type, const void *a, const void *b, void *c,
                    uint64_t m, uint32_t n, uint32_t k, vgpu_job *ret)
{
    VGPUSubmission s = {.opcode = VGPU_OP_RING_MATMUL, .type = type, .count = m, .n = n, .k = k};

    job_place(ring, a, k, &s.a);
    job_place(ring, b, n, &s.b);
    job_place(ring, c, n, &s.c);
    return job_finish(ring, &s, ret);
}

void vgpu_job_nop(vgpu_job *ret)
{
    *ret = (vgpu_job){.submission = {.opcode = VGPU_OP_RING_NOP}};
}

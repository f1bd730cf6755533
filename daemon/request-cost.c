/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "request-cost.h"

#define PAGE 4096u

/* Rows that lie close together share pages; others do not. The operand lies in a window, so nothing
 * overflows. */
static uint64_t operand_pages(uint64_t rows, uint64_t columns, uint64_t stride, uint64_t element)
{
    uint64_t together = ((rows - 1) * stride + columns) * element / PAGE + 1;
    uint64_t apart = rows * (columns * element / PAGE + 1);

    return together < apart ? together : apart;
}

uint64_t request_cost(const VGPUSubmission *s)
{
    const VGPUOperand *operands[3] = {&s->a, &s->b, &s->c};
    uint64_t element = vgpu_ring_type_size(s->type), products = 0, cost = 0;
    VGPUShape shape;

    if (!vgpu_submission_shape(s, &shape))
        return 0; /* NOP */

    for (unsigned i = 0; i < 3; i++)
        if (i == 0 || (i == 1 && shape.has_b) || (i == 2 && shape.has_c))
            cost += shape.rows[i] * shape.columns[i] +
                    REQUEST_COST_PAGE * operand_pages(shape.rows[i], shape.columns[i],
                                                      operands[i]->stride, element);
    if (s->opcode == VGPU_OP_RING_MATMUL &&
        __builtin_mul_overflow((uint64_t) s->n * s->k, s->count, &products))
        return UINT64_MAX;
    return products > UINT64_MAX - cost ? UINT64_MAX : products + cost;
}

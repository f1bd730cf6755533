/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-line.h"

#include "clock.h"

void cuda_line_join(CudaLine *line, CudaLineEntry *e, const Operation *op)
{
    operation_begins(op, TAILQ_EMPTY(line) ? now_usec() : EXECUTOR_BEGUN_PERHAPS);
    *e = (CudaLineEntry){.line = line, .tag = op->tag, .begun = op->begun};
    TAILQ_INSERT_TAIL(line, e, link);
}

void cuda_line_leave(CudaLineEntry *e)
{
    bool was_first = TAILQ_FIRST(e->line) == e;
    const CudaLineEntry *first;

    TAILQ_REMOVE(e->line, e, link);
    first = TAILQ_FIRST(e->line);
    if (was_first && first)
        executor_begun_write(first->begun, first->tag, now_usec());
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products of matrices in ordinary memory, block by block through the window. */
#include <errno.h>
#include <string.h>

#include "ring-pipeline.h"

/* A block of c of so many rows and columns. It is the product of a block of a with as many rows and
 * a block of b with as many columns. */
typedef struct block {
    size_t rows, columns;
    uint64_t a_bytes, b_bytes; /* rounded up to multiples of HEAP_UNIT */
    uint64_t bytes;            /* all three */
} block;

typedef struct product {
    const uint8_t *a, *b;
    uint8_t *c;
    size_t m, n, k, element;
    vgpu_type type;
} product;

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + HEAP_UNIT - 1) & ~(uint64_t) (HEAP_UNIT - 1);
}

static size_t least(uint64_t x, size_t y)
{
    return x < y ? (size_t) x : y;
}

/* The block of b gets half of the memory, and the blocks of a and c get the rest. */
static int product_choose_block(const product *p, uint64_t largest, block *ret)
{
    uint64_t elements = largest < 3 * HEAP_UNIT ? 0 : (largest - 3 * HEAP_UNIT) / p->element;
    block b = {0};

    if (p->k > elements || p->k > UINT32_MAX)
        return -ENOSPC;

    b.columns = least(elements / 2 / p->k, p->n);
    if (b.columns == 0)
        b.columns = 1;
    b.columns = least(UINT32_MAX, b.columns);
    b.rows = least((elements - (uint64_t) p->k * b.columns) / (p->k + b.columns), p->m);
    if (b.rows == 0)
        return -ENOSPC;

    b.a_bytes = round_up((uint64_t) b.rows * p->k * p->element);
    b.b_bytes = round_up((uint64_t) p->k * b.columns * p->element);
    b.bytes = b.a_bytes + b.b_bytes + round_up((uint64_t) b.rows * b.columns * p->element);
    *ret = b;
    return 0;
}

/* Copy @rows rows of @bytes each. The two sides have their rows at different distances. */
static void copy_rows(uint8_t *to, size_t to_stride, const uint8_t *from, size_t from_stride,
                      size_t rows, size_t bytes)
{
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * to_stride, from + i * from_stride, bytes);
}

/* Compute the block of c at @row and @column. The block of b is in the window already. */
static int product_block(const product *p, const block *b, stage *s, size_t row, size_t rows,
                         size_t column, size_t columns, int timeout_ms)
{
    uint8_t *a_block = s->memory, *b_block = a_block + b->a_bytes, *c_block = b_block + b->b_bytes;
    size_t width = columns * p->element;
    int r;

    memcpy(a_block, p->a + row * p->k * p->element, rows * p->k * p->element);
    r = vgpu_job_matmul(s->owner->ring, p->type, a_block, b_block, c_block, rows,
                        (uint32_t) columns, (uint32_t) p->k, &s->job);
    if (r == 0)
        r = stage_start(s, timeout_ms);
    if (r == 0)
        r = stage_wait(s, timeout_ms);
    if (r == 0)
        copy_rows(p->c + (row * p->n + column) * p->element, p->n * p->element, c_block, width,
                  rows, width);
    return r;
}

static int product_run(const product *p, const block *b, stage *s, int timeout_ms)
{
    int r = 0;

    for (size_t column = 0; r == 0 && column < p->n; column += b->columns) {
        size_t columns = least(b->columns, p->n - column);

        copy_rows(s->memory + b->a_bytes, columns * p->element, p->b + column * p->element,
                  p->n * p->element, p->k, columns * p->element);
        for (size_t row = 0; r == 0 && row < p->m; row += b->rows)
            r = product_block(p, b, s, row, least(b->rows, p->m - row), column, columns,
                              timeout_ms);
    }
    return r;
}

int vgpu_compute_matmul(vgpu_ring *ring, vgpu_type type, const void *a, const void *b, size_t m,
                        size_t n, size_t k, int timeout_ms, void *c)
{
    const product p = {
        .a = a,
        .b = b,
        .c = c,
        .m = m,
        .n = n,
        .k = k,
        .element = vgpu_type_size(type),
        .type = type,
    };
    CLEANUP_PIPELINE pipeline *line = NULL;
    block size;
    int r;

    r = ring_check_caller(ring);
    if (r < 0)
        return r;
    if (type != VGPU_FLOAT32 && type != VGPU_FLOAT64)
        return -EINVAL;
    if (m == 0 || n == 0 || k == 0)
        return -ERANGE;

    /* Another thread can take memory between the look at what is free and the allocation: look
     * again then. */
    do {
        r = product_choose_block(&p, vgpu_window_largest(ring), &size);
        if (r < 0)
            return r;
        r = pipeline_new(ring, 1, size.bytes, &line);
    } while (r == -ENOSPC);
    return r < 0 ? r : product_run(&p, &size, &line->stages[0], timeout_ms);
}

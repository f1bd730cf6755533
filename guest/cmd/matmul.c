/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu matmul: the product of two files of matrices. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "cleanup.h"
#include "stream.h"

/* The matrices, and their sizes: a is m x k, b is k x n. */
typedef struct matrices {
    void *a, *b;
    size_t m, n;
} matrices;

/* How many rows or columns there are of @inner elements each. */
static int count_lines(const options *o, const stream *s, size_t bytes, size_t *ret_n)
{
    size_t elements = bytes / vgpu_type_size(o->type);

    if (elements == 0 || elements % o->inner != 0) {
        complain("'%s' holds %zu elements: not a multiple of --inner=%" PRIu32, s->name, elements,
                 o->inner);
        return EXIT_USAGE;
    }
    *ret_n = elements / o->inner;
    return EXIT_OK;
}

static int matrix_load(const options *o, const char *name, stream *s, void **ret, size_t *ret_n)
{
    size_t bytes;
    int r;

    r = stream_open_input(name, s);
    if (r == EXIT_OK)
        r = stream_check_sizes(o, s, NULL);
    if (r == EXIT_OK)
        r = stream_read_all(o, s, ret, &bytes);
    return r == EXIT_OK ? count_lines(o, s, bytes, ret_n) : r;
}

static int matrices_multiply(const options *o, vgpu_device *dev, vgpu_ring *ring, const matrices *x,
                             stream *c)
{
    CLEANUP_FREE void *product = NULL;
    size_t n;
    int r;

    if (!__builtin_mul_overflow(x->m, x->n, &n))
        product = calloc(n, vgpu_type_size(o->type));
    if (!product) {
        complain("out of memory");
        return EXIT_SYSTEM;
    }

    r = vgpu_compute_matmul(ring, o->type, x->a, x->b, x->m, x->n, o->inner, o->timeout_ms,
                            product);
    if (r != 0)
        return complain_result(vgpu_get_address(dev), r);
    return fwrite(product, vgpu_type_size(o->type), n, c->file) == n ? EXIT_OK
                                                                     : complain_file(c, errno);
}

static int check_options(const options *o)
{
    if (o->inner == 0) {
        complain("matmul needs the number of columns of the first matrix: --inner=K");
        return EXIT_USAGE;
    }
    if (o->type != VGPU_FLOAT32 && o->type != VGPU_FLOAT64) {
        complain("matmul needs --type=float32 or float64");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

int command_matmul(const options *o, char **argv)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    CLEANUP_VGPU_RING vgpu_ring *ring = NULL;
    CLEANUP_STREAM stream a = {0}, b = {0}, c = {0};
    CLEANUP_FREE void *x = NULL, *y = NULL;
    const stream *const inputs[] = {&a, &b};
    size_t m, n;
    int r;

    r = check_options(o);
    if (r == EXIT_OK)
        r = check_operands(o, "matmul", argv[0], argv[1], true);
    if (r == EXIT_OK)
        r = matrix_load(o, argv[0], &a, &x, &m);
    if (r == EXIT_OK)
        r = matrix_load(o, argv[1], &b, &y, &n);
    if (r == EXIT_OK)
        r = open_device(o, o->device, &dev);
    if (r == EXIT_OK)
        r = open_ring(o, dev, false, &ring);
    if (r == EXIT_OK)
        r = stream_open_output(o->output, inputs, 2, &c);
    if (r == EXIT_OK)
        r = matrices_multiply(o, dev, ring, &(matrices){.a = x, .b = y, .m = m, .n = n}, &c);
    return stream_close_output(&c, r);
}

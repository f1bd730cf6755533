/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu dot, sum, min and max: one value from files of elements. */
#include <inttypes.h>

#include "cleanup.h"
#include "stream.h"

static void print_value(vgpu_type type, vgpu_value v)
{
    switch (type) {
    case VGPU_INT32:
        printf("%" PRId32 "\n", v.int32);
        break;
    case VGPU_INT64:
        printf("%" PRId64 "\n", v.int64);
        break;
    case VGPU_FLOAT32:
        printf("%.9g\n", (double) v.float32);
        break;
    case VGPU_FLOAT64:
        printf("%.17g\n", v.float64);
        break;
    }
}

/* Open and read one operand. */
static int operand_load(const options *o, const char *name, stream *s, void **ret,
                        size_t *ret_bytes)
{
    int r;

    r = stream_open_input(name, s);
    if (r == EXIT_OK)
        r = stream_check_sizes(o, s, NULL);
    if (r == EXIT_OK)
        r = stream_read_all(o, s, ret, ret_bytes);
    if (r == EXIT_OK && *ret_bytes == 0) {
        complain("'%s' is empty", s->name);
        return EXIT_USAGE;
    }
    return r;
}

/* @b_name: NULL for an operation on one vector */
static int reduce_run(const options *o, const char *name, uint32_t opcode, const char *a_name,
                      const char *b_name)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    CLEANUP_VGPU_RING vgpu_ring *ring = NULL;
    CLEANUP_STREAM stream a = {0}, b = {0};
    CLEANUP_FREE void *x = NULL, *y = NULL;
    size_t bytes, y_bytes;
    vgpu_value value;
    int r;

    r = check_operands(o, name, a_name, b_name, false);
    if (r == EXIT_OK)
        r = operand_load(o, a_name, &a, &x, &bytes);
    if (r == EXIT_OK && b_name)
        r = operand_load(o, b_name, &b, &y, &y_bytes);
    if (r == EXIT_OK && b_name && y_bytes != bytes)
        r = complain_lengths(&a, &b);
    if (r == EXIT_OK)
        r = open_device(o, o->device, &dev);
    if (r == EXIT_OK)
        r = open_ring(o, dev, false, &ring);
    if (r != EXIT_OK)
        return r;

    r = vgpu_compute_reduce(ring, opcode, o->type, x, y, bytes / vgpu_type_size(o->type),
                            o->timeout_ms, &value);
    if (r != 0)
        return complain_result(vgpu_get_address(dev), r);
    print_value(o->type, value);
    return finish_output(EXIT_OK);
}

int command_dot(const options *o, char **argv)
{
    return reduce_run(o, "dot", VGPU_OP_RING_DOT, argv[0], argv[1]);
}

int command_sum(const options *o, char **argv)
{
    return reduce_run(o, "sum", VGPU_OP_RING_SUM, argv[0], NULL);
}

int command_min(const options *o, char **argv)
{
    return reduce_run(o, "min", VGPU_OP_RING_MIN, argv[0], NULL);
}

int command_max(const options *o, char **argv)
{
    return reduce_run(o, "max", VGPU_OP_RING_MAX, argv[0], NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu vecadd, mul and axpy: stream two files of elements through the device into a third. */
#include <errno.h>
#include <inttypes.h>

#include "stream.h"

/* How many bytes of each vector are in memory at a time: a multiple of every element's size. The
 * ring gets larger pieces, because the library cuts them up and computes the parts at the same
 * time. */
#define PIECE_REGISTERS ((size_t) 64 << 10)
#define PIECE_RING ((size_t) 4 << 20)

typedef struct operation {
    const options *o;
    uint32_t opcode; /* VGPU_OP_RING_* */
    vgpu_device *dev;
    vgpu_ring *ring; /* NULL: additions through the registers */
    stream a, b, c;
} operation;

static int complain_request(const operation *op, uint64_t element, int result)
{
    const char *address = vgpu_get_address(op->dev);
    char what[96];

    if (op->ring)
        snprintf(what, sizeof(what), "%s: from element %" PRIu64, address, element);
    else
        snprintf(what, sizeof(what), "%s: request %" PRIu64 ", from element %" PRIu64, address,
                 element / vgpu_vector_max(op->o->type), element);
    return complain_result(what, result);
}

/* Read the next piece of both vectors. @ret_bytes is the size of each, 0 at the end. */
static int read_pieces(operation *op, size_t size, uint8_t *ret_a, uint8_t *ret_b,
                       size_t *ret_bytes)
{
    size_t n_a, n_b;
    int r;

    r = stream_read(op->o, &op->a, ret_a, size, &n_a);
    if (r == EXIT_OK)
        r = stream_read(op->o, &op->b, ret_b, size, &n_b);
    if (r != EXIT_OK)
        return r;
    if (n_a != n_b)
        return complain_lengths(&op->a, &op->b);

    *ret_bytes = n_a;
    return EXIT_OK;
}

/* x = x op y */
static int compute_piece(const operation *op, uint8_t *x, const uint8_t *y, size_t n,
                         size_t *ret_done)
{
    const options *o = op->o;

    if (op->ring)
        return vgpu_compute_vector(op->ring, op->opcode, o->type, o->alpha, x, y, n, o->timeout_ms,
                                   x, ret_done);
    return vgpu_vector_add(op->dev, o->type, x, y, n, o->timeout_ms, x, ret_done);
}

static int stream_through(operation *op)
{
    static uint8_t x[PIECE_RING], y[PIECE_RING];
    size_t element = vgpu_type_size(op->o->type);
    uint64_t first = 0;

    for (;;) {
        size_t bytes = 0, n, done;
        int r;

        r = read_pieces(op, op->ring ? PIECE_RING : PIECE_REGISTERS, x, y, &bytes);
        if (r != EXIT_OK || bytes == 0)
            return r;

        n = bytes / element;
        r = compute_piece(op, x, y, n, &done);
        if (fwrite(x, element, done, op->c.file) != done)
            return complain_file(&op->c, errno);
        if (r != 0)
            return complain_request(op, first + done, r);
        first += n;
    }
}

static int elementwise_run(const options *o, const char *name, uint32_t opcode, char **argv)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    CLEANUP_VGPU_RING vgpu_ring *ring = NULL;
    CLEANUP_STREAM stream a = {0}, b = {0}, c = {0};
    const stream *const inputs[] = {&a, &b};
    int r;

    r = check_operands(o, name, argv[0], argv[1], true);
    if (r == EXIT_OK)
        r = stream_open_input(argv[0], &a);
    if (r == EXIT_OK)
        r = stream_open_input(argv[1], &b);
    if (r == EXIT_OK)
        r = stream_check_sizes(o, &a, &b);
    if (r == EXIT_OK)
        r = open_device(o, o->device, &dev);
    if (r == EXIT_OK)
        r = open_ring(o, dev, opcode == VGPU_OP_RING_ADD, &ring);
    if (r == EXIT_OK)
        r = stream_open_output(o->output, inputs, 2, &c);
    if (r == EXIT_OK) {
        operation op = {.o = o, .opcode = opcode, .dev = dev, .ring = ring, .a = a, .b = b, .c = c};

        r = stream_through(&op);
    }
    return stream_close_output(&c, r);
}

int command_vecadd(const options *o, char **argv)
{
    return elementwise_run(o, "vecadd", VGPU_OP_RING_ADD, argv);
}

int command_mul(const options *o, char **argv)
{
    return elementwise_run(o, "mul", VGPU_OP_RING_MUL, argv);
}

int command_axpy(const options *o, char **argv)
{
    if (!o->has_alpha) {
        complain("axpy needs a factor: --alpha=X");
        return EXIT_USAGE;
    }
    if (o->type != VGPU_FLOAT32 && o->type != VGPU_FLOAT64) {
        complain("axpy needs --type=float32 or float64");
        return EXIT_USAGE;
    }
    return elementwise_run(o, "axpy", VGPU_OP_RING_AXPY, argv);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the executor computes in windows: every operation on every type. Arguments and
 * environment are those of test-executor, and
 *
 *   test-executor-compute cpu-alone    the CPU backend where there is no OpenBLAS
 *
 * VGPU_FAKE_PLAN: what the fake driver is told
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "test-executor-start.h"
#include "test-executor-window.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define SMALL_WINDOW (UINT64_C(1) << 20)
#define LARGE_WINDOW (UINT64_C(64) << 20)
#define SLOTS 8u

static ClientOptions options;

typedef struct Fixture {
    Client *client;
    TestWindow window;
} Fixture;

static int setup_sized(void **state, uint64_t size)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->client = start_ready(&options);
    f->window = window_create(5, size);
    window_send_add(f->client, &f->window);
    *state = f;
    return 0;
}

static int setup_small(void **state)
{
    return setup_sized(state, SMALL_WINDOW);
}

static int setup_large(void **state)
{
    return setup_sized(state, LARGE_WINDOW);
}

static int teardown(void **state)
{
    Fixture *f = *state;

    window_send_remove(f->client, &f->window);
    assert_good_end(f->client);
    window_destroy(&f->window);
    free(f);
    return 0;
}

/* Every vector operation that there is for the type */
static const uint32_t vector_ops[] = {VGPU_OP_RING_ADD, VGPU_OP_RING_MUL, VGPU_OP_RING_DOT,
                                      VGPU_OP_RING_SUM, VGPU_OP_RING_MIN, VGPU_OP_RING_MAX,
                                      VGPU_OP_RING_AXPY};
#define N_VECTOR_OPS 7u

static bool op_has_type(uint32_t opcode, uint32_t type)
{
    return (opcode != VGPU_OP_RING_AXPY && opcode != VGPU_OP_RING_MATMUL) ||
           type == VGPU_TYPE_FLOAT32 || type == VGPU_TYPE_FLOAT64;
}

static uint64_t align(uint64_t offset)
{
    return (offset + 7) & ~UINT64_C(7);
}

/* a, b and c lie one after the other, from @offset on. b and c are aligned to no more than an
 * element. */
static VGPUSubmission submission(uint32_t opcode, uint32_t type, uint64_t count, uint32_t sa,
                                 uint32_t sb, uint32_t sc, uint64_t offset)
{
    uint32_t element = vgpu_ring_type_size(type);
    uint64_t b = align(offset + count * sa * element) + element;
    uint64_t c = align(b + count * sb * element) + 2 * element;

    return (VGPUSubmission){
        .opcode = opcode,
        .type = type,
        .count = count,
        .scalar = -1.7,
        .a = operand(offset, sa),
        .b = operand(b, sb),
        .c = operand(c, sc),
    };
}

/* ---- Vectors ------------------------------------------------------------------- */

/* Lengths around each at which something changes: that of a vector register, a block, a part,
 * and the largest that is computed while it is started */
static void test_lengths(void **state)
{
    static const uint64_t lengths[] = {1,    2,    3,    4,    5,    7,    8,    9,    15,
                                       16,   17,   31,   32,   33,   63,   64,   65,   100,
                                       127,  128,  129,  255,  256,  257,  1023, 1024, 1025,
                                       2048, 4095, 4096, 4097, 4112, 8191, 8192, 8193, 20000};
    Fixture *f = *state;

    for (uint32_t type = 0; type < VGPU_N_TYPES; type++) {
        for (unsigned op = 0; op < N_VECTOR_OPS; op++) {
            if (!op_has_type(vector_ops[op], type))
                continue;
            window_fill(&f->window, type * 100 + op, type, true);
            for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                VGPUSubmission s =
                    submission(vector_ops[op], type, lengths[i], 1, 1, 1, 8 * (i % 3));

                window_compute(f->client, &f->window, &s);
            }
        }
    }
}

static void test_strides(void **state)
{
    static const uint32_t strides[][3] = {{2, 1, 1}, {1, 2, 1}, {1, 1, 2}, {2, 2, 2},
                                          {3, 5, 7}, {1, 9, 1}, {17, 1, 4}};
    static const uint64_t lengths[] = {1, 2, 17, 64, 1000, 1025};
    Fixture *f = *state;

    for (uint32_t type = 0; type < VGPU_N_TYPES; type++) {
        for (unsigned op = 0; op < N_VECTOR_OPS; op++) {
            if (!op_has_type(vector_ops[op], type))
                continue;
            window_fill(&f->window, type * 100 + op, type, true);
            for (unsigned i = 0; i < 7; i++) {
                for (unsigned k = 0; k < 6; k++) {
                    VGPUSubmission s = submission(vector_ops[op], type, lengths[k], strides[i][0],
                                                  strides[i][1], strides[i][2], 16);

                    window_compute(f->client, &f->window, &s);
                }
            }
        }
    }
}

/* Lengths around those of the parts that go over the bus, with and without gaps */
static void test_large(void **state)
{
    static const uint64_t lengths[] = {21845,  21846,  65537,  262143,
                                       262144, 262145, 524289, 1500001};
    Fixture *f = *state;

    for (uint32_t type = 0; type < VGPU_N_TYPES; type++) {
        window_fill(&f->window, type, type, true);
        for (unsigned op = 0; op < N_VECTOR_OPS; op++) {
            for (unsigned i = 0; i < 8; i++) {
                VGPUSubmission s = submission(vector_ops[op], type, lengths[i], 1, 1, 1, 8);

                if (!op_has_type(vector_ops[op], type) || (i + op + type) % 2 == 0)
                    continue;
                if (i < 7 && i % 3 == 2)
                    s = submission(vector_ops[op], type, lengths[i], 2, 3, 2, 8);
                window_compute(f->client, &f->window, &s);
            }
        }
    }
}

/* More steps than a device gets at once, without and with gaps */
static void test_very_long(void **state)
{
    Fixture *f = *state;
    uint64_t size = UINT64_C(288) << 20;
    TestWindow w = window_create(6, size);
    VGPUSubmission s;

    window_fill(&w, 3, VGPU_TYPE_INT32, false);
    window_send_add(f->client, &w);
    s = submission(VGPU_OP_RING_SUM, VGPU_TYPE_INT32, (17 << 22) + 7, 1, 1, 1, 4);
    window_compute(f->client, &w, &s);
    s = submission(VGPU_OP_RING_MAX, VGPU_TYPE_INT32, (5 << 22) + 3, 3, 1, 1, 8);
    window_compute(f->client, &w, &s);
    s = submission(VGPU_OP_RING_ADD, VGPU_TYPE_INT32, size / 4, 1, 1, 1, 0);
    s.b = s.c = s.a;
    window_compute(f->client, &w, &s);
    window_send_remove(f->client, &w);
    window_destroy(&w);
}

/* c is a, b, both; b is a */
static void assert_in_place(Fixture *f, uint32_t opcode, uint32_t type, uint64_t length,
                            uint32_t stride)
{
    VGPUSubmission s = submission(opcode, type, length, stride, stride, stride, 64);

    if (!op_has_type(opcode, type))
        return;

    window_fill(&f->window, length, type, true);
    s.c = s.a;
    window_compute(f->client, &f->window, &s);
    s.c = s.b;
    window_compute(f->client, &f->window, &s);
    s.b = s.a;
    window_compute(f->client, &f->window, &s);
    s.c = s.a;
    window_compute(f->client, &f->window, &s);
}

static void test_in_place(void **state)
{
    static const uint32_t ops[] = {VGPU_OP_RING_ADD, VGPU_OP_RING_MUL, VGPU_OP_RING_AXPY};
    static const uint64_t lengths[] = {1, 5, 64, 1001, 9000};

    for (uint32_t type = 0; type < VGPU_N_TYPES; type++)
        for (unsigned op = 0; op < 3; op++)
            for (unsigned i = 0; i < 5; i++)
                for (uint32_t stride = 1; stride <= 3; stride += 2)
                    assert_in_place(*state, ops[op], type, lengths[i], stride);
}

static void test_in_place_large(void **state)
{
    for (uint32_t type = 0; type < VGPU_N_TYPES; type++) {
        assert_in_place(*state, VGPU_OP_RING_ADD, type, 600001, 1);
        assert_in_place(*state, VGPU_OP_RING_AXPY, type, 300001, 3);
    }
}

/* The elements of the operands stand between each other's. */
static void test_interleaved(void **state)
{
    static const uint64_t lengths[] = {3, 1000, 70000};
    Fixture *f = *state;

    for (uint32_t type = 0; type < VGPU_N_TYPES; type++) {
        window_fill(&f->window, type, type, true);
        for (unsigned i = 0; i < 3; i++) {
            uint32_t element = vgpu_ring_type_size(type);
            VGPUSubmission s = submission(VGPU_OP_RING_MUL, type, lengths[i], 3, 3, 3, 0);

            s.b.offset = s.a.offset + element;
            s.c.offset = s.a.offset + 2 * element;
            window_compute(f->client, &f->window, &s);
        }
    }
}

/* Operands at the window's first and last bytes */
static void test_edges_of_the_window(void **state)
{
    static const uint64_t lengths[] = {1, 16, 5000, 40000};
    Fixture *f = *state;

    for (uint32_t type = 0; type < VGPU_N_TYPES; type++) {
        uint32_t element = vgpu_ring_type_size(type);

        window_fill(&f->window, type, type, true);
        for (unsigned i = 0; i < 4; i++) {
            uint64_t last = f->window.size - lengths[i] * element;
            VGPUSubmission s = submission(VGPU_OP_RING_ADD, type, lengths[i], 1, 1, 1, 0);

            s.c.offset = last;
            window_compute(f->client, &f->window, &s);
            s.a.offset = last;
            s.c.offset = 0;
            window_compute(f->client, &f->window, &s);
            s.opcode = VGPU_OP_RING_DOT;
            window_compute(f->client, &f->window, &s);
            s.c.stride = 0; /* not looked at */
            window_compute(f->client, &f->window, &s);
            s.count = f->window.size / element;
            s.opcode = VGPU_OP_RING_MAX;
            s.a.offset = 0;
            window_compute(f->client, &f->window, &s);
        }
    }
}

/* ---- Numbers that are none ----------------------------------------------------------- */

static const double specials[] = {0.0,    -0.0,    1.0,       -1.0,     INFINITY, -INFINITY, NAN,
                                  -NAN,   1e-310,  -1e-310,   1e-40,    -1e-40,   1e308,     -1e308,
                                  3.4e38, -3.4e38, 0x1p-1074, 0x1p-149, 0x1p-126, 0.1};
#define N_SPECIALS (sizeof(specials) / sizeof(specials[0]))

static void put(TestWindow *w, uint32_t type, uint64_t offset, double value)
{
    float f = (float) value;

    if (type == VGPU_TYPE_FLOAT32)
        memcpy(w->memory + offset, &f, sizeof(f));
    else
        memcpy(w->memory + offset, &value, sizeof(value));
    memcpy(w->expected + offset, w->memory + offset, vgpu_ring_type_size(type));
}

/* Every pair of them */
static void test_specials(void **state)
{
    static const uint32_t ops[] = {VGPU_OP_RING_ADD, VGPU_OP_RING_MUL, VGPU_OP_RING_AXPY};
    Fixture *f = *state;

    for (uint32_t type = VGPU_TYPE_FLOAT32; type <= VGPU_TYPE_FLOAT64; type++) {
        for (unsigned op = 0; op < 3 * N_SPECIALS; op++) {
            VGPUSubmission s = submission(ops[op % 3], type, N_SPECIALS * N_SPECIALS, 1, 1, 1, 0);
            uint32_t element = vgpu_ring_type_size(type);

            s.scalar = specials[op / 3];
            for (unsigned i = 0; i < N_SPECIALS * N_SPECIALS; i++) {
                put(&f->window, type, s.a.offset + i * element, specials[i / N_SPECIALS]);
                put(&f->window, type, s.b.offset + i * element, specials[i % N_SPECIALS]);
            }
            window_compute(f->client, &f->window, &s);
        }
    }
}

/* One of them among ordinary numbers, or two, at each of some places */
static void test_specials_among_others(void **state)
{
    static const uint32_t ops[] = {VGPU_OP_RING_SUM, VGPU_OP_RING_DOT, VGPU_OP_RING_MIN,
                                   VGPU_OP_RING_MAX};
    static const uint64_t places[] = {0, 1, 15, 16, 700, 4095, 4096, 29998};
    Fixture *f = *state;

    for (uint32_t type = VGPU_TYPE_FLOAT32; type <= VGPU_TYPE_FLOAT64; type++) {
        uint32_t element = vgpu_ring_type_size(type);

        window_fill(&f->window, type, type, true);
        for (unsigned i = 0; i < 4 * 8 * N_SPECIALS; i++) {
            VGPUSubmission s = submission(ops[i % 4], type, 30000, 1, 1, 1, 0);
            uint64_t place = places[i / 4 % 8] * element;
            double special = specials[i / 32], other = specials[(i / 32 + i % 3) % N_SPECIALS];

            /* A sum's infinity that only rounding makes is not to be expected. */
            if (fabs(special) > 1e300 && isfinite(special))
                continue;
            put(&f->window, type, place, special);
            if (i % 5 == 0 && !(fabs(other) > 1e300 && isfinite(other)))
                put(&f->window, type, 29999 * element, other);
            window_compute(f->client, &f->window, &s);
            put(&f->window, type, place, 2);
            put(&f->window, type, 29999 * element, -2);
        }
    }
}

static void assert_extreme(Fixture *f, uint32_t opcode, uint32_t type, double x, double y,
                           uint64_t bits)
{
    VGPUSubmission s = submission(opcode, type, 2, 1, 1, 1, 0);
    ClientResponse r;

    put(&f->window, type, 0, x);
    put(&f->window, type, vgpu_ring_type_size(type), y);
    window_send(f->client, &f->window, 1, VGPU_PRIORITY_LOW, &s);
    assert_true(client_receive(f->client, &r));
    assert_int_equal(r.result.status, VGPU_ERROR_NONE);
    assert_int_equal(r.result.result, bits);
}

/* Results by their bits, so that the test does not trust its reference blindly */
static void test_known_bits(void **state)
{
    Fixture *f = *state;

    assert_extreme(f, VGPU_OP_RING_MIN, VGPU_TYPE_FLOAT32, 0.0, -0.0, 0x80000000);
    assert_extreme(f, VGPU_OP_RING_MIN, VGPU_TYPE_FLOAT32, -0.0, 0.0, 0x80000000);
    assert_extreme(f, VGPU_OP_RING_MAX, VGPU_TYPE_FLOAT32, -0.0, 0.0, 0);
    assert_extreme(f, VGPU_OP_RING_MAX, VGPU_TYPE_FLOAT32, NAN, 1, 0x7fc00000);
    assert_extreme(f, VGPU_OP_RING_MIN, VGPU_TYPE_FLOAT32, -NAN, 1, 0x7fc00000);
    assert_extreme(f, VGPU_OP_RING_MIN, VGPU_TYPE_FLOAT32, INFINITY, -INFINITY, 0xff800000);
    assert_extreme(f, VGPU_OP_RING_MAX, VGPU_TYPE_FLOAT32, -1, -2, 0xbf800000);
    assert_extreme(f, VGPU_OP_RING_MIN, VGPU_TYPE_FLOAT64, 0.0, -0.0, UINT64_C(1) << 63);
    assert_extreme(f, VGPU_OP_RING_MAX, VGPU_TYPE_FLOAT64, NAN, 1, UINT64_C(0x7ff8000000000000));
    assert_extreme(f, VGPU_OP_RING_MAX, VGPU_TYPE_FLOAT64, -INFINITY, -2,
                   UINT64_C(0xc000000000000000));
    assert_extreme(f, VGPU_OP_RING_SUM, VGPU_TYPE_FLOAT32, -0.0, -0.0, 0);
    assert_extreme(f, VGPU_OP_RING_SUM, VGPU_TYPE_FLOAT64, -0.0, -0.0, 0);
    assert_extreme(f, VGPU_OP_RING_SUM, VGPU_TYPE_FLOAT32, 1, 2, 0x40400000);
    assert_extreme(f, VGPU_OP_RING_SUM, VGPU_TYPE_FLOAT32, 3.4e38, -3.4e38, 0);
    assert_extreme(f, VGPU_OP_RING_SUM, VGPU_TYPE_FLOAT32, 3.4e38, 3.4e38, 0x7f800000);
}

/* The same vector, the same bits */
static void test_reductions_repeat(void **state)
{
    Fixture *f = *state;

    window_fill(&f->window, 9, VGPU_TYPE_FLOAT64, true);
    for (uint32_t type = VGPU_TYPE_FLOAT32; type <= VGPU_TYPE_FLOAT64; type++) {
        VGPUSubmission s = submission(VGPU_OP_RING_DOT, type, 1500000, 1, 1, 1, 0);
        ClientResponse r;
        uint64_t first = 0;

        for (unsigned i = 0; i < 10; i++) {
            window_send(f->client, &f->window, i, i % VGPU_N_PRIORITIES, &s);
            assert_true(client_receive(f->client, &r));
            assert_int_equal(r.result.status, VGPU_ERROR_NONE);
            if (i == 0)
                first = r.result.result;
            assert_int_equal(r.result.result, first);
        }
    }
}

/* ---- Matrices -------------------------------------------------------------------------- */

static void assert_matmul(Fixture *f, TestWindow *w, uint32_t type, uint64_t m, uint32_t n,
                          uint32_t k, const uint32_t gaps[3], bool fill)
{
    uint32_t element = vgpu_ring_type_size(type);
    uint32_t sa = k + gaps[0], sb = n + gaps[1], sc = n + gaps[2];
    VGPUSubmission s = {
        .opcode = VGPU_OP_RING_MATMUL,
        .type = type,
        .count = m,
        .n = n,
        .k = k,
        .a = operand(16, sa),
        .b = operand(align(16 + m * sa * element) + element, sb),
    };

    s.c = operand(align(s.b.offset + (uint64_t) k * sb * element), sc);
    if (fill)
        window_fill(w, m, type, true);
    window_compute(f->client, w, &s);
}

static void test_matmul(void **state)
{
    static const uint32_t sizes[][3] = {
        {1, 1, 1},    {1, 1, 2},     {2, 3, 4},     {3, 1, 5},     {1, 7, 1},       {4, 16, 16},
        {5, 17, 31},  {16, 32, 256}, {17, 33, 257}, {63, 64, 65},  {64, 64, 64},    {65, 63, 64},
        {100, 1, 90}, {1, 100, 300}, {2, 40, 1000}, {129, 65, 70}, {150, 140, 130},
    };
    static const uint32_t gaps[][3] = {{0, 0, 0}, {1, 2, 3}, {0, 5, 0}};
    Fixture *f = *state;

    for (uint32_t type = VGPU_TYPE_FLOAT32; type <= VGPU_TYPE_FLOAT64; type++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            assert_matmul(f, &f->window, type, sizes[i][0], sizes[i][1], sizes[i][2], gaps[i % 3],
                          true);
    }
}

/* More than one tile in each direction */
static void test_matmul_in_tiles(void **state)
{
    static const uint32_t sizes[][3] = {{2049, 3, 40},   {3, 2049, 40},   {3, 2, 30000},
                                        {2100, 2100, 2}, {2, 3000, 2049}, {4200, 3, 1500},
                                        {2060, 3, 2060}};
    static const uint32_t gaps[][3] = {{0, 0, 0}, {1, 2, 3}, {0, 0, 7}};
    Fixture *f = *state;

    for (uint32_t type = VGPU_TYPE_FLOAT32; type <= VGPU_TYPE_FLOAT64; type++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            assert_matmul(f, &f->window, type, sizes[i][0], sizes[i][1], sizes[i][2],
                          gaps[(i + type) % 3], true);
    }
}

/* What c held has no effect. A NaN or infinity in a or b has its effect where it must. */
static void test_matmul_specials(void **state)
{
    static const uint32_t sizes[][3] = {{5, 6, 7}, {200, 190, 180}};
    static const uint32_t no_gaps[3] = {0};
    Fixture *f = *state;

    for (uint32_t type = VGPU_TYPE_FLOAT32; type <= VGPU_TYPE_FLOAT64; type++) {
        for (unsigned i = 0; i < 2; i++) {
            const uint32_t *z = sizes[i];
            uint32_t element = vgpu_ring_type_size(type);
            uint64_t b = align(16 + (uint64_t) z[0] * z[2] * element) + element;
            uint64_t c = align(b + (uint64_t) z[2] * z[1] * element);

            window_fill(&f->window, i, type, true);
            for (uint64_t k = 0; k < (uint64_t) z[0] * z[1]; k++)
                put(&f->window, type, c + k * element, NAN);
            assert_matmul(f, &f->window, type, z[0], z[1], z[2], no_gaps, false);
            put(&f->window, type, 16, NAN);
            put(&f->window, type, 16 + z[2] * element, INFINITY);
            put(&f->window, type, b + 2 * element, -INFINITY);
            assert_matmul(f, &f->window, type, z[0], z[1], z[2], no_gaps, false);
        }
    }
}

/* Rows further apart than the pitch of a driver's copy can be. The window is mostly holes, and
 * the test does not look at what lies between the rows. */
static void test_matmul_of_distant_rows(void **state)
{
    Fixture *f = *state;
    uint32_t stride = (UINT32_C(1) << 29) + 64, k = 70000;
    uint64_t rows = UINT64_C(2) * stride * 4;
    TestWindow w = window_create(7, rows + (4 << 20));
    VGPUSubmission s = {
        .opcode = VGPU_OP_RING_MATMUL,
        .type = VGPU_TYPE_FLOAT32,
        .count = 2,
        .n = 1,
        .k = k,
        .a = operand(0, stride),
        .b = operand(rows, 1),
        .c = operand(rows + k * sizeof(float), 1),
    };
    float *a[2] = {(float *) (void *) w.memory, (float *) (void *) w.memory + stride};
    float *b = (float *) (void *) (w.memory + s.b.offset), c[2];
    ClientResponse r;

    for (uint32_t i = 0; i < k; i++) {
        a[0][i] = (float) (i % 5);
        a[1][i] = (float) (i % 3);
        b[i] = 1;
    }
    window_send_add(f->client, &w);
    window_send(f->client, &w, 1, VGPU_PRIORITY_LOW, &s);
    assert_true(client_receive(f->client, &r));
    assert_int_equal(r.result.status, VGPU_ERROR_NONE);
    memcpy(c, w.memory + s.c.offset, sizeof(c));
    assert_true(c[0] == 140000 && c[1] == 69999);
    window_send_remove(f->client, &w);
    window_destroy(&w);
}

/* ---- main --------------------------------------------------------------------------------- */

/* The loader finds a file that is no library before any real one. */
static char openblas_dir[] = "/tmp/vgpu-test-XXXXXX", openblas[64];

static void hide_openblas(void)
{
    int fd;

    if (!mkdtemp(openblas_dir))
        abort();
    snprintf(openblas, sizeof(openblas), "%s/libopenblas.so.0", openblas_dir);
    fd = open(openblas, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        abort();
    close(fd);
    options.library_dir = openblas_dir;
}

static void show_openblas(void)
{
    if (!options.library_dir || strcmp(options.library_dir, openblas_dir) != 0)
        return;
    unlink(openblas);
    rmdir(openblas_dir);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lengths, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_strides, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_large, setup_large, teardown),
        cmocka_unit_test_setup_teardown(test_very_long, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_in_place, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_in_place_large, setup_large, teardown),
        cmocka_unit_test_setup_teardown(test_interleaved, setup_large, teardown),
        cmocka_unit_test_setup_teardown(test_edges_of_the_window, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_specials, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_specials_among_others, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_known_bits, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_reductions_repeat, setup_large, teardown),
        cmocka_unit_test_setup_teardown(test_matmul, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_matmul_in_tiles, setup_large, teardown),
        cmocka_unit_test_setup_teardown(test_matmul_specials, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_matmul_of_distant_rows, setup_small, teardown),
    };
    int failed;
    const char *which = argc > 1 ? argv[1] : "";

    options = options_for_backend(which, SLOTS);
    if (strcmp(which, "cpu-alone") == 0)
        hide_openblas();
    failed = cmocka_run_group_tests_name(which, tests, NULL, NULL);
    show_openblas();
    return failed;
}

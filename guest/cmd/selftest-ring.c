/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu selftest: the extension block, the window and the ring. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "deadline.h"
#include "selftest.h"

#define ENTRIES 64u

/* ---- Opening ------------------------------------------------------------------ */

static bool is_offered(selftest *t)
{
    const uint32_t needed = VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING;
    vgpu_extension e;

    if (vgpu_get_extension(t->dev, &e) == 0 && (e.features & needed) == needed)
        return true;
    t->skip = "the device has no window and ring: an older host";
    return false;
}

/* Returns NULL when the check is skipped or has failed. */
static vgpu_ring *open_checked(selftest *t)
{
    vgpu_ring *ring = NULL;
    int r;

    if (!is_offered(t))
        return NULL;

    r = vgpu_ring_open(t->dev, ENTRIES, t->options->timeout_ms, &ring);
    if (r == -EBUSY)
        t->skip = "another program has the ring";
    else if (r == VGPU_ERROR_UNSUPPORTED_OP)
        t->skip = "the host has an older mediator";
    else
        expect_result(t, r, 0, "opening the ring");
    return r == 0 ? ring : NULL;
}

static void expect_job(selftest *t, vgpu_ring *ring, vgpu_job *job, int wanted, const char *what)
{
    expect_result(t, vgpu_ring_run(ring, job, t->options->timeout_ms, NULL), wanted, what);
}

static void *allocate(selftest *t, vgpu_ring *ring, size_t size)
{
    void *memory = NULL;

    expect_result(t, vgpu_window_alloc(ring, size, 0, &memory), 0, "allocating in the window");
    return memory;
}

/* ---- Registers ------------------------------------------------------------------- */

static void expect_read_only(selftest *t, uint32_t offset)
{
    uint32_t before = get(t, offset);

    set(t, offset, ~before);
    expect_register(t, offset, before, "after writing the inverse");
    set(t, offset, 0);
    expect_register(t, offset, before, "after writing 0");
}

static void check_extension_registers(selftest *t)
{
    static const uint32_t read_only[] = {
        VGPU_REG_EXT_MAGIC,      VGPU_REG_EXT_VERSION,    VGPU_REG_EXT_FEATURES,
        VGPU_REG_WINDOW_SIZE_LO, VGPU_REG_WINDOW_SIZE_HI, VGPU_REG_RING_ERROR,
    };
    vgpu_extension e;

    if (get(t, VGPU_REG_EXTENSION) == 0) {
        t->skip = "the device has no extension block: an older host";
        return;
    }
    if (!expect_result(t, vgpu_get_extension(t->dev, &e), 0, "the extension block"))
        return;
    if (e.features & VGPU_EXT_FEATURE_WINDOW &&
        (e.window_size < VGPU_WINDOW_SIZE_MIN || e.window_size > VGPU_WINDOW_SIZE_MAX))
        fail(t, "the window has %" PRIu64 " bytes", e.window_size);
    for (size_t i = 0; i < ELEMENTSOF(read_only); i++)
        expect_read_only(t, read_only[i]);
    expect_register(t, VGPU_REG_RING_DOORBELL, 0, "RING_DOORBELL");
}

/* While the ring is on, its registers keep their values. While it is off, they hold what is
 * written. */
static void check_ring_registers(selftest *t)
{
    static const uint32_t ignored[] = {2, 3, 4, 0x80000000, 0xffffffff};
    CLEANUP_VGPU_RING vgpu_ring *ring = open_checked(t);

    if (!ring)
        return;

    for (size_t i = 0; i < ELEMENTSOF(ignored); i++) {
        set(t, VGPU_REG_RING_CTRL, ignored[i]);
        expect_register(t, VGPU_REG_RING_CTRL, VGPU_RING_ON, "after a value to ignore");
    }
    set(t, VGPU_REG_RING_ENTRIES, 2 * ENTRIES);
    set(t, VGPU_REG_RING_OFFSET_LO, 4096);
    expect_register(t, VGPU_REG_RING_ENTRIES, ENTRIES, "RING_ENTRIES, while the ring is on");
    expect_register(t, VGPU_REG_RING_OFFSET_LO, 0, "RING_OFFSET_LO, while the ring is on");
    ring = vgpu_ring_close(ring);

    expect_register(t, VGPU_REG_RING_CTRL, VGPU_RING_OFF, "RING_CTRL, after closing");
    set(t, VGPU_REG_RING_ENTRIES, 2 * ENTRIES);
    set(t, VGPU_REG_RING_OFFSET_LO, 4096);
    expect_register(t, VGPU_REG_RING_ENTRIES, 2 * ENTRIES, "RING_ENTRIES");
    expect_register(t, VGPU_REG_RING_OFFSET_LO, 4096, "RING_OFFSET_LO");
    set(t, VGPU_REG_RING_OFFSET_LO, 0);
}

/* ---- The window ------------------------------------------------------------------- */

/* The check writes a word in each page, and the first and the last one. */
static void check_window(selftest *t)
{
    CLEANUP_VGPU_RING vgpu_ring *ring = open_checked(t);
    volatile uint64_t *memory;
    size_t words, step = 4096 / sizeof(uint64_t);

    if (!ring)
        return;

    words = (size_t) vgpu_window_largest(ring) / sizeof(uint64_t);
    memory = allocate(t, ring, words * sizeof(uint64_t));
    for (size_t i = 0; memory && i < words; i += step)
        memory[i] = i * 0x9e3779b97f4a7c15;
    if (memory)
        memory[words - 1] = 0x123456789abcdef;
    for (size_t i = 0; memory && i < words - 1; i += step)
        if (memory[i] != i * 0x9e3779b97f4a7c15) {
            fail(t, "the window does not hold what was written, %zu bytes behind the ring", i * 8);
            break;
        }
    if (memory && memory[words - 1] != 0x123456789abcdef)
        fail(t, "the last word of the window does not hold what was written");
}

/* ---- Requests ---------------------------------------------------------------------- */

static void check_ring_nops(selftest *t)
{
    CLEANUP_VGPU_RING vgpu_ring *ring = open_checked(t);
    vgpu_job jobs[ENTRIES];
    vgpu_completion completions[ENTRIES];
    size_t n = 0;

    if (!ring)
        return;

    /* The ring is filled, and more often than once around. */
    for (uint32_t i = 0; i < ENTRIES; i++)
        vgpu_job_nop(&jobs[i]);
    for (int turn = 0; turn < 4 && !t->failed; turn++) {
        if (!expect_result(t, vgpu_ring_wait_room(ring, t->options->timeout_ms), 0, "waiting") ||
            !expect_result(t, vgpu_ring_submit(ring, jobs, ENTRIES - 1, NULL), 0, "submitting") ||
            !expect_result(t, vgpu_ring_wait(ring, SIZE_MAX, t->options->timeout_ms), 0, "waiting"))
            break;
        vgpu_ring_poll(ring, completions, ENTRIES, &n);
        if (n != ENTRIES - 1)
            fail(t, "%zu completions of %u requests", n, ENTRIES - 1);
        for (size_t i = 0; i < n; i++)
            expect_result(t, completions[i].result, 0, "NOP");
    }
}

static void check_ring_errors(selftest *t)
{
    CLEANUP_VGPU_RING vgpu_ring *ring = open_checked(t);
    vgpu_extension e = {0};
    uint64_t size;
    int32_t *memory;
    vgpu_job good, job;

    if (!ring)
        return;

    vgpu_get_extension(t->dev, &e);
    size = e.window_size;
    memory = allocate(t, ring, 4096);
    if (memory && vgpu_job_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, memory, memory + 64,
                                  memory + 128, 64, &good) == 0) {
        const struct {
            const char *what;
            uint64_t offset, count;
            uint32_t stride;
        } bad[] = {
            {"an operand behind the window", size, 1, 1},
            {"an operand that ends behind the window", size - 4, 2, 1},
            {"a stride that leads out of the window", 0, 64, UINT32_MAX},
            {"an operand that is not aligned", 2, 1, 1},
            {"an offset that wraps", UINT64_MAX - 3, 2, 1},
            {"a count that wraps", 0, UINT64_MAX / 4 + 1, 1},
            {"no element", 0, 0, 1},
            {"stride 0", 0, 1, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
            job = good;
            job.submission.b.offset = bad[i].offset;
            job.submission.b.stride = bad[i].stride;
            job.submission.count = bad[i].count;
            expect_job(t, ring, &job, VGPU_ERROR_INVALID_REQUEST, bad[i].what);
        }
        job = good;
        job.submission.opcode = 0x02ff;
        expect_job(t, ring, &job, VGPU_ERROR_UNSUPPORTED_OP, "an opcode that does not exist");
        job = good;
        job.submission.type = 4;
        expect_job(t, ring, &job, VGPU_ERROR_UNSUPPORTED_OP, "a type that does not exist");
        job = good;
        job.submission.opcode = VGPU_OP_RING_AXPY;
        expect_job(t, ring, &job, VGPU_ERROR_UNSUPPORTED_OP, "AXPY of integers");
        expect_job(t, ring, &good, 0, "a good request after the bad ones");
    }
}

/* An index that makes no sense ends this ring, and the next one works. */
static void check_broken_ring(selftest *t)
{
    CLEANUP_VGPU_RING vgpu_ring *ring = open_checked(t);
    deadline until = deadline_after(t->options->timeout_ms);
    backoff pause = {0};
    uint8_t *memory;
    uint64_t offset = 0;
    uint32_t *sq_tail;

    if (!ring)
        return;

    memory = allocate(t, ring, 64);
    if (memory && vgpu_window_offset(ring, memory, 0, &offset) == 0) {
        sq_tail = (uint32_t *) (memory - offset);
        __atomic_store_n(sq_tail, ENTRIES + 1, __ATOMIC_SEQ_CST);
        set(t, VGPU_REG_RING_DOORBELL, 1);
        while (get(t, VGPU_REG_RING_CTRL) == VGPU_RING_ON)
            if (!backoff_pause(&pause, until, 1000000))
                break;
        expect_register(t, VGPU_REG_RING_CTRL, VGPU_RING_FAILED, "after a bad sq_tail");
        if (get(t, VGPU_REG_RING_ERROR) == VGPU_ERROR_NONE)
            fail(t, "RING_ERROR does not say why");
    }
    ring = vgpu_ring_close(ring);

    ring = open_checked(t);
    if (ring) {
        vgpu_job job;

        vgpu_job_nop(&job);
        expect_job(t, ring, &job, 0, "NOP on a new ring");
    }
}

/* ---- Computations -------------------------------------------------------------------- */

#define N 20000u

/* The elements are small whole numbers: every type holds all their sums and products exactly. */
static int number(size_t i, int seed)
{
    return (int) ((i * 7 + (size_t) seed * 11) % 23) - 11;
}

static void store_value(vgpu_type type, void *vector, size_t i, int64_t value)
{
    switch (type) {
    case VGPU_INT32:
        ((int32_t *) vector)[i] = (int32_t) value;
        break;
    case VGPU_INT64:
        ((int64_t *) vector)[i] = value;
        break;
    case VGPU_FLOAT32:
        ((float *) vector)[i] = (float) value;
        break;
    case VGPU_FLOAT64:
        ((double *) vector)[i] = (double) value;
        break;
    }
}

static double load_value(vgpu_type type, const void *vector, size_t i)
{
    switch (type) {
    case VGPU_INT32:
        return ((const int32_t *) vector)[i];
    case VGPU_INT64:
        return (double) ((const int64_t *) vector)[i];
    case VGPU_FLOAT32:
        return (double) ((const float *) vector)[i];
    default:
        return ((const double *) vector)[i];
    }
}

typedef struct vectors {
    double a[N], b[N], c[N]; /* of elements of any type */
} vectors;

static void check_elementwise(selftest *t, vgpu_ring *ring, vgpu_type type, uint32_t opcode,
                              vectors *v)
{
    const char *name = vgpu_type_to_string(type);
    int r;

    memset(v->c, 0x55, sizeof(v->c));
    r = vgpu_compute_vector(ring, opcode, type, 3, v->a, v->b, N, t->options->timeout_ms, v->c,
                            NULL);
    if (!expect_result(t, r, 0, name))
        return;
    for (size_t i = 0; i < N; i++) {
        int a = number(i, 1), b = number(i, 2);
        int wanted = opcode == VGPU_OP_RING_ADD   ? a + b
                     : opcode == VGPU_OP_RING_MUL ? a * b
                                                  : 3 * a + b;

        if (load_value(type, v->c, i) != wanted) {
            fail(t, "%s, operation 0x%" PRIx32 ": element %zu of %d and %d came back as %g", name,
                 opcode, i, a, b, load_value(type, v->c, i));
            return;
        }
    }
}

static int wanted_value(uint32_t opcode)
{
    int value = opcode == VGPU_OP_RING_MIN || opcode == VGPU_OP_RING_MAX ? number(0, 1) : 0;

    for (size_t i = 0; i < N; i++) {
        int a = number(i, 1);

        switch (opcode) {
        case VGPU_OP_RING_DOT:
            value += a * number(i, 2);
            break;
        case VGPU_OP_RING_SUM:
            value += a;
            break;
        case VGPU_OP_RING_MIN:
            value = a < value ? a : value;
            break;
        default:
            value = a > value ? a : value;
        }
    }
    return value;
}

static void check_reductions(selftest *t, vgpu_ring *ring, vgpu_type type, const vectors *v)
{
    static const uint32_t opcodes[] = {VGPU_OP_RING_DOT, VGPU_OP_RING_SUM, VGPU_OP_RING_MIN,
                                       VGPU_OP_RING_MAX};

    for (size_t i = 0; i < ELEMENTSOF(opcodes); i++) {
        vgpu_value value;
        int r = vgpu_compute_reduce(ring, opcodes[i], type, v->a, v->b, N, t->options->timeout_ms,
                                    &value);

        if (expect_result(t, r, 0, vgpu_type_to_string(type)) &&
            load_value(type, &value, 0) != wanted_value(opcodes[i]))
            fail(t, "%s, operation 0x%" PRIx32 " came back as %g, not %d",
                 vgpu_type_to_string(type), opcodes[i], load_value(type, &value, 0),
                 wanted_value(opcodes[i]));
    }
}

static void check_ring_vectors(selftest *t)
{
    static vectors v;
    CLEANUP_VGPU_RING vgpu_ring *ring = open_checked(t);

    for (unsigned int i = 0; ring && i < VGPU_N_TYPES; i++) {
        vgpu_type type = (vgpu_type) i;

        for (size_t j = 0; j < N; j++) {
            store_value(type, v.a, j, number(j, 1));
            store_value(type, v.b, j, number(j, 2));
        }
        check_elementwise(t, ring, type, VGPU_OP_RING_ADD, &v);
        check_elementwise(t, ring, type, VGPU_OP_RING_MUL, &v);
        if (type == VGPU_FLOAT32 || type == VGPU_FLOAT64)
            check_elementwise(t, ring, type, VGPU_OP_RING_AXPY, &v);
        check_reductions(t, ring, type, &v);
    }
}

static void check_ring_matmul(selftest *t)
{
    enum { M = 37, K = 29, COLUMNS = 41 };
    static double a[M * K], b[K * COLUMNS], c[M * COLUMNS];
    CLEANUP_VGPU_RING vgpu_ring *ring = open_checked(t);

    for (unsigned int type = VGPU_FLOAT32; ring && type <= VGPU_FLOAT64; type++) {
        int r;

        for (size_t i = 0; i < M * K; i++)
            store_value((vgpu_type) type, a, i, number(i, 3));
        for (size_t i = 0; i < K * COLUMNS; i++)
            store_value((vgpu_type) type, b, i, number(i, 4));
        r = vgpu_compute_matmul(ring, (vgpu_type) type, a, b, M, COLUMNS, K, t->options->timeout_ms,
                                c);
        if (!expect_result(t, r, 0, "the product"))
            break;
        for (size_t i = 0; i < M * COLUMNS && !t->failed; i++) {
            int wanted = 0;

            for (size_t l = 0; l < K; l++)
                wanted += number(i / COLUMNS * K + l, 3) * number(l * COLUMNS + i % COLUMNS, 4);
            if (load_value((vgpu_type) type, c, i) != wanted)
                fail(t, "element %zu of the product came back as %g, not %d", i,
                     load_value((vgpu_type) type, c, i), wanted);
        }
    }
}

const check ring_checks[] = {
    {"the extension block says what it offers", check_extension_registers, false},
    {"the ring's registers", check_ring_registers, true},
    {"the window holds what is written", check_window, true},
    {"a ring full of NOPs, several times around", check_ring_nops, true},
    {"errors of requests on the ring", check_ring_errors, true},
    {"a ring with a bad index ends, and a new one works", check_broken_ring, true},
    {"vectors on the ring", check_ring_vectors, true},
    {"matrices on the ring", check_ring_matmul, true},
    {0},
};

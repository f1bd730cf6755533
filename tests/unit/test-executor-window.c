/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>

#include "test-executor-start.h"
#include "test-executor-window.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- Windows ----------------------------------------------------------------- */

TestWindow window_create(uint32_t id, uint64_t size)
{
    return window_create_in(memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING), id, size);
}

/* Nothing may be touched behind a mapping of a window. Without a guard there, it depends on
 * where the kernel puts the next mapping whether such an access is noticed. The guard is as
 * large as a huge page, so that a window of those can be aligned as it has to be. */
#define GUARD_SIZE ((size_t) 2 << 20)

static unsigned char *map_guarded(int fd, size_t size)
{
    size_t all = size + 2 * GUARD_SIZE;
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    unsigned char *p =
        mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before = -(uintptr_t) p % GUARD_SIZE;

    assert_true(p != MAP_FAILED);
    if (before > 0)
        munmap(p, before);
    munmap(p + before + size + GUARD_SIZE, GUARD_SIZE - before);
    p += before;
    assert_ptr_equal(mmap(p, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0), p);
    return p;
}

TestWindow window_create_in(int memfd, uint32_t id, uint64_t size)
{
    TestWindow w = {.id = id, .fd = memfd, .size = size};

    assert_true(w.fd >= 0);
    assert_int_equal(ftruncate(w.fd, (off_t) size), 0);
    assert_int_equal(fcntl(w.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    w.memory = map_guarded(w.fd, size);
    w.expected = map_guarded(-1, size);
    return w;
}

void window_destroy(TestWindow *w)
{
    munmap(w->memory, w->size + GUARD_SIZE);
    munmap(w->expected, w->size + GUARD_SIZE);
    close(w->fd);
}

void window_send_add(Client *c, const TestWindow *w)
{
    unsigned char m[MESSAGE_MAX];
    size_t size = message_window(m, EXECUTOR_MSG_WINDOW_ADD, w->id);

    assert_true(client_send_with_fds(c, m, size, &w->fd, 1));
}

void window_send_remove(Client *c, const TestWindow *w)
{
    unsigned char m[MESSAGE_MAX];

    assert_true(client_send(c, m, message_window(m, EXECUTOR_MSG_WINDOW_REMOVE, w->id)));
    client_sync(c);
}

void window_fill(TestWindow *w, uint64_t seed, uint32_t type, bool nice)
{
    uint64_t *words = (uint64_t *) (void *) w->memory;

    for (uint64_t i = 0; i < w->size / 8; i++) {
        uint64_t x = random_bits(&seed);
        /* Of either sign, from 2^-8 to 2^8 */
        double d = (x & 1 ? -1 : 1) * ldexp(1 + (double) (x >> 12) * 0x1p-52, (int) (x >> 1) % 8);
        float pair[2] = {(float) d, (float) (d * 0.7)};

        if (nice && type == VGPU_TYPE_FLOAT64)
            memcpy(&x, &d, sizeof(x));
        if (nice && type == VGPU_TYPE_FLOAT32)
            memcpy(&x, pair, sizeof(x));
        words[i] = x;
    }
    memcpy(w->expected, w->memory, w->size);
}

VGPUOperand operand(uint64_t offset, uint32_t stride)
{
    return (VGPUOperand){.offset = offset, .stride = stride};
}

/* ---- What the result is to be -------------------------------------------------------------- */

/* Where element @i of an operand is expected */
static unsigned char *at(const TestWindow *w, const VGPUSubmission *s, const VGPUOperand *o,
                         uint64_t i)
{
    return w->expected + o->offset + i * o->stride * vgpu_ring_type_size(s->type);
}

#define DEFINE_EXPECT_MAP(name, type)                              \
    static void name(const TestWindow *w, const VGPUSubmission *s) \
    {                                                              \
        volatile type alpha = 0, product;                          \
                                                                   \
        if (s->opcode == VGPU_OP_RING_AXPY)                        \
            alpha = (type) s->scalar;                              \
        for (uint64_t i = 0; i < s->count; i++) {                  \
            type x, y, z;                                          \
                                                                   \
            memcpy(&x, at(w, s, &s->a, i), sizeof(x));             \
            memcpy(&y, at(w, s, &s->b, i), sizeof(y));             \
            product = alpha * x;                                   \
            z = s->opcode == VGPU_OP_RING_ADD   ? x + y            \
                : s->opcode == VGPU_OP_RING_MUL ? x * y            \
                                                : product + y;     \
            memcpy(at(w, s, &s->c, i), &z, sizeof(z));             \
        }                                                          \
    }

DEFINE_EXPECT_MAP(expect_map_int32, uint32_t)
DEFINE_EXPECT_MAP(expect_map_int64, uint64_t)
DEFINE_EXPECT_MAP(expect_map_float32, float)
DEFINE_EXPECT_MAP(expect_map_float64, double)

static void expect_map(const TestWindow *w, const VGPUSubmission *s)
{
    static void (*const maps[])(const TestWindow *, const VGPUSubmission *) = {
        [VGPU_TYPE_INT32] = expect_map_int32,
        [VGPU_TYPE_INT64] = expect_map_int64,
        [VGPU_TYPE_FLOAT32] = expect_map_float32,
        [VGPU_TYPE_FLOAT64] = expect_map_float64,
    };

    maps[s->type](w, s);
}

static bool is_floating(uint32_t type)
{
    return type == VGPU_TYPE_FLOAT32 || type == VGPU_TYPE_FLOAT64;
}

/* Both read as many bytes as the type has: the element may be the last of the window. */
static long double floating(const void *p, uint32_t type)
{
    float f;
    double d;

    assert_true(is_floating(type));
    if (type == VGPU_TYPE_FLOAT32) {
        memcpy(&f, p, sizeof(f));
        return f;
    }
    memcpy(&d, p, sizeof(d));
    return d;
}

static int64_t integer(const void *p, uint32_t type)
{
    int32_t i;
    int64_t l;

    assert_false(is_floating(type));
    if (type == VGPU_TYPE_INT32) {
        memcpy(&i, p, sizeof(i));
        return i;
    }
    memcpy(&l, p, sizeof(l));
    return l;
}

static ExpectedResult expect_integer_sum(const TestWindow *w, const VGPUSubmission *s)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < s->count; i++) {
        uint64_t x = (uint64_t) integer(at(w, s, &s->a, i), s->type), y = 1;

        if (s->opcode == VGPU_OP_RING_DOT)
            y = (uint64_t) integer(at(w, s, &s->b, i), s->type);
        sum += x * y;
    }

    return (ExpectedResult){true, s->type == VGPU_TYPE_INT32 ? (uint32_t) sum : sum, 0, 0};
}

/* With a compensation (Neumaier's), so that the reference has no error to speak of */
static ExpectedResult expect_floating_sum(const TestWindow *w, const VGPUSubmission *s)
{
    long double sum = 0, rest = 0, magnitude = 0;
    ExpectedResult e = {0};

    for (uint64_t i = 0; i < s->count; i++) {
        long double x = floating(at(w, s, &s->a, i), s->type), next;

        if (s->opcode == VGPU_OP_RING_DOT)
            x *= floating(at(w, s, &s->b, i), s->type);
        next = sum + x;
        rest += fabsl(sum) >= fabsl(x) ? (sum - next) + x : (x - next) + sum;
        sum = next;
        magnitude += fabsl(x);
    }

    e.value = isfinite(sum) ? sum + rest : sum;
    if (s->type == VGPU_TYPE_FLOAT32 && isinf((float) e.value))
        e.value = (float) e.value;
    e.within = s->type == VGPU_TYPE_FLOAT32
                   ? 0x1p-24L * fabsl(e.value) + 0x1p-43L * magnitude + 0x1p-150L
                   : 0x1p-44L * magnitude + (long double) s->count * 0x1p-1074L;
    return e;
}

/* A NaN wins; else the order of the numbers, with -0 below +0. */
static bool is_before(const void *x, const void *y, uint32_t type)
{
    long double p, q;

    if (!is_floating(type))
        return integer(x, type) < integer(y, type);
    p = floating(x, type);
    q = floating(y, type);
    return p < q || (p == 0 && q == 0 && signbit(p) && !signbit(q));
}

static ExpectedResult expect_extreme(const TestWindow *w, const VGPUSubmission *s)
{
    const unsigned char *best = at(w, s, &s->a, 0);
    ExpectedResult e = {.exact = true};

    for (uint64_t i = 0; i < s->count; i++) {
        const unsigned char *x = at(w, s, &s->a, i);

        if (is_floating(s->type) && isnan(floating(x, s->type))) {
            e.bits = s->type == VGPU_TYPE_FLOAT32 ? 0x7fc00000 : UINT64_C(0x7ff8000000000000);
            return e;
        }
        if (s->opcode == VGPU_OP_RING_MIN ? is_before(x, best, s->type)
                                          : is_before(best, x, s->type))
            best = x;
    }

    memcpy(&e.bits, best, vgpu_ring_type_size(s->type));
    return e;
}

ExpectedResult window_expect(TestWindow *w, const VGPUSubmission *s)
{
    switch (s->opcode) {
    case VGPU_OP_RING_ADD:
    case VGPU_OP_RING_MUL:
    case VGPU_OP_RING_AXPY:
        expect_map(w, s);
        break;
    case VGPU_OP_RING_DOT:
    case VGPU_OP_RING_SUM:
        return is_floating(s->type) ? expect_floating_sum(w, s) : expect_integer_sum(w, s);
    case VGPU_OP_RING_MIN:
    case VGPU_OP_RING_MAX:
        return expect_extreme(w, s);
    }

    return (ExpectedResult){.exact = true};
}

/* ---- What the result is --------------------------------------------------------------------- */

static void assert_result(const VGPUSubmission *s, const ExpectedResult *e, uint64_t bits)
{
    long double value;

    if (e->exact) {
        assert_int_equal(bits, e->bits);
        return;
    }
    value = floating(&bits, s->type);
    if (s->type == VGPU_TYPE_FLOAT32)
        assert_int_equal(bits >> 32, 0);
    if (isnan(e->value)) {
        assert_true(isnan(value));
    } else if (isinf(e->value)) {
        assert_true(value == e->value);
    } else if (!(fabsl(value - e->value) <= e->within)) {
        fail_msg("op %#x type %u count %llu: %.20Lg instead of %.20Lg, not within %Lg", s->opcode,
                 s->type, (unsigned long long) s->count, value, e->value, e->within);
    }
}

/* Each element of c has to be within its bound. Then it becomes what is expected. */
static void assert_matmul(TestWindow *w, const VGPUSubmission *s)
{
    size_t element = vgpu_ring_type_size(s->type);
    long double unit = s->type == VGPU_TYPE_FLOAT32 ? 0x1p-24L : 0x1p-53L;

    for (uint64_t i = 0; i < s->count; i++) {
        for (uint64_t j = 0; j < s->n; j++) {
            uint64_t offset = s->c.offset + (i * s->c.stride + j) * element;
            long double sum = 0, magnitude = 0, value = floating(w->memory + offset, s->type);

            for (uint64_t l = 0; l < s->k; l++) {
                long double x = floating(at(w, s, &s->a, i) + l * element, s->type) *
                                floating(at(w, s, &s->b, l) + j * element, s->type);

                sum += x;
                magnitude += fabsl(x);
            }
            if (isnan(sum)   ? !isnan(value)
                : isinf(sum) ? value != sum
                             : !(fabsl(value - sum) <= 2 * unit * (long double) s->k * magnitude))
                fail_msg("%llu, %llu: %.20Lg instead of %.20Lg", (unsigned long long) i,
                         (unsigned long long) j, value, sum);
            memcpy(w->expected + offset, w->memory + offset, element);
        }
    }
}

/* The same bits, or both NaN */
static void assert_same_memory(TestWindow *w, const VGPUSubmission *s)
{
    uint32_t element = vgpu_ring_type_size(s->type);

    if (memcmp(w->memory, w->expected, w->size) == 0)
        return;

    for (uint64_t i = 0; i < s->count && is_floating(s->type); i++) {
        uint64_t offset = s->c.offset + i * s->c.stride * element;

        if (isnan(floating(w->memory + offset, s->type)) &&
            isnan(floating(w->expected + offset, s->type)))
            memcpy(w->expected + offset, w->memory + offset, element);
    }
    for (uint64_t i = 0; i < w->size; i++)
        if (w->memory[i] != w->expected[i])
            fail_msg("op %#x type %u count %llu strides %u %u %u: byte %llu is %#x, not %#x",
                     s->opcode, s->type, (unsigned long long) s->count, s->a.stride, s->b.stride,
                     s->c.stride, (unsigned long long) i, w->memory[i], w->expected[i]);
}

void window_assert(TestWindow *w, const VGPUSubmission *s, const ExpectedResult *e,
                   const ExecutorResult *r)
{
    assert_int_equal(r->status, VGPU_ERROR_NONE);
    assert_int_equal(r->cuda_result, 0);
    assert_int_equal(r->reserved, 0);
    assert_in_range(r->exec_time_us, 1, 120 * 1000 * 1000);
    assert_result(s, e, r->result);
    if (s->opcode == VGPU_OP_RING_MATMUL)
        assert_matmul(w, s);
    assert_same_memory(w, s);
}

void window_send(Client *c, const TestWindow *w, uint64_t tag, uint32_t priority,
                 const VGPUSubmission *s)
{
    unsigned char m[MESSAGE_MAX];

    assert_true(client_send(c, m, message_compute(m, tag, priority, w->id, s)));
}

static ExecutorResult receive_result(Client *c, uint64_t tag)
{
    ClientResponse r;

    assert_true(client_receive(c, &r));
    assert_int_equal(r.type, EXECUTOR_MSG_RESULT);
    assert_int_equal(r.tag, tag);
    return r.result;
}

void window_compute(Client *c, TestWindow *w, const VGPUSubmission *s)
{
    ExpectedResult e;
    ExecutorResult r;

    window_send(c, w, s->count ^ s->opcode, s->count % VGPU_N_PRIORITIES, s);
    r = receive_result(c, s->count ^ s->opcode);
    e = window_expect(w, s);
    window_assert(w, s, &e, &r);
}

void window_refused(Client *c, const TestWindow *w, const VGPUSubmission *s, uint32_t status)
{
    ExecutorResult r;

    window_send(c, w, 77, VGPU_PRIORITY_LOW, s);
    r = receive_result(c, 77);
    assert_int_equal(r.status, status);
    assert_int_equal(r.result, 0);
    assert_int_equal(r.exec_time_us, 0);
}

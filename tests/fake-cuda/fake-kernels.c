/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake device's own code for the built-in kernels. It is written from what kernels.h says
 * of them, not from their source. All memory that a launch names is checked.
 */
#include "fake-memory.h"
#include "fake-queue.h"

#include <stdlib.h>
#include <string.h>

/* What a kernel takes */
typedef enum Kind {
    REQUEST_KERNEL, /* a Request; in one block */
    VECTOR_KERNEL,  /* a KernelVector */
    MATMUL_KERNEL,  /* a KernelMatmul */
} Kind;

typedef struct Request {
    CUdeviceptr a, b, c, ret_ns;
    uint32_t n;
} Request;

typedef struct Builtin {
    FakeKernel kernel; /* first */
    Kind kind;
    size_t element;
    /* REQUEST: n elements without gaps; VECTOR: n elements from @first on */
    void (*request)(const void *a, const void *b, void *c, size_t n);
    void (*vector)(const KernelVector *v, const void *a, const void *b, void *c, uint64_t first,
                   uint64_t n, KernelReport *report);
    void (*matmul)(const KernelMatmul *p, const void *a, const void *b, void *c);
    bool has_b, has_c;
} Builtin;

/* ---- Requests ------------------------------------------------------------------- */

#define DEFINE_REQUEST(name, type)                                    \
    static void name(const void *a, const void *b, void *c, size_t n) \
    {                                                                 \
        const type *x = a, *y = b;                                    \
        type *z = c;                                                  \
                                                                      \
        for (size_t i = 0; i < n; i++)                                \
            z[i] = x[i] + y[i];                                       \
    }

DEFINE_REQUEST(request_int32, uint32_t)
DEFINE_REQUEST(request_int64, uint64_t)
DEFINE_REQUEST(request_float32, float)
DEFINE_REQUEST(request_float64, double)

/* ---- Vectors ----------------------------------------------------------------------- */

#define DEFINE_VECTOR(name, type, before, each, after)                                \
    static void name(const KernelVector *v, const void *va, const void *vb, void *vc, \
                     uint64_t first, uint64_t n, KernelReport *report)                \
    {                                                                                 \
        const type *a = va, *b = vb;                                                  \
        type *c = vc;                                                                 \
        before;                                                                       \
                                                                                      \
        (void) b;                                                                     \
        (void) c;                                                                     \
        (void) report;                                                                \
        for (uint64_t i = first; i < first + n; i++) {                                \
            each;                                                                     \
        }                                                                             \
        after;                                                                        \
    }

#define A a[i * v->sa]
#define B b[i * v->sb]
#define C c[i * v->sc]
#define REPORT_SUM memcpy(&report->low, &sum, sizeof(sum))

#define DEFINE_VECTORS(suffix, type, wide)                                       \
    DEFINE_VECTOR(add_##suffix, type, (void) 0, C = A + B, (void) 0)             \
    DEFINE_VECTOR(mul_##suffix, type, (void) 0, C = A * B, (void) 0)             \
    DEFINE_VECTOR(sum_##suffix, type, wide sum = 0, sum += (wide) A, REPORT_SUM) \
    DEFINE_VECTOR(dot_##suffix, type, wide sum = 0, sum += (wide) A * (wide) B, REPORT_SUM)

DEFINE_VECTORS(int32, uint32_t, uint64_t)
DEFINE_VECTORS(int64, uint64_t, uint64_t)
DEFINE_VECTORS(float32, float, double)
DEFINE_VECTORS(float64, double, double)

#define AXPY(type)                       \
    type product = (type) v->scalar * A; \
    C = product + B

DEFINE_VECTOR(axpy_float32, float, (void) 0, AXPY(float), (void) 0)
DEFINE_VECTOR(axpy_float64, double, (void) 0, AXPY(double), (void) 0)

static int64_t key_int32(int32_t x)
{
    return x;
}

static int64_t key_int64(int64_t x)
{
    return x;
}

static int64_t key_float32(int32_t x)
{
    return x < 0 ? x ^ INT32_MAX : x;
}

static int64_t key_float64(int64_t x)
{
    return x < 0 ? x ^ INT64_MAX : x;
}

#define BEFORE_EXTREMES int64_t min = INT64_MAX, max = INT64_MIN
#define EXTREMES(key_of)         \
    int64_t key = key_of(A);     \
    min = key < min ? key : min; \
    max = key > max ? key : max
#define REPORT_EXTREMES           \
    report->low = (uint64_t) min; \
    report->high = (uint64_t) max

DEFINE_VECTOR(extremes_int32, int32_t, BEFORE_EXTREMES, EXTREMES(key_int32), REPORT_EXTREMES)
DEFINE_VECTOR(extremes_int64, int64_t, BEFORE_EXTREMES, EXTREMES(key_int64), REPORT_EXTREMES)
DEFINE_VECTOR(extremes_float32, int32_t, BEFORE_EXTREMES, EXTREMES(key_float32), REPORT_EXTREMES)
DEFINE_VECTOR(extremes_float64, int64_t, BEFORE_EXTREMES, EXTREMES(key_float64), REPORT_EXTREMES)

/* ---- Matrices ------------------------------------------------------------------------ */

#define DEFINE_MATMUL(name, type)                                                     \
    static void name(const KernelMatmul *p, const void *va, const void *vb, void *vc) \
    {                                                                                 \
        const type *a = va, *b = vb;                                                  \
        type *c = vc;                                                                 \
                                                                                      \
        for (uint32_t i = 0; i < p->m; i++)                                           \
            for (uint32_t j = 0; j < p->n; j++) {                                     \
                type sum = p->accumulate ? c[i * p->ldc + j] : 0;                     \
                                                                                      \
                for (uint32_t l = 0; l < p->k; l++)                                   \
                    sum += a[i * p->lda + l] * b[l * p->ldb + j];                     \
                c[i * p->ldc + j] = sum;                                              \
            }                                                                         \
    }

DEFINE_MATMUL(matmul_float32, float)
DEFINE_MATMUL(matmul_float64, double)

/* ---- The table ------------------------------------------------------------------------- */

static CUresult run_request(const FakeLaunch *l, uint64_t ns);
static CUresult run_vector(const FakeLaunch *l, uint64_t ns);
static CUresult run_matmul(const FakeLaunch *l, uint64_t ns);

/* a, b, c, n, ret_ns */
static const FakeParameter request_parameters[] = {{0, 8}, {8, 8}, {16, 8}, {24, 4}, {32, 8}};
static const FakeParameter vector_parameters[] = {{0, sizeof(KernelVector)}};
static const FakeParameter matmul_parameters[] = {{0, sizeof(KernelMatmul)}};

#define KERNEL(called, takes, n, runs)                                                            \
    {                                                                                             \
        .name = called, .parameters = takes, .n_parameters = n, .builtin = true, .registers = 32, \
        .run = runs                                                                               \
    }
#define REQUEST(suffix, bytes)                                                                  \
    {                                                                                           \
        KERNEL("vgpu_vector_add_" #suffix, request_parameters, 5, run_request), REQUEST_KERNEL, \
            bytes, request_##suffix, NULL, NULL, true, true                                     \
    }
#define VECTOR(name, suffix, bytes, has_b, has_c)                                                \
    {                                                                                            \
        KERNEL("vgpu_ring_" #name "_" #suffix, vector_parameters, 1, run_vector), VECTOR_KERNEL, \
            bytes, NULL, name##_##suffix, NULL, has_b, has_c                                     \
    }
#define MATMUL(suffix, bytes)                                                                 \
    {                                                                                         \
        KERNEL("vgpu_ring_matmul_" #suffix, matmul_parameters, 1, run_matmul), MATMUL_KERNEL, \
            bytes, NULL, NULL, matmul_##suffix, true, true                                    \
    }
#define OF_EVERY_TYPE(suffix, bytes)                                                     \
    REQUEST(suffix, bytes), VECTOR(add, suffix, bytes, true, true),                      \
        VECTOR(mul, suffix, bytes, true, true), VECTOR(dot, suffix, bytes, true, false), \
        VECTOR(sum, suffix, bytes, false, false), VECTOR(extremes, suffix, bytes, false, false)

const FakeKernel *fake_builtin_kernel_find(const char *name)
{
    static const Builtin kernels[] = {
        OF_EVERY_TYPE(int32, 4),
        OF_EVERY_TYPE(int64, 8),
        OF_EVERY_TYPE(float32, 4),
        OF_EVERY_TYPE(float64, 8),
        VECTOR(axpy, float32, 4, true, true),
        VECTOR(axpy, float64, 8, true, true),
        MATMUL(float32, 4),
        MATMUL(float64, 8),
    };

    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
        if (strcmp(name, kernels[i].kernel.name) == 0)
            return &kernels[i].kernel;

    return NULL;
}

/* ---- Running ----------------------------------------------------------------------------- */

static const Builtin *builtin(const FakeLaunch *l)
{
    return (const Builtin *) l->kernel;
}

static Request request(const FakeLaunch *l)
{
    Request r;

    memcpy(&r.a, l->parameters, 24);
    memcpy(&r.n, l->parameters + 24, sizeof(r.n));
    memcpy(&r.ret_ns, l->parameters + 32, sizeof(r.ret_ns));
    return r;
}

/* The operands of a request are in the executor's own memory, so nobody may change them. */
static void check_operands(const FakeLaunch *l)
{
    Request r = request(l);
    size_t element = builtin(l)->element, size = r.n * element;

    if (memcmp(fake_resolve(r.a, size, element, "kernel, a"), l->operands, size) != 0 ||
        memcmp(fake_resolve(r.b, size, element, "kernel, b"), l->operands + size, size) != 0)
        fake_misuse("operands changed between launch and execution");
}

static CUresult run_request(const FakeLaunch *l, uint64_t ns)
{
    Request r = request(l);
    size_t element = builtin(l)->element, size = r.n * element;

    check_operands(l);

    builtin(l)->request(fake_resolve(r.a, size, element, "kernel, a"),
                        fake_resolve(r.b, size, element, "kernel, b"),
                        fake_resolve(r.c, size, element, "kernel, c"), r.n);
    __atomic_store_n((uint64_t *) fake_resolve(r.ret_ns, sizeof(ns), sizeof(ns), "kernel, ret_ns"),
                     ns, __ATOMIC_RELEASE);
    return CUDA_SUCCESS;
}

static KernelReport *resolve_reports(const FakeLaunch *l, uint64_t address)
{
    size_t n = (size_t) l->grid[0] * l->grid[1];

    if (address == 0)
        return NULL;
    if (n > KERNEL_BLOCKS_MAX)
        fake_misuse("kernel: %zu blocks report", n);
    return fake_resolve(address, n * sizeof(KernelReport), 8, "kernel, reports");
}

/* Of block @i, last of all: the host takes it for the block's end. */
static void write_report(KernelReport *reports, size_t i, uint64_t ns, const KernelReport *report)
{
    if (!reports)
        return;
    reports[i].start_ns = 1000 + i;
    reports[i].low = report->low;
    reports[i].high = report->high;
    __atomic_store_n(&reports[i].end_ns, 1000 + i + ns, __ATOMIC_RELEASE);
}

static size_t rows_size(uint64_t rows, uint64_t stride, uint64_t columns, size_t element)
{
    return ((rows - 1) * stride + columns) * element;
}

/* The blocks have successive parts of the vector. The host must not rely on which. */
static CUresult run_vector(const FakeLaunch *l, uint64_t ns)
{
    const Builtin *k = builtin(l);
    const KernelVector *v = (const KernelVector *) (const void *) l->parameters;
    KernelReport *reports = resolve_reports(l, v->reports);
    size_t element = k->element;
    const void *a, *b;
    void *c;

    if (v->n < l->grid[0] || l->grid[1] != 1 || v->sa == 0 || (!reports && !k->has_c))
        fake_misuse("kernel %s: %zu elements in %u blocks", k->kernel.name, (size_t) v->n,
                    l->grid[0]);
    a = fake_resolve(v->a, rows_size(v->n, v->sa, 1, element), element, "kernel, a");
    b = k->has_b ? fake_resolve(v->b, rows_size(v->n, v->sb, 1, element), element, "kernel, b")
                 : NULL;
    c = k->has_c ? fake_resolve(v->c, rows_size(v->n, v->sc, 1, element), element, "kernel, c")
                 : NULL;

    for (uint64_t i = 0; i < l->grid[0]; i++) {
        uint64_t first = v->n * i / l->grid[0], end = v->n * (i + 1) / l->grid[0];
        KernelReport report = {0};

        k->vector(v, a, b, c, first, end - first, &report);
        write_report(reports, i, ns, &report);
    }
    return CUDA_SUCCESS;
}

static CUresult run_matmul(const FakeLaunch *l, uint64_t ns)
{
    const KernelMatmul *p = (const KernelMatmul *) (const void *) l->parameters;
    KernelReport *reports = resolve_reports(l, p->reports);
    size_t element = builtin(l)->element, blocks = (size_t) l->grid[0] * l->grid[1];

    if (p->m == 0 || p->n == 0 || p->k == 0 ||
        l->grid[0] != (p->n + KERNEL_TILE - 1) / KERNEL_TILE ||
        l->grid[1] != (p->m + KERNEL_TILE - 1) / KERNEL_TILE)
        fake_misuse("kernel, matrix: %u by %u by %u in %u by %u blocks", p->m, p->n, p->k,
                    l->grid[0], l->grid[1]);
    builtin(l)->matmul(p, fake_resolve(p->a, rows_size(p->m, p->lda, p->k, element), element, "a"),
                       fake_resolve(p->b, rows_size(p->k, p->ldb, p->n, element), element, "b"),
                       fake_resolve(p->c, rows_size(p->m, p->ldc, p->n, element), element, "c"));
    for (size_t i = 0; i < blocks; i++)
        write_report(reports, i, ns, &(const KernelReport){0});
    return CUDA_SUCCESS;
}

/* ---- Launching (under the lock) ------------------------------------------------------------ */

/* Returns a copy of the operands of a request. */
static unsigned char *copy_operands(const FakeLaunch *l)
{
    Request r = request(l);
    size_t element = builtin(l)->element, size = r.n * element;
    unsigned char *operands = malloc(2 * size + 1);

    if (r.n == 0 || size > FAKE_KERNEL_OPERAND_MAX)
        fake_misuse("cuLaunchKernel: n is %u", r.n);
    if (!operands)
        abort();
    memcpy(operands, fake_memory_check(r.a, size, element, "cuLaunchKernel, a"), size);
    memcpy(operands + size, fake_memory_check(r.b, size, element, "cuLaunchKernel, b"), size);
    return operands;
}

void fake_builtin_prepare(FakeLaunch *l)
{
    if (l->grid[2] != 1 || l->block[1] != 1 || l->block[2] != 1 || l->shared_bytes != 0)
        fake_misuse("cuLaunchKernel: %u by %u by %u blocks", l->grid[0], l->grid[1], l->grid[2]);
    if (builtin(l)->kind != REQUEST_KERNEL) {
        if (l->block[0] != KERNEL_THREADS)
            fake_misuse("cuLaunchKernel: the kernels of windows have %u threads", KERNEL_THREADS);
        return;
    }
    if (l->grid[0] != 1 || l->grid[1] != 1)
        fake_misuse("cuLaunchKernel: the kernels of requests run in one block");
    l->operands = copy_operands(l);
}

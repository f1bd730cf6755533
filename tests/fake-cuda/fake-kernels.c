/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake device's own code for the built-in kernels. It is written from what kernels.h says
 * of them, not from their source. All memory that a launch names is checked.
 */
#include "fake-device.h"

#include <string.h>

struct FakeKernel {
    const char *name;
    FakeKernelKind kind;
    size_t element;
    /* REQUEST: n elements without gaps; VECTOR: n elements from @first on */
    void (*request)(const void *a, const void *b, void *c, size_t n);
    void (*vector)(const KernelVector *v, const void *a, const void *b, void *c, uint64_t first,
                   uint64_t n, KernelReport *report);
    void (*matmul)(const KernelMatmul *p, const void *a, const void *b, void *c);
    bool has_b, has_c;
};

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

#define REQUEST(suffix, bytes)                                                                    \
    {                                                                                             \
        "vgpu_vector_add_" #suffix, FAKE_REQUEST, bytes, request_##suffix, NULL, NULL, true, true \
    }
#define VECTOR(name, suffix, bytes, has_b, has_c)                                               \
    {                                                                                           \
        "vgpu_ring_" #name "_" #suffix, FAKE_VECTOR, bytes, NULL, name##_##suffix, NULL, has_b, \
            has_c                                                                               \
    }
#define MATMUL(suffix, bytes)                                                                    \
    {                                                                                            \
        "vgpu_ring_matmul_" #suffix, FAKE_MATMUL, bytes, NULL, NULL, matmul_##suffix, true, true \
    }
#define OF_EVERY_TYPE(suffix, bytes)                                                     \
    REQUEST(suffix, bytes), VECTOR(add, suffix, bytes, true, true),                      \
        VECTOR(mul, suffix, bytes, true, true), VECTOR(dot, suffix, bytes, true, false), \
        VECTOR(sum, suffix, bytes, false, false), VECTOR(extremes, suffix, bytes, false, false)

const FakeKernel *fake_kernel_find(const char *name)
{
    static const FakeKernel kernels[] = {
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
        if (strcmp(name, kernels[i].name) == 0)
            return &kernels[i];

    return NULL;
}

FakeKernelKind fake_kernel_kind(const FakeKernel *kernel)
{
    return kernel->kind;
}

size_t fake_kernel_element(const FakeKernel *kernel)
{
    return kernel->element;
}

/* ---- Running ----------------------------------------------------------------------------- */

static void run_request(const FakeLaunch *l, uint64_t ns)
{
    size_t element = l->kernel->element, size = l->request.n * element;

    memcpy(fake_resolve(l->request.ret_ns, sizeof(ns), sizeof(ns), "kernel, ret_ns"), &ns,
           sizeof(ns));
    l->kernel->request(fake_resolve(l->request.a, size, element, "kernel, a"),
                       fake_resolve(l->request.b, size, element, "kernel, b"),
                       fake_resolve(l->request.c, size, element, "kernel, c"), l->request.n);
}

static KernelReport *resolve_reports(const FakeLaunch *l, uint64_t address)
{
    size_t n = (size_t) l->grid_x * l->grid_y;

    if (address == 0)
        return NULL;
    if (n > KERNEL_BLOCKS_MAX)
        fake_misuse("kernel: %zu blocks report", n);
    return fake_resolve(address, n * sizeof(KernelReport), 8, "kernel, reports");
}

static void fill_reports(KernelReport *reports, size_t n, uint64_t ns)
{
    for (size_t i = 0; reports && i < n; i++)
        reports[i] = (KernelReport){.start_ns = 1000 + i, .end_ns = 1000 + i + ns};
}

static size_t rows_size(uint64_t rows, uint64_t stride, uint64_t columns, size_t element)
{
    return ((rows - 1) * stride + columns) * element;
}

/* The blocks have successive parts of the vector. The host must not rely on which. */
static void run_vector(const FakeLaunch *l, uint64_t ns)
{
    const FakeKernel *k = l->kernel;
    const KernelVector *v = &l->vector;
    KernelReport *reports = resolve_reports(l, v->reports), none;
    size_t element = k->element;
    const void *a, *b;
    void *c;

    if (v->n < l->grid_x || l->grid_y != 1 || v->sa == 0 || (!reports && !k->has_c))
        fake_misuse("kernel %s: %zu elements in %u blocks", k->name, (size_t) v->n, l->grid_x);
    a = fake_resolve(v->a, rows_size(v->n, v->sa, 1, element), element, "kernel, a");
    b = k->has_b ? fake_resolve(v->b, rows_size(v->n, v->sb, 1, element), element, "kernel, b")
                 : NULL;
    c = k->has_c ? fake_resolve(v->c, rows_size(v->n, v->sc, 1, element), element, "kernel, c")
                 : NULL;

    fill_reports(reports, l->grid_x, ns);
    for (uint64_t i = 0; i < l->grid_x; i++) {
        uint64_t first = v->n * i / l->grid_x, end = v->n * (i + 1) / l->grid_x;

        k->vector(v, a, b, c, first, end - first, reports ? &reports[i] : &none);
    }
}

static void run_matmul(const FakeLaunch *l, uint64_t ns)
{
    const KernelMatmul *p = &l->matmul;
    size_t element = l->kernel->element;

    if (p->m == 0 || p->n == 0 || p->k == 0 ||
        l->grid_x != (p->n + KERNEL_TILE - 1) / KERNEL_TILE ||
        l->grid_y != (p->m + KERNEL_TILE - 1) / KERNEL_TILE)
        fake_misuse("kernel, matrix: %u by %u by %u in %u by %u blocks", p->m, p->n, p->k,
                    l->grid_x, l->grid_y);
    fill_reports(resolve_reports(l, p->reports), (size_t) l->grid_x * l->grid_y, ns);
    l->kernel->matmul(p, fake_resolve(p->a, rows_size(p->m, p->lda, p->k, element), element, "a"),
                      fake_resolve(p->b, rows_size(p->k, p->ldb, p->n, element), element, "b"),
                      fake_resolve(p->c, rows_size(p->m, p->ldc, p->n, element), element, "c"));
}

void fake_kernel_run(const FakeLaunch *launch, uint64_t ns)
{
    switch (launch->kernel->kind) {
    case FAKE_REQUEST:
        run_request(launch, ns);
        break;
    case FAKE_VECTOR:
        run_vector(launch, ns);
        break;
    case FAKE_MATMUL:
        run_matmul(launch, ns);
        break;
    }
}

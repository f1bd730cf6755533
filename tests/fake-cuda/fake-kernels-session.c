/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernels of session-kernels.cu in C. What they reach outside of the device's memory ends as it
 * would there: with CUDA_ERROR_ILLEGAL_ADDRESS.
 */
#include "fake-kernel.h"
#include "fake-memory.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define TILE 16u
#define PAGE_NUMBERS 1022u

/* Parameter @index of a launch; _Generic would not make it shorter. */
#define PARAMETER(launch, type, index)                      \
    (*(const type *) (const void *) ((launch)->parameters + \
                                     (launch)->kernel->parameters[index].offset))

#define REACH_OR_FAULT(pointer, address, size)     \
    do {                                           \
        (pointer) = fake_reach((address), (size)); \
        if (!(pointer))                            \
            return CUDA_ERROR_ILLEGAL_ADDRESS;     \
    } while (0)

static uint64_t n_threads(const FakeLaunch *l)
{
    uint64_t n = 1;

    for (size_t i = 0; i < 3; i++)
        n *= (uint64_t) l->grid[i] * l->block[i];
    return n;
}

/* How many of @n the threads of the x direction reach, one each */
static uint64_t reached(const FakeLaunch *l, uint64_t n)
{
    uint64_t threads = (uint64_t) l->grid[0] * l->block[0];

    return n < threads ? n : threads;
}

static CUresult saxpy(const FakeLaunch *l, uint64_t ns)
{
    uint64_t n = reached(l, PARAMETER(l, uint32_t, 0));
    float a = PARAMETER(l, float, 1);
    const float *x;
    float *y;

    (void) ns;
    if (n == 0)
        return CUDA_SUCCESS;
    REACH_OR_FAULT(x, PARAMETER(l, CUdeviceptr, 2), n * sizeof(*x));
    REACH_OR_FAULT(y, PARAMETER(l, CUdeviceptr, 3), n * sizeof(*y));
    for (uint64_t i = 0; i < n; i++)
        y[i] = a * x[i] + y[i];
    return CUDA_SUCCESS;
}

static CUresult reduce_sum(const FakeLaunch *l, uint64_t ns)
{
    uint32_t n = PARAMETER(l, uint32_t, 2);
    const float *x;
    float *to, sum = 0;

    (void) ns;
    REACH_OR_FAULT(x, PARAMETER(l, CUdeviceptr, 0), n * sizeof(*x));
    REACH_OR_FAULT(to, PARAMETER(l, CUdeviceptr, 1), sizeof(*to));
    for (uint32_t i = 0; i < n; i++)
        sum += x[i];
    *to = sum;
    return CUDA_SUCCESS;
}

static CUresult fill(const FakeLaunch *l, uint64_t ns)
{
    uint64_t n = reached(l, PARAMETER(l, uint64_t, 2));
    uint32_t *to;

    (void) ns;
    if (n == 0)
        return CUDA_SUCCESS;
    REACH_OR_FAULT(to, PARAMETER(l, CUdeviceptr, 0), n * sizeof(*to));
    for (uint64_t i = 0; i < n; i++)
        to[i] = PARAMETER(l, uint32_t, 1);
    return CUDA_SUCCESS;
}

/* Only what the blocks cover */
static CUresult matmul_tile(const FakeLaunch *l, uint64_t ns)
{
    size_t n = PARAMETER(l, uint32_t, 3), rows = l->grid[1] * TILE, columns = l->grid[0] * TILE;
    const float *a, *b;
    float *c;

    (void) ns;
    REACH_OR_FAULT(a, PARAMETER(l, CUdeviceptr, 0), n * n * sizeof(*a));
    REACH_OR_FAULT(b, PARAMETER(l, CUdeviceptr, 1), n * n * sizeof(*b));
    REACH_OR_FAULT(c, PARAMETER(l, CUdeviceptr, 2), n * n * sizeof(*c));
    for (size_t i = 0; i < rows && i < n; i++)
        for (size_t j = 0; j < columns && j < n; j++) {
            float sum = 0;

            for (size_t k = 0; k < n; k++)
                sum += a[i * n + k] * b[k * n + j];
            c[i * n + j] = sum;
        }
    return CUDA_SUCCESS;
}

typedef struct CopyParameters {
    CUdeviceptr from, to;
    uint32_t n, add;
} CopyParameters;

static CUresult copy_struct(const FakeLaunch *l, uint64_t ns)
{
    CopyParameters p = PARAMETER(l, CopyParameters, 0);
    uint64_t n = reached(l, p.n);
    const uint32_t *from;
    uint32_t *to;

    (void) ns;
    if (n == 0)
        return CUDA_SUCCESS;
    REACH_OR_FAULT(from, p.from, n * sizeof(*from));
    REACH_OR_FAULT(to, p.to, n * sizeof(*to));
    for (uint64_t i = 0; i < n; i++)
        to[i] = from[i] + p.add;
    return CUDA_SUCCESS;
}

static CUresult follow_pointer(const FakeLaunch *l, uint64_t ns)
{
    uint64_t n = reached(l, PARAMETER(l, uint32_t, 2));
    const CUdeviceptr *cell;
    const uint32_t *from;
    uint32_t *to;

    (void) ns;
    if (n == 0)
        return CUDA_SUCCESS;
    REACH_OR_FAULT(cell, PARAMETER(l, CUdeviceptr, 0), sizeof(*cell));
    REACH_OR_FAULT(from, *cell, n * sizeof(*from));
    REACH_OR_FAULT(to, PARAMETER(l, CUdeviceptr, 1), n * sizeof(*to));
    for (uint64_t i = 0; i < n; i++)
        to[i] = from[i] + 1;
    return CUDA_SUCCESS;
}

typedef struct PageOfParameters {
    CUdeviceptr to;
    uint32_t value[PAGE_NUMBERS];
} PageOfParameters;

static CUresult sum_parameters(const FakeLaunch *l, uint64_t ns)
{
    const PageOfParameters *p = &PARAMETER(l, PageOfParameters, 0);
    uint32_t sum = 0, *to;

    (void) ns;
    REACH_OR_FAULT(to, p->to, sizeof(*to));
    for (size_t i = 0; i < PAGE_NUMBERS; i++)
        sum += p->value[i];
    *to = sum;
    return CUDA_SUCCESS;
}

static CUresult count_threads(const FakeLaunch *l, uint64_t ns)
{
    CUdeviceptr address;
    uint64_t *counter;
    size_t size;

    (void) ns;
    if (!fake_global_find(l, "counter", &address, &size) || size < sizeof(*counter))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    REACH_OR_FAULT(counter, address, sizeof(*counter));
    *counter += n_threads(l);
    return CUDA_SUCCESS;
}

static CUresult trap(const FakeLaunch *l, uint64_t ns)
{
    (void) l;
    (void) ns;
    return CUDA_ERROR_LAUNCH_FAILED;
}

static CUresult illegal_address(const FakeLaunch *l, uint64_t ns)
{
    (void) l;
    (void) ns;
    return fake_reach(64, 4) ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS;
}

static CUresult assert_positive(const FakeLaunch *l, uint64_t ns)
{
    (void) ns;
    if (PARAMETER(l, int32_t, 0) > 0)
        return CUDA_SUCCESS;
    fprintf(stderr,
            "session-kernels.cu:1: assert_positive: block: [0,0,0], thread: [0,0,0] Assertion "
            "`number > 0` failed.\n");
    return CUDA_ERROR_ASSERT;
}

static CUresult print_number(const FakeLaunch *l, uint64_t ns)
{
    (void) ns;
    for (uint64_t i = 0; i < n_threads(l); i++)
        fake_print(l, "number %d\n", PARAMETER(l, int32_t, 0));
    return CUDA_SUCCESS;
}

static CUresult busy(const FakeLaunch *l, uint64_t ns)
{
    uint64_t time = PARAMETER(l, uint64_t, 0);
    const struct timespec t = {(time_t) (time / 1000000000), (long) (time % 1000000000)};

    (void) ns;
    nanosleep(&t, NULL);
    return CUDA_SUCCESS;
}

static CUresult nothing(const FakeLaunch *l, uint64_t ns)
{
    (void) l;
    (void) ns;
    return CUDA_SUCCESS;
}

/* ---- The table ------------------------------------------------------------------- */

/* Where the compiler puts them, one behind the other at multiples of their sizes */
static const FakeParameter of_saxpy[] = {{0, 4}, {4, 4}, {8, 8}, {16, 8}};
static const FakeParameter of_sum[] = {{0, 8}, {8, 8}, {16, 4}};
static const FakeParameter of_fill[] = {{0, 8}, {8, 4}, {16, 8}};
static const FakeParameter of_matmul[] = {{0, 8}, {8, 8}, {16, 8}, {24, 4}};
static const FakeParameter of_copy[] = {{0, sizeof(CopyParameters)}};
static const FakeParameter of_page[] = {{0, sizeof(PageOfParameters)}};
static const FakeParameter of_int[] = {{0, 4}};
static const FakeParameter of_long[] = {{0, 8}};

#define KERNEL(function, takes)                                                                   \
    {                                                                                             \
        .name = #function, .parameters = takes, .n_parameters = sizeof(takes) / sizeof(takes[0]), \
        .registers = 16, .run = function                                                          \
    }
#define KERNEL_ALONE(function)                              \
    {                                                       \
        .name = #function, .registers = 16, .run = function \
    }

static const FakeKernel kernels[] = {
    KERNEL(saxpy, of_saxpy),
    KERNEL(fill, of_fill),
    KERNEL(copy_struct, of_copy),
    KERNEL(follow_pointer, of_sum),
    KERNEL(sum_parameters, of_page),
    KERNEL(assert_positive, of_int),
    KERNEL(print_number, of_int),
    KERNEL(busy, of_long),
    KERNEL_ALONE(count_threads),
    KERNEL_ALONE(trap),
    KERNEL_ALONE(illegal_address),
    KERNEL_ALONE(nothing),
    {
        .name = "reduce_sum",
        .parameters = of_sum,
        .n_parameters = 3,
        .registers = 24,
        .shared_bytes = 1024,
        .max_threads = 256,
        .run = reduce_sum,
    },
    {
        .name = "matmul_tile",
        .parameters = of_matmul,
        .n_parameters = 4,
        .registers = 32,
        .shared_bytes = 2048,
        .run = matmul_tile,
    },
    {
        .name = "use_local",
        .registers = 16,
        .local_bytes = 4096,
        .run = nothing,
    },
    {
        .name = "endless",
        .parameters = of_long,
        .n_parameters = 1,
        .registers = 16,
        .endless = true,
        .run = nothing,
    },
};

const FakeKernel *fake_session_kernel_find(const char *name)
{
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
        if (strcmp(name, kernels[i].name) == 0)
            return &kernels[i];
    return NULL;
}

const FakeKernel *fake_kernel_find(const char *name)
{
    const FakeKernel *kernel = fake_builtin_kernel_find(name);

    if (!kernel)
        kernel = fake_session_kernel_find(name);
    if (!kernel)
        kernel = fake_layout_kernel_find(name);
    if (!kernel)
        kernel = fake_example_kernel_find(name);
    if (!kernel)
        kernel = fake_fault_kernel_find(name);
    if (!kernel)
        kernel = fake_array_kernel_find(name);
    if (!kernel)
        kernel = fake_condition_kernel_find(name);
    return kernel ? kernel : fake_attack_kernel_find(name);
}

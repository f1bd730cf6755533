/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernels of guest/examples/ in C, but saxpy, which fake-kernels-session.c has. */
#include "fake-kernel.h"
#include "fake-memory.h"

#include <string.h>

#define TILE 16u

static uint64_t parameter(const FakeLaunch *l, size_t index)
{
    const FakeParameter *p = &l->kernel->parameters[index];
    uint64_t value = 0;

    memcpy(&value, l->parameters + p->offset, p->size);
    return value;
}

/* What the blocks have in shared memory they must have asked for. */
static CUresult block_sums(const FakeLaunch *l, uint64_t ns)
{
    const uint64_t n = parameter(l, 2), threads = (uint64_t) l->grid[0] * l->block[0];
    const float *x = fake_reach(parameter(l, 0), n * sizeof(*x));
    float *sums = fake_reach(parameter(l, 1), l->grid[0] * sizeof(*sums));

    (void) ns;
    if (!x || !sums || l->shared_bytes < l->block[0] * sizeof(float))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    memset(sums, 0, l->grid[0] * sizeof(*sums));
    for (uint64_t i = 0; i < n; i++)
        sums[i % threads / l->block[0]] += x[i];
    return CUDA_SUCCESS;
}

static CUresult matmul_tiled(const FakeLaunch *l, uint64_t ns)
{
    const uint64_t m = parameter(l, 3), n = parameter(l, 4), k = parameter(l, 5);
    const uint64_t rows = (uint64_t) l->grid[1] * TILE, columns = (uint64_t) l->grid[0] * TILE;
    const float *a = fake_reach(parameter(l, 0), m * k * sizeof(*a));
    const float *b = fake_reach(parameter(l, 1), k * n * sizeof(*b));
    float *c = fake_reach(parameter(l, 2), m * n * sizeof(*c));

    (void) ns;
    if (!a || !b || !c)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (uint64_t i = 0; i < m && i < rows; i++)
        for (uint64_t j = 0; j < n && j < columns; j++) {
            float sum = 0;

            for (uint64_t t = 0; t < k; t++)
                sum += a[i * k + t] * b[t * n + j];
            c[i * n + j] = sum;
        }
    return CUDA_SUCCESS;
}

/* ---- The table ------------------------------------------------------------------- */

static const FakeParameter of_sums[] = {{0, 8}, {8, 8}, {16, 4}};
static const FakeParameter of_matmul[] = {{0, 8}, {8, 8}, {16, 8}, {24, 4}, {28, 4}, {32, 4}};

static const FakeKernel example_kernels[] = {
    {
        .name = "block_sums",
        .parameters = of_sums,
        .n_parameters = 3,
        .registers = 16,
        .run = block_sums,
    },
    {
        .name = "matmul_tiled",
        .parameters = of_matmul,
        .n_parameters = 6,
        .registers = 32,
        .shared_bytes = 2048,
        .run = matmul_tiled,
    },
};

const FakeKernel *fake_example_kernel_find(const char *name)
{
    for (size_t i = 0; i < sizeof(example_kernels) / sizeof(example_kernels[0]); i++)
        if (strcmp(name, example_kernels[i].name) == 0)
            return &example_kernels[i];
    return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernels of tests/gpu/session-layouts.ptx and session-link-kernel.ptx in C. */
#include "fake-kernel.h"
#include "fake-memory.h"

#include <string.h>

#define MANY 72u
#define TABLE 8u

static const void *parameter(const FakeLaunch *l, size_t index)
{
    return l->parameters + l->kernel->parameters[index].offset;
}

static uint64_t number(const FakeLaunch *l, size_t index)
{
    uint64_t n = 0;

    memcpy(&n, parameter(l, index), l->kernel->parameters[index].size);
    return n;
}

static CUresult sum_shared(const FakeLaunch *l, uint64_t ns)
{
    const size_t n = number(l, 2);
    uint32_t *out = fake_reach(number(l, 0), sizeof(*out));
    const uint32_t *x = fake_reach(number(l, 1), n * sizeof(*x));

    (void) ns;
    if (!out || !x || l->shared_bytes < l->block[0] * sizeof(uint32_t))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (size_t i = 0; i < n; i++)
        *out += x[i];
    return CUDA_SUCCESS;
}

static CUresult mixed(const FakeLaunch *l, uint64_t ns)
{
    uint64_t *out = fake_reach(number(l, 0), 6 * sizeof(*out));

    (void) ns;
    if (!out)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (size_t i = 0; i < 6; i++)
        out[i] = number(l, i + 1);
    return CUDA_SUCCESS;
}

static CUresult many(const FakeLaunch *l, uint64_t ns)
{
    uint32_t *out = fake_reach(number(l, 0), sizeof(*out)), sum = 0;

    (void) ns;
    if (!out)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (uint32_t i = 1; i <= MANY; i++)
        sum += i * (uint32_t) number(l, i);
    *out = sum;
    return CUDA_SUCCESS;
}

static CUresult table_sum(const FakeLaunch *l, uint64_t ns)
{
    uint32_t *out = fake_reach(number(l, 0), sizeof(*out)), sum = 0;
    const uint32_t *table;
    CUdeviceptr address;
    size_t size;

    (void) ns;
    if (!out || !fake_global_find(l, "table", &address, &size) || size < TABLE * sizeof(*table))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    table = fake_reach(address, size);
    for (size_t i = 0; i < TABLE; i++)
        sum += table[i];
    *out = sum;
    return CUDA_SUCCESS;
}

static CUresult linked(const FakeLaunch *l, uint64_t ns)
{
    const size_t n = l->block[0];
    uint32_t *out = fake_reach(number(l, 0), n * sizeof(*out));

    (void) ns;
    if (!out)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint32_t) (2 * i + number(l, 1));
    return CUDA_SUCCESS;
}

/* ---- The table ------------------------------------------------------------------- */

#define FOUR(at)                             \
    {(at), 4}, {(at) + 4, 4}, {(at) + 8, 4}, \
    {                                        \
        (at) + 12, 4                         \
    }
#define EIGHT(at) FOUR(at), FOUR((at) + 16)

static const FakeParameter of_sum[] = {{0, 8}, {8, 8}, {16, 4}};
static const FakeParameter of_mixed[] = {{0, 8},  {8, 1},  {10, 2}, {12, 1},
                                         {16, 4}, {24, 8}, {32, 8}};
static const FakeParameter of_many[] = {
    {0, 8},     EIGHT(8),   EIGHT(40),  EIGHT(72),  EIGHT(104),
    EIGHT(136), EIGHT(168), EIGHT(200), EIGHT(232), EIGHT(264),
};
static const FakeParameter of_table[] = {{0, 8}};
static const FakeParameter of_linked[] = {{0, 8}, {8, 4}};

#define KERNEL(function, takes)                                                                   \
    {                                                                                             \
        .name = #function, .parameters = takes, .n_parameters = sizeof(takes) / sizeof(takes[0]), \
        .registers = 16, .run = function                                                          \
    }

static const FakeKernel layout_kernels[] = {
    KERNEL(sum_shared, of_sum),  KERNEL(mixed, of_mixed),   KERNEL(many, of_many),
    KERNEL(table_sum, of_table), KERNEL(linked, of_linked),
};

const FakeKernel *fake_layout_kernel_find(const char *name)
{
    for (size_t i = 0; i < sizeof(layout_kernels) / sizeof(layout_kernels[0]); i++)
        if (strcmp(name, layout_kernels[i].name) == 0)
            return &layout_kernels[i];
    return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernels of session-conditions.cu in C. */
#include "fake-kernel.h"
#include "fake-memory.h"

#include <string.h>

#define PARAMETER(launch, type, index)                      \
    (*(const type *) (const void *) ((launch)->parameters + \
                                     (launch)->kernel->parameters[index].offset))

static CUresult set(const FakeLaunch *l, unsigned value)
{
    return fake_condition_set(l, PARAMETER(l, uint64_t, 0), value) ? CUDA_SUCCESS
                                                                   : CUDA_ERROR_ILLEGAL_ADDRESS;
}

static CUresult set_condition(const FakeLaunch *l, uint64_t ns)
{
    (void) ns;
    return set(l, PARAMETER(l, uint32_t, 1));
}

static CUresult take_condition(const FakeLaunch *l, uint64_t ns)
{
    const uint32_t *from = fake_reach(PARAMETER(l, CUdeviceptr, 1), sizeof(*from));

    (void) ns;
    return from ? set(l, *from) : CUDA_ERROR_ILLEGAL_ADDRESS;
}

static CUresult count_down(const FakeLaunch *l, uint64_t ns)
{
    uint32_t *left = fake_reach(PARAMETER(l, CUdeviceptr, 1), sizeof(*left));

    (void) ns;
    return left ? set(l, --*left) : CUDA_ERROR_ILLEGAL_ADDRESS;
}

static CUresult add_number(const FakeLaunch *l, uint64_t ns)
{
    uint32_t *to = fake_reach(PARAMETER(l, CUdeviceptr, 0), sizeof(*to));

    (void) ns;
    if (!to)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    *to += PARAMETER(l, uint32_t, 1);
    return CUDA_SUCCESS;
}

static const FakeParameter of_number[] = {{0, 8}, {8, 4}};
static const FakeParameter of_pointer[] = {{0, 8}, {8, 8}};

#define KERNEL(function, takes)                                                     \
    {                                                                               \
        .name = #function, .parameters = takes, .n_parameters = 2, .registers = 16, \
        .run = function                                                             \
    }

static const FakeKernel kernels[] = {
    KERNEL(set_condition, of_number),
    KERNEL(take_condition, of_pointer),
    KERNEL(count_down, of_pointer),
    KERNEL(add_number, of_number),
};

const FakeKernel *fake_condition_kernel_find(const char *name)
{
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
        if (strcmp(name, kernels[i].name) == 0)
            return &kernels[i];
    return NULL;
}

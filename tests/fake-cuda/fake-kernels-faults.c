/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernels of tests/gpu/session-faults.ptx in C. */
#include "fake-kernel.h"
#include "fake-memory.h"

#include <string.h>

static uint64_t number(const FakeLaunch *l, size_t index)
{
    const FakeParameter *parameter = &l->kernel->parameters[index];
    uint64_t n = 0;

    memcpy(&n, l->parameters + parameter->offset, parameter->size);
    return n;
}

static CUresult misaligned(const FakeLaunch *l, uint64_t ns)
{
    (void) l;
    (void) ns;
    return CUDA_ERROR_MISALIGNED_ADDRESS;
}

static CUresult stack_overflow(const FakeLaunch *l, uint64_t ns)
{
    const uint32_t *seen = fake_reach(number(l, 0), sizeof(*seen));

    (void) ns;
    if (!seen)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    return *seen == 0 ? CUDA_ERROR_HARDWARE_STACK_ERROR : CUDA_SUCCESS;
}

static CUresult jump(const FakeLaunch *l, uint64_t ns)
{
    (void) ns;
    return fake_reach(number(l, 0), 16) ? CUDA_ERROR_ILLEGAL_INSTRUCTION : CUDA_ERROR_INVALID_PC;
}

static CUresult count_others(const FakeLaunch *l, uint64_t ns)
{
    const uint64_t n = number(l, 2);
    const uint32_t value = (uint32_t) number(l, 1);
    const uint32_t *from = fake_reach(number(l, 0), n * sizeof(*from));
    uint64_t *count = fake_reach(number(l, 3), sizeof(*count));

    (void) ns;
    if (!from || !count)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (uint64_t i = 0; i < n; i++)
        *count += from[i] != value;
    return CUDA_SUCCESS;
}

static const FakeParameter of_address[] = {{0, 8}};
static const FakeParameter of_count[] = {{0, 8}, {8, 4}, {16, 8}, {24, 8}};

#define KERNEL(function, takes)                                                                   \
    {                                                                                             \
        .name = #function, .parameters = takes, .n_parameters = sizeof(takes) / sizeof(takes[0]), \
        .registers = 16, .run = function                                                          \
    }

static const FakeKernel kernels[] = {
    KERNEL(misaligned, of_address),
    KERNEL(stack_overflow, of_address),
    KERNEL(jump, of_address),
    KERNEL(count_others, of_count),
};

const FakeKernel *fake_fault_kernel_find(const char *name)
{
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
        if (strcmp(name, kernels[i].name) == 0)
            return &kernels[i];
    return NULL;
}

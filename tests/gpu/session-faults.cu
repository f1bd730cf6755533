/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernels that misbehave, and one that looks for what others have left, for sessions.
 * session-faults.ptx is made from them and is in the repository, so that tests need no nvcc (its
 * first two lines are written by hand):
 *
 *   nvcc -ptx -arch=compute_75 -o session-faults.ptx session-faults.cu
 *
 * The fake driver runs the functions in C of fake-kernels-faults.c instead.
 */
#include <stdint.h>

/* A store to an address that is not aligned to its size */
extern "C" __global__ void misaligned(char *at)
{
    *(volatile uint64_t *) (at + 1) = 1;
}

static __device__ __noinline__ uint32_t deeper(uint32_t n, volatile uint32_t *seen)
{
    volatile uint32_t here[256];

    here[n % 256] = n;
    if (n == *seen)
        return here[0];
    return deeper(n + 1, seen) + here[n % 256];
}

/* Calls itself without end, each time with an array of its own, while *seen is 0. */
extern "C" __global__ void stack_overflow(volatile uint32_t *seen)
{
    *seen = deeper(1, seen);
}

/* Goes on with what is at an address, which are no instructions. */
extern "C" __global__ void jump(uint64_t address)
{
    ((void (*)(void)) address)();
}

/* Adds to *count how many of n numbers are not @value. */
extern "C" __global__ void count_others(const uint32_t *from, uint32_t value, uint64_t n,
                                        unsigned long long *count)
{
    uint64_t step = (uint64_t) gridDim.x * blockDim.x, others = 0;

    for (uint64_t i = (uint64_t) blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        others += from[i] != value;
    if (others > 0)
        atomicAdd(count, others);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernels as a program in a guest may have them, for tests of sessions. session-kernels.ptx is made
 * from them and is in the repository, so that tests need no nvcc:
 *
 *   tests/lint/kernels.sh . nvcc --write
 *
 * A GPU runs that; the fake driver runs the functions in C of fake-kernels-session.c, which do the
 * same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>

#define TILE 16

__device__ unsigned long long counter;

extern "C" __global__ void saxpy(uint32_t n, float a, const float *x, float *y)
{
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        y[i] = a * x[i] + y[i];
}

/* One block: *to is the sum of n numbers. */
extern "C" __global__ void reduce_sum(const float *x, float *to, uint32_t n)
{
    __shared__ float part[256];
    float sum = 0;

    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += x[i];
    part[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (uint32_t i = 1; i < blockDim.x; i++)
            sum += part[i];
        *to = sum;
    }
}

extern "C" __global__ void fill(uint32_t *to, uint32_t value, uint64_t n)
{
    uint64_t i = (uint64_t) blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        to[i] = value;
}

/* c = a * b, of n by n, which is a multiple of TILE, in blocks of TILE by TILE threads */
extern "C" __global__ void matmul_tile(const float *a, const float *b, float *c, uint32_t n)
{
    __shared__ float x[TILE][TILE], y[TILE][TILE];
    uint32_t row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;

    for (uint32_t t = 0; t < n; t += TILE) {
        x[threadIdx.y][threadIdx.x] = a[row * n + t + threadIdx.x];
        y[threadIdx.y][threadIdx.x] = b[(t + threadIdx.y) * n + column];
        __syncthreads();
        for (uint32_t k = 0; k < TILE; k++)
            sum += x[threadIdx.y][k] * y[k][threadIdx.x];
        __syncthreads();
    }
    c[row * n + column] = sum;
}

struct CopyParameters {
    const uint32_t *from;
    uint32_t *to;
    uint32_t n;
    uint32_t add;
};

extern "C" __global__ void copy_struct(CopyParameters p)
{
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < p.n)
        p.to[i] = p.from[i] + p.add;
}

/* *cell is the address of n numbers. */
extern "C" __global__ void follow_pointer(const uint32_t *const *cell, uint32_t *to, uint32_t n)
{
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        to[i] = (*cell)[i] + 1;
}

struct PageOfParameters {
    uint32_t *to;
    uint32_t value[1022];
};

extern "C" __global__ void sum_parameters(PageOfParameters p)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < 1022; i++)
        sum += p.value[i];
    *p.to = sum;
}

extern "C" __global__ void count_threads(void)
{
    atomicAdd(&counter, 1ull);
}

extern "C" __global__ void trap(void)
{
    asm("trap;");
}

extern "C" __global__ void illegal_address(void)
{
    *(volatile uint32_t *) 64 = 1;
}

extern "C" __global__ void assert_positive(int number)
{
    assert(number > 0);
}

extern "C" __global__ void print_number(int number)
{
    printf("number %d\n", number);
}

extern "C" __global__ void endless(volatile uint32_t *never)
{
    while (*never == 0)
        ;
}

extern "C" __global__ void busy(uint64_t ns)
{
    uint64_t begin, now;

    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(begin));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - begin < ns);
}

extern "C" __global__ void nothing(void)
{
}

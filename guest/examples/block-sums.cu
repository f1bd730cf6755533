/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sum of n numbers, in two launches of one kernel: each block adds up its share and writes one
 * number; a single block then adds up those.
 *
 * A block has a power of two of threads, and one float of dynamic shared memory for each.
 */
#include <stdint.h>

extern "C" __global__ void block_sums(const float *x, float *sums, uint32_t n)
{
    extern __shared__ float part[];
    uint32_t step = gridDim.x * blockDim.x;
    float sum = 0;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        sum += x[i];
    part[threadIdx.x] = sum;
    __syncthreads();

    for (uint32_t half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0)
        sums[blockIdx.x] = part[0];
}

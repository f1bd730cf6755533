/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * c = a * b, row by row: a has m rows and k columns, b has k rows and n columns. Each block
 * computes a tile of c, and reads tiles of a and b into shared memory, from which each of its
 * threads then has every number TILE times.
 *
 * Blocks of TILE by TILE threads; the grid covers c.
 */
#include <stdint.h>

#define TILE 16

extern "C" __global__ void matmul_tiled(const float *a, const float *b, float *c, uint32_t m,
                                        uint32_t n, uint32_t k)
{
    __shared__ float of_a[TILE][TILE], of_b[TILE][TILE];
    uint32_t row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;

    for (uint32_t t = 0; t < k; t += TILE) {
        uint32_t a_column = t + threadIdx.x, b_row = t + threadIdx.y;

        of_a[threadIdx.y][threadIdx.x] =
            row < m && a_column < k ? a[(uint64_t) row * k + a_column] : 0;
        of_b[threadIdx.y][threadIdx.x] =
            b_row < k && column < n ? b[(uint64_t) b_row * n + column] : 0;
        __syncthreads();
        for (uint32_t i = 0; i < TILE; i++)
            sum += of_a[threadIdx.y][i] * of_b[i][threadIdx.x];
        __syncthreads();
    }
    if (row < m && column < n)
        c[(uint64_t) row * n + column] = sum;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * matmul-tiled [MODULE] - the product of two matrices, in tiles
 *
 * The same by the command, with files (blocks and grid have two dimensions):
 *
 *     vgpu run matmul-tiled.ptx --kernel matmul_tiled --grid 13,19 --block 16,16 \
 *         in:a.bin in:b.bin out:c.bin:240000 u32:300 u32:200 u32:250
 */
#include <stdio.h>
#include <stdlib.h>

#include "example.h"

#define M 300u
#define N 200u
#define K 250u
#define TILE 16u

/* Small whole numbers: their products and sums are exact. */
static float element(uint32_t row, uint32_t column)
{
    return (float) ((row * 7 + column * 3) % 11) - 5;
}

static float *matrix(uint32_t rows, uint32_t columns)
{
    float *m = malloc((size_t) rows * columns * sizeof(*m));

    for (uint32_t i = 0; m && i < rows * columns; i++)
        m[i] = element(i / columns, i % columns);
    return m;
}

static uint32_t count_wrong(const float *a, const float *b, const float *c)
{
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < M; i++)
        for (uint32_t j = 0; j < N; j++) {
            float sum = 0;

            for (uint32_t l = 0; l < K; l++)
                sum += a[i * K + l] * b[l * N + j];
            wrong += c[i * N + j] != sum;
        }
    return wrong;
}

int main(int argc, char **argv)
{
    const uint32_t grid[] = {(N + TILE - 1) / TILE, (M + TILE - 1) / TILE, 1};
    const uint32_t block[] = {TILE, TILE, 1}, m = M, n = N, k = K;
    float *a = matrix(M, K), *b = matrix(K, N), *c = matrix(M, N);
    uint64_t on_device_a, on_device_b, on_device_c;
    example_kernel matmul;
    uint32_t wrong;
    example e;

    if (!a || !b || !c)
        return EXIT_FAILURE;
    example_open(&e, argc > 1 ? argv[1] : "matmul-tiled.ptx");
    matmul = example_kernel_get(&e, "matmul_tiled");
    on_device_a = example_buffer(&e, M * K * sizeof(*a), a);
    on_device_b = example_buffer(&e, K * N * sizeof(*b), b);
    on_device_c = example_buffer(&e, M * N * sizeof(*c), NULL);

    example_launch(&e, &matmul, grid, block, 0,
                   (const void *const[]){&on_device_a, &on_device_b, &on_device_c, &m, &n, &k});
    example_wait(&e);
    example_read(&e, c, on_device_c, M * N * sizeof(*c));

    example_buffer_free(&e, on_device_a);
    example_buffer_free(&e, on_device_b);
    example_buffer_free(&e, on_device_c);
    example_kernel_free(&matmul);
    example_close(&e);

    wrong = count_wrong(a, b, c);
    printf("matmul-tiled: %u by %u numbers, %u wrong\n", M, N, wrong);
    free(a);
    free(b);
    free(c);
    return wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * block-sums [MODULE] - the sum of a million numbers, in two launches
 *
 * The second launch needs the first one's results. It need not wait for them here: the device works
 * off one stream in order. Each half by the command, with files:
 *
 *     vgpu run block-sums.ptx --kernel block_sums --grid 128 --block 256 --shared 1024 in:x.bin \
 *         out:sums.bin:512 u32:1000000
 *     vgpu run block-sums.ptx --kernel block_sums --grid 1 --block 256 --shared 1024 in:sums.bin \
 *         out:sum.bin:4 u32:128
 */
#include <stdio.h>
#include <stdlib.h>

#include "example.h"

#define N 1000000u
#define BLOCKS 128u
#define THREADS 256u

/* Whole numbers, whose sums a float has exactly, in whatever order they are made */
static float number(uint32_t i)
{
    return (float) (i % 16);
}

int main(int argc, char **argv)
{
    const uint32_t many[] = {BLOCKS, 1, 1}, one[] = {1, 1, 1}, block[] = {THREADS, 1, 1};
    const uint32_t n = N, n_sums = BLOCKS, shared_bytes = THREADS * sizeof(float);
    float *x = malloc(N * sizeof(*x)), sum, wanted = 0;
    uint64_t on_device_x, on_device_sums, on_device_sum;
    example_kernel block_sums;
    example e;

    if (!x)
        return EXIT_FAILURE;
    for (uint32_t i = 0; i < N; i++) {
        x[i] = number(i);
        wanted += number(i);
    }

    example_open(&e, argc > 1 ? argv[1] : "block-sums.ptx");
    block_sums = example_kernel_get(&e, "block_sums");
    on_device_x = example_buffer(&e, N * sizeof(*x), x);
    on_device_sums = example_buffer(&e, BLOCKS * sizeof(float), NULL);
    on_device_sum = example_buffer(&e, sizeof(float), NULL);

    example_launch(&e, &block_sums, many, block, shared_bytes,
                   (const void *const[]){&on_device_x, &on_device_sums, &n});
    example_launch(&e, &block_sums, one, block, shared_bytes,
                   (const void *const[]){&on_device_sums, &on_device_sum, &n_sums});
    example_wait(&e);
    example_read(&e, &sum, on_device_sum, sizeof(sum));

    example_buffer_free(&e, on_device_x);
    example_buffer_free(&e, on_device_sums);
    example_buffer_free(&e, on_device_sum);
    example_kernel_free(&block_sums);
    example_close(&e);

    printf("block-sums: the sum of %u numbers is %.0f, %s\n", N, (double) sum,
           sum == wanted ? "right" : "wrong");
    free(x);
    return sum == wanted ? EXIT_SUCCESS : EXIT_FAILURE;
}

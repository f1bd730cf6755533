/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * saxpy [MODULE] - y = 2 x + y, of a million numbers
 *
 * The same by the command, with files:
 *
 *     vgpu run saxpy.ptx --kernel saxpy --grid 3907 --block 256 \
 *         u32:1000000 f32:2 in:x.bin inout:y.bin
 */
#include <stdio.h>
#include <stdlib.h>

#include "example.h"

#define N 1000000u
#define THREADS 256u

static float *numbers(float step)
{
    float *x = malloc(N * sizeof(*x));

    for (uint32_t i = 0; x && i < N; i++)
        x[i] = (float) (i % 1000) * step;
    return x;
}

/* How many of @y are not what they were to become */
static uint32_t count_wrong(const float *y)
{
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < N; i++)
        wrong += y[i] != 2 * (float) (i % 1000) + (float) (i % 1000) * 3;
    return wrong;
}

int main(int argc, char **argv)
{
    const uint32_t n = N, grid[] = {(N + THREADS - 1) / THREADS, 1, 1}, block[] = {THREADS, 1, 1};
    const size_t size = N * sizeof(float);
    float *x = numbers(1), *y = numbers(3);
    const float a = 2;
    uint64_t on_device_x, on_device_y;
    example_kernel saxpy;
    uint32_t wrong;
    example e;

    if (!x || !y)
        return EXIT_FAILURE;
    example_open(&e, argc > 1 ? argv[1] : "saxpy.ptx");
    saxpy = example_kernel_get(&e, "saxpy");
    on_device_x = example_buffer(&e, size, x);
    on_device_y = example_buffer(&e, size, y);

    example_launch(&e, &saxpy, grid, block, 0,
                   (const void *const[]){&n, &a, &on_device_x, &on_device_y});
    example_wait(&e);
    example_read(&e, y, on_device_y, size);

    example_buffer_free(&e, on_device_x);
    example_buffer_free(&e, on_device_y);
    example_kernel_free(&saxpy);
    example_close(&e);

    wrong = count_wrong(y);
    printf("saxpy: %u numbers, %u wrong\n", N, wrong);
    free(x);
    free(y);
    return wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

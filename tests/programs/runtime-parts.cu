/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program of the CUDA runtime whose code is compiled in parts, and is there only as text, so that the driver links
 * it. The fake driver knows its kernel too.
 */
#include <cuda_runtime.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define N 1024

#define CALL(call)                                                                                   \
    do {                                                                                             \
        cudaError_t _r = (call);                                                                     \
        if (_r != cudaSuccess) {                                                                     \
            fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(_r));                              \
            exit(EXIT_FAILURE);                                                                      \
        }                                                                                            \
    } while (0)

extern __device__ float times_and(float a, float x, float y); /* runtime-parts-function.cu */

extern "C" __global__ void saxpy(uint32_t n, float a, const float *x, float *y)
{
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        y[i] = times_and(a, x[i], y[i]);
}

int main()
{
    static float x[N], y[N];
    float *on_device[2];
    unsigned wrong = 0;

    for (int i = 0; i < N; i++) {
        x[i] = (float) i;
        y[i] = 1.0f;
    }
    for (int i = 0; i < 2; i++) {
        CALL(cudaMalloc(&on_device[i], sizeof(x)));
        CALL(cudaMemcpy(on_device[i], i == 0 ? x : y, sizeof(x), cudaMemcpyHostToDevice));
    }
    saxpy<<<N / 256, 256>>>(N, 2.0f, on_device[0], on_device[1]);
    CALL(cudaGetLastError());
    CALL(cudaMemcpy(y, on_device[1], sizeof(y), cudaMemcpyDeviceToHost));
    for (int i = 0; i < N; i++)
        wrong += y[i] != 2.0f * (float) i + 1.0f;
    printf("result wrong %u\n", wrong);
    return wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program with a managed variable. With our library it is told at its first call that the image is none for it,
 * before it touches the variable. What it prints is TAP.
 */
#include <cuda_runtime.h>
#include <stdio.h>

__managed__ int counter = 5;

extern "C" __global__ void saxpy()
{
    counter++;
}

int main()
{
    const cudaError_t first = cudaFree(NULL);

    saxpy<<<1, 1>>>();
    printf("%s 1 - the first call fails: %s\n", first == cudaErrorInvalidKernelImage ? "ok" : "not ok",
           cudaGetErrorString(first));
    printf("%s 2 - so does a launch\n", cudaGetLastError() != cudaSuccess ? "ok" : "not ok");
    printf("1..2\n");
    return 0;
}

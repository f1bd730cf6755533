/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* y = a * x + y, of n numbers, one thread each */
#include <stdint.h>

extern "C" __global__ void saxpy(uint32_t n, float a, const float *x, float *y)
{
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        y[i] = a * x[i] + y[i];
}

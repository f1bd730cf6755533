/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The function that the kernel of runtime-parts.cu calls */
__device__ float times_and(float a, float x, float y)
{
    return a * x + y;
}

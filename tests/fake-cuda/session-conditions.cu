/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernels that set what conditional nodes decide by, for one thread each, for tests of sessions.
 * session-conditions.ptx is made from them by tests/lint/kernels.sh. A device can load that when it
 * is linked with libcudadevrt, which has cudaGraphSetConditional().
 *
 * fake-kernels-conditions.c does the same on the fake driver.
 */
#include <stdint.h>

extern "C" __global__ void set_condition(cudaGraphConditionalHandle handle, uint32_t value)
{
    cudaGraphSetConditional(handle, value);
}

extern "C" __global__ void take_condition(cudaGraphConditionalHandle handle, const uint32_t *from)
{
    cudaGraphSetConditional(handle, *from);
}

extern "C" __global__ void count_down(cudaGraphConditionalHandle handle, uint32_t *left)
{
    cudaGraphSetConditional(handle, --*left);
}

extern "C" __global__ void add_number(uint32_t *to, uint32_t number)
{
    *to += number;
}

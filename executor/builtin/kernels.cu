// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The built-in kernels. This file has those of requests. A request is at most a kilobyte, so
// one block computes it. Operands and result lie in the host's memory, mapped into the device
// (backend-cuda.c says why). ret_ns is the time from the block's first instruction to the last
// element's store, in nanoseconds of the device's own timer, at least 1. It is written last, and so
// says that the sums can be seen.
//
// kernels-window.cuh has the kernels of windows, which cuda-compute.c launches.

#include "kernels-window.cuh"

namespace
{

template <typename T>
__device__ void vector_add(const T *a, const T *b, T *c, uint32_t n, uint64_t *ret_ns)
{
    uint64_t start = device_time_ns();

    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x)
        c[i] = a[i] + b[i];

    __syncthreads();
    if (threadIdx.x == 0) {
        uint64_t ns = device_time_ns() - start;

        store_last(ret_ns, ns > 0 ? ns : 1);
    }
}

} // namespace

// Integer sums wrap: they are added unsigned, as in the CPU backend.
#define VECTOR_ADD(name, type)                                                         \
    extern "C" __global__ void name(const type *a, const type *b, type *c, uint32_t n, \
                                    uint64_t *ret_ns)                                  \
    {                                                                                  \
        vector_add(a, b, c, n, ret_ns);                                                \
    }

VECTOR_ADD(vgpu_vector_add_int32, uint32_t)
VECTOR_ADD(vgpu_vector_add_int64, uint64_t)
VECTOR_ADD(vgpu_vector_add_float32, float)
VECTOR_ADD(vgpu_vector_add_float64, double)

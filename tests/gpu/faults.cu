// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Kernels under the built-in ones' names that misbehave on a real GPU. The
// tests give them to the executor with --kernels.

// All other kernels are the built-in ones.
#define vgpu_ring_add_int32 good_ring_add_int32
#define vgpu_ring_sum_int32 good_ring_sum_int32
#include "../../executor/builtin/kernels-window.cuh"
#undef vgpu_ring_add_int32
#undef vgpu_ring_sum_int32

// Writes to an address that nothing is mapped at.
extern "C" __global__ void vgpu_vector_add_int32(const uint32_t *, const uint32_t *, uint32_t *,
                                                 uint32_t n, uint64_t *)
{
    *reinterpret_cast<volatile uint32_t *>(uintptr_t{16}) = n;
}

// Never ends.
extern "C" __global__ void vgpu_vector_add_int64(const uint64_t *a, const uint64_t *, uint64_t *,
                                                 uint32_t, uint64_t *ret_ns)
{
    volatile uint64_t *never = ret_ns;

    *never = 0;
    while (*never == 0)
        ;
}

// An instruction that exists to fail.
extern "C" __global__ void vgpu_vector_add_float32(const float *, const float *, float *, uint32_t,
                                                   uint64_t *)
{
    asm volatile("trap;");
}

// A store to an address that is not aligned to its size.
extern "C" __global__ void vgpu_vector_add_float64(const double *, const double *, double *c,
                                                   uint32_t, uint64_t *)
{
    *reinterpret_cast<volatile double *>(reinterpret_cast<char *>(c) + 1) = 1.0;
}

// The same as the first one above, in a window.
extern "C" __global__ void vgpu_ring_add_int32(KernelVector v)
{
    *reinterpret_cast<volatile uint64_t *>(uintptr_t{16}) = v.n;
}

// Never ends.
extern "C" __global__ void vgpu_ring_sum_int32(KernelVector v)
{
    volatile uint64_t *never = reinterpret_cast<volatile uint64_t *>(v.reports);

    *never = 0;
    while (*never == 0)
        ;
}

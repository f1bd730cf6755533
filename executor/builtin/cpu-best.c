/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu-kernels.h"

extern const CpuKernels cpu_kernels_base;
#ifdef VGPU_CPU_LEVELS
extern const CpuKernels cpu_kernels_v3, cpu_kernels_v4;
#endif

/* The levels are x86-64-v3 and x86-64-v4 of the psABI. Only those of their extensions are
 * tested that the compiler makes use of. __builtin_cpu_supports() also knows whether the
 * kernel saves the registers. */
const CpuKernels *cpu_kernels_best(void)
{
#ifdef VGPU_CPU_LEVELS
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");

    if (v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return &cpu_kernels_v4;
    if (v3)
        return &cpu_kernels_v3;
#endif
    return &cpu_kernels_base;
}

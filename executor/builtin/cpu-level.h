/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For the files that are compiled once for each level of instructions, which is CPU_LEVEL: base,
 * v3, v4. */
#ifndef VGPU_EXECUTOR_CPU_LEVEL_H
#define VGPU_EXECUTOR_CPU_LEVEL_H

#include "cpu-kernels.h"

#define CPU_PASTE(name, level) name##_##level
#define CPU_PASTE_EXPANDED(name, level) CPU_PASTE(name, level)
#define CPU_NAME(name) CPU_PASTE_EXPANDED(name, CPU_LEVEL)

extern const CpuKernels CPU_NAME(cpu_kernels);

CpuMatmul CPU_NAME(cpu_matmul_float32), CPU_NAME(cpu_matmul_float64);

#endif

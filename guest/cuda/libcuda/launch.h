/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A launch as programs describe it, for launches, graphs and questions of occupancy. */
#ifndef VGPU_LIBCUDA_LAUNCH_H
#define VGPU_LIBCUDA_LAUNCH_H

#include "module.h"

/* launch_check() - what the driver refuses at once. Returns CUDA_SUCCESS, _INVALID_VALUE, or
 * _LAUNCH_OUT_OF_RESOURCES */
CUresult launch_check(const LibFunction *function, const LaunchConfig *config);

/* What a program gives for a kernel's parameters */
typedef struct LaunchParameters {
    void **each;        /* of every parameter, or NULL */
    const void *packed; /* all of them */
    size_t packed_size;
} LaunchParameters;

/* launch_read() - in one of the two ways that launches have. Returns CUDA_SUCCESS or _INVALID_VALUE
 */
CUresult launch_read(const LibFunction *function, void **each, void **extra, LaunchParameters *ret);

/* launch_pack() - as operations have them: info's parameters_size bytes, or those that the program
 * has packed */
void launch_pack(const VGPUSessionFunction *info, const LaunchParameters *p, unsigned char *to);

#endif

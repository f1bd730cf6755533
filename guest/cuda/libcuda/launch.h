/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A launch as programs describe it, for launches, graphs and questions of occupancy. */
#ifndef VGPU_LIBCUDA_LAUNCH_H
#define VGPU_LIBCUDA_LAUNCH_H

#include "module.h"

/* launch_check() - what the driver refuses at once. Returns CUDA_SUCCESS, _INVALID_VALUE, or
 * _LAUNCH_OUT_OF_RESOURCES */
CUresult launch_check(const LibFunction *function, const LaunchConfig *config);

#endif

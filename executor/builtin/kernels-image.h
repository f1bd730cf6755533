/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CUDA kernels that this build carries: kernels.cu, compiled by nvcc. */
#ifndef VGPU_EXECUTOR_KERNELS_IMAGE_H
#define VGPU_EXECUTOR_KERNELS_IMAGE_H

#include <stddef.h>

/* A fatbin for cuModuleLoadData(). The size is 0 when no nvcc was there. */
extern const unsigned char kernels_image[];
extern const size_t kernels_image_size;

#endif

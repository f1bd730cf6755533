/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The results of CUDA's driver API that this library makes itself. Names and numbers are facts from
 * NVIDIA's "CUDA Driver API" reference manual. */
#ifndef VGPU_GUEST_CUDA_RESULTS_H
#define VGPU_GUEST_CUDA_RESULTS_H

enum {
    VGPU_CUDA_SUCCESS = 0,
    VGPU_CUDA_ERROR_INVALID_VALUE = 1,
    VGPU_CUDA_ERROR_OUT_OF_MEMORY = 2,
    VGPU_CUDA_ERROR_NOT_INITIALIZED = 3,
    VGPU_CUDA_ERROR_NO_DEVICE = 100,
    VGPU_CUDA_ERROR_INVALID_IMAGE = 200,
    VGPU_CUDA_ERROR_INVALID_CONTEXT = 201,
    VGPU_CUDA_ERROR_INVALID_HANDLE = 400,
    VGPU_CUDA_ERROR_NOT_FOUND = 500,
    VGPU_CUDA_ERROR_LAUNCH_TIMEOUT = 702,
    VGPU_CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED = 712,
    VGPU_CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED = 713,
    VGPU_CUDA_ERROR_NOT_SUPPORTED = 801,
    VGPU_CUDA_ERROR_UNKNOWN = 999,
};

/* vgpu_cuda_result_name() - the name of a CUresult, as in CUDA's manual, without its CUDA_ERROR_.
 * Returns a static string; NULL for a number that is not known here. */
const char *vgpu_cuda_result_name(int result);

#endif

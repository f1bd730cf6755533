/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The part of NVIDIA's CUDA driver API that the executor uses. The driver's library is
 * opened at run time, so the executor builds without the CUDA toolkit and starts without a
 * driver.
 *
 * Prototypes are facts from the "CUDA Driver API" reference manual
 * (docs.nvidia.com/cuda/cuda-driver-api), version 13.0. None of them but cuFuncLoad has changed
 * since CUDA 6.5. Where a function has versions, the name here is that of its current 64-bit
 * ABI (*_v2), which the header <cuda.h> hides behind a macro.
 */
#ifndef VGPU_EXECUTOR_CUDA_DRIVER_H
#define VGPU_EXECUTOR_CUDA_DRIVER_H

#include "cuda-types.h"

/* Every function used: X(member of CudaDriver, symbol, parameters). */
#define CUDA_DRIVER_FUNCTIONS(X)                                                                  \
    X(init, cuInit, (unsigned flags))                                                             \
    X(driver_get_version, cuDriverGetVersion, (int *version))                                     \
    X(get_error_name, cuGetErrorName, (CUresult error, const char **name))                        \
    X(device_get, cuDeviceGet, (CUdevice * device, int ordinal))                                  \
    X(device_get_count, cuDeviceGetCount, (int *count))                                           \
    X(device_get_name, cuDeviceGetName, (char *name, int length, CUdevice device))                \
    X(device_get_attribute, cuDeviceGetAttribute, (int *value, int attribute, CUdevice device))   \
    X(primary_ctx_set_flags, cuDevicePrimaryCtxSetFlags_v2, (CUdevice device, unsigned flags))    \
    X(primary_ctx_retain, cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))       \
    X(primary_ctx_release, cuDevicePrimaryCtxRelease_v2, (CUdevice device))                       \
    X(ctx_set_current, cuCtxSetCurrent, (CUcontext context))                                      \
    X(ctx_get_stream_priority_range, cuCtxGetStreamPriorityRange, (int *least, int *greatest))    \
    X(mem_get_info, cuMemGetInfo_v2, (size_t * free, size_t * total))                             \
    X(mem_host_alloc, cuMemHostAlloc, (void **host, size_t size, unsigned flags))                 \
    X(mem_host_get_device_pointer, cuMemHostGetDevicePointer_v2,                                  \
      (CUdeviceptr * device, void *host, unsigned flags))                                         \
    X(mem_free_host, cuMemFreeHost, (void *host))                                                 \
    X(mem_host_register, cuMemHostRegister_v2, (void *host, size_t size, unsigned flags))         \
    X(mem_host_unregister, cuMemHostUnregister, (void *host))                                     \
    X(mem_alloc, cuMemAlloc_v2, (CUdeviceptr * device, size_t size))                              \
    X(mem_free, cuMemFree_v2, (CUdeviceptr device))                                               \
    X(memcpy_h_to_d_async, cuMemcpyHtoDAsync_v2,                                                  \
      (CUdeviceptr device, const void *host, size_t size, CUstream stream))                       \
    X(memcpy_d_to_h_async, cuMemcpyDtoHAsync_v2,                                                  \
      (void *host, CUdeviceptr device, size_t size, CUstream stream))                             \
    X(memcpy_2d_async, cuMemcpy2DAsync_v2, (const CudaCopy2D *copy, CUstream stream))             \
    X(module_load_data, cuModuleLoadData, (CUmodule * module, const void *image))                 \
    X(module_unload, cuModuleUnload, (CUmodule module))                                           \
    X(module_get_function, cuModuleGetFunction,                                                   \
      (CUfunction * function, CUmodule module, const char *name))                                 \
    X(stream_create_with_priority, cuStreamCreateWithPriority,                                    \
      (CUstream * stream, unsigned flags, int priority))                                          \
    X(stream_synchronize, cuStreamSynchronize, (CUstream stream))                                 \
    X(stream_add_callback, cuStreamAddCallback,                                                   \
      (CUstream stream, CUstreamCallback callback, void *user_data, unsigned flags))              \
    X(stream_destroy, cuStreamDestroy_v2, (CUstream stream))                                      \
    X(launch_kernel, cuLaunchKernel,                                                              \
      (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,  \
       unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void **params, \
       void **extra))

#define CUDA_DRIVER_MEMBER(member, symbol, parameters) CUresult(*member) parameters;

typedef struct CudaDriver {
    void *shared_object;
    CUDA_DRIVER_FUNCTIONS(CUDA_DRIVER_MEMBER)
    CUresult (*func_load)(CUfunction function); /* cuFuncLoad, CUDA 12.4; may be NULL */
} CudaDriver;

/*
 * cuda_driver_open() - load libcuda.so.1 and look its functions up
 * @ret: zeroed by the caller
 * @reason: @reason_size bytes; on failure one line without a newline
 *
 * Returns 0, or -ENODEV when there is no driver or it lacks a function.
 */
int cuda_driver_open(CudaDriver *ret, char *reason, size_t reason_size);

/* cuda_driver_close() - unload it; also takes a zeroed or closed driver */
void cuda_driver_close(CudaDriver *driver);

/* cuda_driver_error_name() - "CUDA_ERROR_...", or "unknown error"; a static string */
const char *cuda_driver_error_name(const CudaDriver *driver, CUresult error);

/*
 * cuda_error_is_sticky() - is the process's CUDA state gone for good?
 *
 * True for the errors of which the manual (section "Data types used by CUDA
 * driver", CUresult) says that every further call returns the same error and
 * the process must be started anew; for uncorrectable ECC and NVLink errors,
 * whose data can't be trusted; for a context, driver or MPS server that is
 * gone; and for CUDA_ERROR_UNKNOWN, after which nothing is known.
 */
bool cuda_error_is_sticky(CUresult error);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A CUDA device: the driver, the process's context on the device, and what is known of both. */
#ifndef VGPU_EXECUTOR_CUDA_DEVICE_H
#define VGPU_EXECUTOR_CUDA_DEVICE_H

#include "cuda-driver.h"
#include "vgpu-protocol.h"

typedef struct CudaDevice {
    CudaDriver driver;
    CUdevice handle;
    CUcontext context;   /* the device's primary one; NULL before it is open */
    VGPUDeviceInfo info; /* but for the memory, which is asked for each time */
    CUresult lost;       /* the error that made the process unusable, or CUDA_SUCCESS */
} CudaDevice;

/*
 * cuda_device_open() - make the device's primary context, and make it current on this thread
 * @d: with the driver open (cuda_driver_open()) and everything else zeroed; to be given to
 *     cuda_device_close() on failure as well
 * @ordinal: which of the host's devices
 * @backend: for VGPUDeviceInfo.backend
 * @reason: BACKEND_REASON_MAX bytes; on failure one line without a newline
 *
 * This is where cuInit() is called, which reads the driver's environment variables.
 *
 * Returns 0 or a negative errno, as cuda_device_check().
 */
int cuda_device_open(CudaDevice *d, unsigned ordinal, const char *backend, char *reason);

/* cuda_device_close() - give everything back; also takes a device that is only partly open */
void cuda_device_close(CudaDevice *d);

/* cuda_device_info() - as BackendOps.device_info() */
uint32_t cuda_device_info(CudaDevice *d, VGPUDeviceInfo *ret);

/*
 * cuda_device_check() - turn a result into an errno, for what is done while a backend opens
 * @what: was being done
 * @reason: BACKEND_REASON_MAX bytes; on failure one line without a newline
 *
 * Returns 0; -ENOMEM when memory is short; -EIO when the process is unusable; else -ENODEV.
 */
int cuda_device_check(const CudaDevice *d, CUresult result, const char *what, char *reason);

/*
 * cuda_device_note() - look at the result of a call while the backend works
 *
 * If it says that the process is unusable, the device is lost from now on. To be called on
 * the loop's thread. Returns @result.
 */
CUresult cuda_device_note(CudaDevice *d, CUresult result);

#endif

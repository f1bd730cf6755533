/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-device.h"

#include "backend.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

int cuda_device_check(const CudaDevice *d, CUresult result, const char *what, char *reason)
{
    if (result == CUDA_SUCCESS)
        return 0;

    snprintf(reason, BACKEND_REASON_MAX, "%s: %s (%d)", what,
             cuda_driver_error_name(&d->driver, result), result);

    if (result == CUDA_ERROR_OUT_OF_MEMORY)
        return -ENOMEM;
    return cuda_error_is_sticky(result) ? -EIO : -ENODEV;
}

static CUresult cuda_device_attribute(const CudaDevice *d, int attribute, uint32_t *ret)
{
    int value;
    CUresult r = d->driver.device_get_attribute(&value, attribute, d->handle);

    if (r == CUDA_SUCCESS)
        *ret = (uint32_t) value;
    return r;
}

static int cuda_device_describe(CudaDevice *d, const char *backend, char *reason)
{
    VGPUDeviceInfo *info = &d->info;
    int version, r;
    CUresult result;

    r = cuda_device_check(d, d->driver.driver_get_version(&version), "driver version", reason);
    if (r < 0)
        return r;

    result = d->driver.device_get_name(info->name, sizeof(info->name), d->handle);
    if (result == CUDA_SUCCESS)
        result = cuda_device_attribute(d, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
                                       &info->multiprocessors);
    if (result == CUDA_SUCCESS)
        result = cuda_device_attribute(d, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                                       &info->compute_major);
    if (result == CUDA_SUCCESS)
        result = cuda_device_attribute(d, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                                       &info->compute_minor);

    snprintf(info->backend, sizeof(info->backend), "%s", backend);
    info->driver_version = (uint32_t) version;
    return cuda_device_check(d, result, "device information", reason);
}

static int cuda_device_find(CudaDevice *d, unsigned ordinal, char *reason)
{
    int count, r;

    r = cuda_device_check(d, d->driver.init(0), "cuInit", reason);
    if (r == 0)
        r = cuda_device_check(d, d->driver.device_get_count(&count), "device count", reason);
    if (r < 0)
        return r;

    if (ordinal >= (unsigned) count) {
        snprintf(reason, BACKEND_REASON_MAX, "no device %u: this host has %d", ordinal, count);
        return -ENODEV;
    }
    return cuda_device_check(d, d->driver.device_get(&d->handle, (int) ordinal), "device", reason);
}

/* A thread that waits in the driver sleeps: no difference to one that spins or yields could be
 * measured on an H100, and with a kernel that never ends in flight the process uses no
 * processor time. */
static int cuda_device_open_context(CudaDevice *d, char *reason)
{
    CUcontext context;
    int r;

    r = cuda_device_check(d, d->driver.primary_ctx_set_flags(d->handle, CU_CTX_SCHED_BLOCKING_SYNC),
                          "context flags", reason);
    if (r == 0)
        r = cuda_device_check(d, d->driver.primary_ctx_retain(&context, d->handle), "context",
                              reason);
    if (r < 0)
        return r;

    d->context = context;
    return cuda_device_check(d, d->driver.ctx_set_current(d->context), "context", reason);
}

int cuda_device_open(CudaDevice *d, unsigned ordinal, const char *backend, char *reason)
{
    int r;

    assert(d->driver.shared_object && !d->context);

    r = cuda_device_find(d, ordinal, reason);
    if (r == 0)
        r = cuda_device_describe(d, backend, reason);
    if (r == 0)
        r = cuda_device_open_context(d, reason);
    return r;
}

void cuda_device_close(CudaDevice *d)
{
    if (d->context)
        d->driver.primary_ctx_release(d->handle);
    d->context = NULL;
    cuda_driver_close(&d->driver);
}

uint32_t cuda_device_info(CudaDevice *d, VGPUDeviceInfo *ret)
{
    VGPUDeviceInfo info = d->info;
    size_t free_bytes, total_bytes;
    CUresult r = cuda_device_note(d, d->driver.mem_get_info(&free_bytes, &total_bytes));

    if (r != CUDA_SUCCESS)
        return (uint32_t) r;

    info.memory_total = total_bytes;
    info.memory_free = free_bytes;
    *ret = info;
    return 0;
}

CUresult cuda_device_note(CudaDevice *d, CUresult result)
{
    if (d->lost == CUDA_SUCCESS && cuda_error_is_sticky(result))
        d->lost = result;
    return result;
}

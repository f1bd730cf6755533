/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

int cuda_driver_open(CudaDriver *ret, char *reason, size_t reason_size)
{
    CudaDriver d = {.shared_object = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)};

    if (!d.shared_object) {
        snprintf(reason, reason_size, "no driver: %s", dlerror());
        return -ENODEV;
    }

#define LOOK_UP(member, symbol, parameters)                                            \
    *(void **) &d.member = dlsym(d.shared_object, #symbol);                            \
    if (!d.member) {                                                                   \
        snprintf(reason, reason_size, "the driver is too old: it has no %s", #symbol); \
        cuda_driver_close(&d);                                                         \
        return -ENODEV;                                                                \
    }
    CUDA_DRIVER_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    *(void **) &d.func_load = dlsym(d.shared_object, "cuFuncLoad");

    *ret = d;
    return 0;
}

void cuda_driver_close(CudaDriver *driver)
{
    if (driver->shared_object)
        dlclose(driver->shared_object);
    driver->shared_object = NULL;
}

const char *cuda_driver_error_name(const CudaDriver *driver, CUresult error)
{
    const char *name = NULL;

    if (driver->get_error_name(error, &name) != CUDA_SUCCESS || !name)
        return "unknown error";

    return name;
}

bool cuda_error_is_sticky(CUresult error)
{
    switch (error) {
    /* "any further CUDA work will return the same error" */
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_EXTERNAL_DEVICE:
    /* data that can't be trusted */
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    /* what everything rests on is gone */
    case CUDA_ERROR_DEINITIALIZED:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_MPS_CLIENT_TERMINATED:
    case CUDA_ERROR_UNKNOWN:
        return true;
    default:
        return false;
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-results.h"

#include <stddef.h>

#include "cleanup.h"

static const struct {
    int result;
    const char *name;
} names[] = {
    {0, "SUCCESS"},
    {1, "INVALID_VALUE"},
    {2, "OUT_OF_MEMORY"},
    {3, "NOT_INITIALIZED"},
    {4, "DEINITIALIZED"},
    {46, "DEVICE_UNAVAILABLE"},
    {100, "NO_DEVICE"},
    {101, "INVALID_DEVICE"},
    {200, "INVALID_IMAGE"},
    {201, "INVALID_CONTEXT"},
    {205, "MAP_FAILED"},
    {209, "NO_BINARY_FOR_GPU"},
    {214, "ECC_UNCORRECTABLE"},
    {218, "INVALID_PTX"},
    {220, "NVLINK_UNCORRECTABLE"},
    {221, "JIT_COMPILER_NOT_FOUND"},
    {222, "UNSUPPORTED_PTX_VERSION"},
    {223, "JIT_COMPILATION_DISABLED"},
    {300, "INVALID_SOURCE"},
    {302, "SHARED_OBJECT_SYMBOL_NOT_FOUND"},
    {304, "OPERATING_SYSTEM"},
    {400, "INVALID_HANDLE"},
    {401, "ILLEGAL_STATE"},
    {500, "NOT_FOUND"},
    {600, "NOT_READY"},
    {700, "ILLEGAL_ADDRESS"},
    {701, "LAUNCH_OUT_OF_RESOURCES"},
    {702, "LAUNCH_TIMEOUT"},
    {709, "CONTEXT_IS_DESTROYED"},
    {710, "ASSERT"},
    {712, "HOST_MEMORY_ALREADY_REGISTERED"},
    {713, "HOST_MEMORY_NOT_REGISTERED"},
    {714, "HARDWARE_STACK_ERROR"},
    {715, "ILLEGAL_INSTRUCTION"},
    {716, "MISALIGNED_ADDRESS"},
    {717, "INVALID_ADDRESS_SPACE"},
    {718, "INVALID_PC"},
    {719, "LAUNCH_FAILED"},
    {720, "COOPERATIVE_LAUNCH_TOO_LARGE"},
    {800, "NOT_PERMITTED"},
    {801, "NOT_SUPPORTED"},
    {802, "SYSTEM_NOT_READY"},
    {803, "SYSTEM_DRIVER_MISMATCH"},
    {900, "STREAM_CAPTURE_UNSUPPORTED"},
    {901, "STREAM_CAPTURE_INVALIDATED"},
    {999, "UNKNOWN"},
};

const char *vgpu_cuda_result_name(int result)
{
    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (names[i].result == result)
            return names[i].name;
    return NULL;
}

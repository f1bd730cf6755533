/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions about the device that few programs ask, and those about several devices. */
#include "context.h"
#include "cuda-api-streams.h"

/* CUdevice_attribute */
enum {
    QUESTION_MAX_THREADS = 1,
    QUESTION_MAX_BLOCK = 2,
    QUESTION_MAX_GRID = 5,
    QUESTION_SHARED_BYTES = 8,
    QUESTION_CONSTANT_BYTES = 9,
    QUESTION_WARP = 10,
    QUESTION_MAX_PITCH = 11,
    QUESTION_REGISTERS = 12,
    QUESTION_CLOCK = 13,
    QUESTION_TEXTURE_ALIGNMENT = 14,
};

#define ATOMIC_OPERATIONS 13 /* CUatomicOperation */
#define P2P_ATTRIBUTE_MAX 5  /* CUdevice_P2PAttribute, from 1 on */

/* CUflushGPUDirectRDMAWritesTarget, _Scope */
enum { FLUSH_CONTEXT = 0, FLUSH_TO_OWNER = 100, FLUSH_TO_ALL = 200 };

/* CUexecAffinityType */
enum { AFFINITY_SM_COUNT = 0 };

static int question_attribute(int attribute)
{
    return libcuda_process.device.attribute[attribute].value;
}

CUresult cuDeviceGetProperties(DeviceProperties *properties, CUdevice device)
{
    CUresult r = device_check(properties, device);

    if (r != CUDA_SUCCESS)
        return r;
    *properties = (DeviceProperties){
        .max_threads_per_block = question_attribute(QUESTION_MAX_THREADS),
        .shared_bytes = question_attribute(QUESTION_SHARED_BYTES),
        .constant_bytes = question_attribute(QUESTION_CONSTANT_BYTES),
        .warp = question_attribute(QUESTION_WARP),
        .max_pitch = question_attribute(QUESTION_MAX_PITCH),
        .registers = question_attribute(QUESTION_REGISTERS),
        .clock_khz = question_attribute(QUESTION_CLOCK),
        .texture_alignment = question_attribute(QUESTION_TEXTURE_ALIGNMENT),
    };
    for (int i = 0; i < 3; i++) {
        properties->max_block[i] = question_attribute(QUESTION_MAX_BLOCK + i);
        properties->max_grid[i] = question_attribute(QUESTION_MAX_GRID + i);
    }
    return CUDA_SUCCESS;
}

/* Windows alone has these numbers. */
CUresult cuDeviceGetLuid(char *luid, unsigned *nodes, CUdevice device)
{
    CUresult r = device_check(luid, device);

    if (r != CUDA_SUCCESS)
        return r;
    return nodes ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
}

/* ---- Two devices -------------------------------------------------------------------------------
 */

/* Both have to be devices, and not the same one: there is none of which that is true. */
static CUresult question_pair(const void *ret, CUdevice device)
{
    CUresult r = device_check(ret, device);

    return r == CUDA_SUCCESS ? CUDA_ERROR_INVALID_DEVICE : r;
}

CUresult cuDeviceGetP2PAttribute(int *value, int attribute, CUdevice device, CUdevice peer)
{
    CUresult r = question_pair(value, device);

    (void) peer;
    return r == CUDA_ERROR_INVALID_DEVICE && (attribute < 1 || attribute > P2P_ATTRIBUTE_MAX)
               ? CUDA_ERROR_INVALID_VALUE
               : r;
}

static bool question_are_operations(const int *operations, unsigned n)
{
    if (!operations || n == 0)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (operations[i] < 0 || operations[i] >= ATOMIC_OPERATIONS)
            return false;
    return true;
}

CUresult cuDeviceGetP2PAtomicCapabilities(unsigned *capabilities, const int *operations, unsigned n,
                                          CUdevice device, CUdevice peer)
{
    CUresult r = question_pair(capabilities, device);

    (void) peer;
    return r == CUDA_ERROR_INVALID_DEVICE && !question_are_operations(operations, n)
               ? CUDA_ERROR_INVALID_VALUE
               : r;
}

/* ---- The device and the program's memory -------------------------------------------------------
 */

/* As the attributes of the device say */
CUresult cuDeviceGetHostAtomicCapabilities(unsigned *capabilities, const int *operations,
                                           unsigned n, CUdevice device)
{
    CUresult r = device_check(capabilities, device);

    if (r != CUDA_SUCCESS)
        return r;
    if (!question_are_operations(operations, n))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n; i++)
        capabilities[i] = 0;
    return CUDA_SUCCESS;
}

/* No other device writes into the device's memory. */
CUresult cuFlushGPUDirectRDMAWrites(int target, int scope)
{
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    return target == FLUSH_CONTEXT && (scope == FLUSH_TO_OWNER || scope == FLUSH_TO_ALL)
               ? CUDA_ERROR_NOT_SUPPORTED
               : CUDA_ERROR_INVALID_VALUE;
}

/* ---- Parts of the device's processors, which are for MPS ---------------------------------------
 */

CUresult cuDeviceGetExecAffinitySupport(int *is_supported, int type, CUdevice device)
{
    CUresult r = device_check(is_supported, device);

    if (r != CUDA_SUCCESS)
        return r;
    if (type != AFFINITY_SM_COUNT)
        return CUDA_ERROR_INVALID_VALUE;
    *is_supported = 0;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetExecAffinity(ExecAffinity *ret, int type)
{
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    return ret && type == AFFINITY_SM_COUNT ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY
                                            : CUDA_ERROR_INVALID_VALUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A libnvidia-ml.so.1 beside the fake libcuda.so.1: exactly the functions that the executor uses.
 * It knows the fake's devices, and of their processes this one alone.
 */
#include "fake-memory.h"
#include "nvml-usage.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NVML_DECLARE(member, symbol, parameters) int symbol parameters;
NVML_FUNCTIONS(NVML_DECLARE)

enum { NVML_ERROR_UNINITIALIZED = 1, NVML_ERROR_INVALID_ARGUMENT = 2, NVML_ERROR_NOT_FOUND = 6 };

struct nvmlDevice_st {
    CUdevice device;
};

static bool nvml_is_ready;
static struct nvmlDevice_st nvml_devices[FAKE_DEVICES_MAX];

int nvmlInit_v2(void)
{
    if (!fake_plan() || !fake_plan()->nvml)
        return NVML_ERROR_UNINITIALIZED;
    nvml_is_ready = true;
    return NVML_SUCCESS;
}

/* The text that the library has for cuDeviceGetUuid()'s bytes */
static void nvml_name(CUdevice device, char *text, size_t size)
{
    CUuuid uuid;
    size_t n = 0;

    if (cuDeviceGetUuid_v2(&uuid, device) != CUDA_SUCCESS)
        uuid = (CUuuid){0};
    n += (size_t) snprintf(text, size, "GPU-");
    for (unsigned i = 0; i < sizeof(uuid.bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[n++] = '-';
        n += (size_t) snprintf(text + n, size - n, "%02x", uuid.bytes[i]);
    }
}

int nvmlDeviceGetHandleByUUID(const char *uuid, NvmlDevice *device)
{
    if (!nvml_is_ready)
        return NVML_ERROR_UNINITIALIZED;
    for (int i = 0; i < fake_plan()->devices && i < FAKE_DEVICES_MAX; i++) {
        char name[64];

        nvml_name(i, name, sizeof(name));
        if (strcmp(name, uuid) != 0)
            continue;
        nvml_devices[i].device = i;
        *device = &nvml_devices[i];
        return NVML_SUCCESS;
    }
    return NVML_ERROR_NOT_FOUND;
}

int nvmlSystemGetDriverVersion(char *version, unsigned size)
{
    static const char text[] = "580.65.06";

    if (!nvml_is_ready)
        return NVML_ERROR_UNINITIALIZED;
    if (size < sizeof(text))
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(version, text, sizeof(text));
    return NVML_SUCCESS;
}

/* NVML_BRAND_NVIDIA */
int nvmlDeviceGetBrand(NvmlDevice device, int *brand)
{
    (void) device;
    *brand = 14;
    return NVML_SUCCESS;
}

int nvmlDeviceGetMaxPcieLinkGeneration(NvmlDevice device, unsigned *generation)
{
    (void) device;
    *generation = 5;
    return NVML_SUCCESS;
}

int nvmlDeviceGetMaxPcieLinkWidth(NvmlDevice device, unsigned *width)
{
    (void) device;
    *width = 16;
    return NVML_SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(NvmlDevice device, unsigned *n, NvmlProcess *processes)
{
    unsigned room = *n;

    if (!nvml_is_ready)
        return NVML_ERROR_UNINITIALIZED;
    if (!device || !n)
        return NVML_ERROR_INVALID_ARGUMENT;
    *n = 1;
    if (room == 0)
        return NVML_ERROR_INSUFFICIENT_SIZE;

    FAKE_LOCKED();
    processes[0] = (NvmlProcess){
        .pid = (unsigned) getpid(),
        .used_bytes = fake_total_own(device->device),
        .gpu_instance = UINT32_MAX,
        .compute_instance = UINT32_MAX,
    };
    return NVML_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much of a device's memory this process has, as NVIDIA's management library
 * (libnvidia-ml.so.1, which comes with the driver) says it: other than what is free on the device,
 * no other process changes that. Types, constants and prototypes are facts from the "NVML API
 * Reference Guide".
 */
#ifndef VGPU_SESSION_NVML_USAGE_H
#define VGPU_SESSION_NVML_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "cuda-session.h"
#include "vgpu-session.h"

typedef struct nvmlDevice_st *NvmlDevice;

/* nvmlProcessInfo_t, version 3 */
typedef struct NvmlProcess {
    unsigned pid;
    unsigned long long used_bytes; /* NVML_NOT_AVAILABLE: not known */
    unsigned gpu_instance, compute_instance;
} NvmlProcess;

#define NVML_NOT_AVAILABLE UINT64_MAX

enum { NVML_SUCCESS = 0, NVML_ERROR_INSUFFICIENT_SIZE = 7 };

#define NVML_FUNCTIONS(X)                                                                \
    X(init, nvmlInit_v2, (void) )                                                        \
    X(device_by_uuid, nvmlDeviceGetHandleByUUID, (const char *uuid, NvmlDevice *device)) \
    X(processes, nvmlDeviceGetComputeRunningProcesses_v3,                                \
      (NvmlDevice device, unsigned *n, NvmlProcess *processes))                          \
    X(driver_version, nvmlSystemGetDriverVersion, (char *version, unsigned size))        \
    X(brand, nvmlDeviceGetBrand, (NvmlDevice device, int *brand))                        \
    X(pcie_generation, nvmlDeviceGetMaxPcieLinkGeneration,                               \
      (NvmlDevice device, unsigned *generation))                                         \
    X(pcie_width, nvmlDeviceGetMaxPcieLinkWidth, (NvmlDevice device, unsigned *width))

typedef struct NvmlUsage {
    bool was_opened;   /* or could not be */
    NvmlDevice device; /* NULL: could not */
#define NVML_MEMBER(member, symbol, parameters) int(*member) parameters;
    NVML_FUNCTIONS(NVML_MEMBER)
#undef NVML_MEMBER
} NvmlUsage;

/*
 * nvml_usage_get() - bytes of the device's memory that this process has
 * @usage: zeroed at first; the library is loaded at the first call, which takes 14 ms, and stays
 * @uuid: of the device, or of a MIG instance
 *
 * Returns false when that is not to be had: no library, no such device, or a driver that does not
 * say it.
 */
bool nvml_usage_get(NvmlUsage *usage, const CUuuid *uuid, uint64_t *ret);

/* nvml_board_get() - what the library says of the device itself; what it does not is 0 or empty */
void nvml_board_get(NvmlUsage *usage, const CUuuid *uuid, VGPUSessionBoard *ret);

#endif

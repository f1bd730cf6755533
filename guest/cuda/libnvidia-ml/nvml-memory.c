/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory: what the machine's sessions may have together, as cuMemGetInfo() tells it, and what they
 * have of it. What other machines have is nobody's business here.
 */
#include "nvml-sample.h"

static nvmlReturn_t memory_look(nvmlDevice_t device, void *is_valid, nvmlMemory_t *ret)
{
    static session_use use[SESSION_WATCH_MAX];
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, is_valid, &f);
    int n;

    if (r != NVML_SUCCESS)
        return r;
    n = session_watch_look(f->watch, use);
    if (n < 0)
        return nvml_leave(nvml_look_error(n));
    *ret = (nvmlMemory_t){.total = f->device.total_memory};
    for (int i = 0; i < n; i++)
        ret->used +=
            use[i].memory < ret->total - ret->used ? use[i].memory : ret->total - ret->used;
    ret->free = ret->total - ret->used;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    nvmlMemory_t now = {};
    nvmlReturn_t r = memory_look(device, memory, &now);

    if (r == NVML_SUCCESS)
        *memory = now;
    return r;
}

/* What the driver keeps for itself is in no machine's share. */
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    nvmlMemory_t now = {};
    nvmlReturn_t r = memory_look(device, memory, &now);

    if (r != NVML_SUCCESS)
        return r;
    if (memory->version != NVML_STRUCT_VERSION(nvmlMemory_v2_t, 2))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memory->total = now.total;
    memory->reserved = 0;
    memory->free = now.free;
    memory->used = now.used;
    return NVML_SUCCESS;
}

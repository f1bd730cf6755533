/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvml-usage.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"

#define UUID_TEXT_SIZE 48u
/* Processes may begin between the question how many there are and the list. */
#define PROCESSES_MORE 16u
#define PROCESSES_MAX 65536u

static NvmlDevice nvml_find(const NvmlUsage *usage, const CUuuid *uuid)
{
    /* A device, or a part of one */
    static const char *const kinds[] = {"GPU", "MIG"};

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char text[UUID_TEXT_SIZE];
        NvmlDevice device = NULL;
        int n = snprintf(text, sizeof(text), "%s-", kinds[i]);

        for (unsigned b = 0; b < sizeof(uuid->bytes); b++)
            n += snprintf(text + n, sizeof(text) - (size_t) n, "%s%02x",
                          b == 4 || b == 6 || b == 8 || b == 10 ? "-" : "", uuid->bytes[b]);
        if (usage->device_by_uuid(text, &device) == NVML_SUCCESS)
            return device;
    }
    return NULL;
}

static void nvml_open(NvmlUsage *usage, const CUuuid *uuid)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);

    usage->was_opened = true;
    if (!library)
        return;
#define LOOK_UP(member, symbol, parameters)              \
    *(void **) &usage->member = dlsym(library, #symbol); \
    if (!usage->member)                                  \
        return;
    NVML_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    if (usage->init() == NVML_SUCCESS)
        usage->device = nvml_find(usage, uuid);
}

/* Returns the list, of @n; NULL where there is none. */
static NvmlProcess *nvml_list(const NvmlUsage *usage, unsigned *n)
{
    CLEANUP_FREE NvmlProcess *list = NULL;
    int r;

    *n = 0;
    do {
        NvmlProcess *more;

        *n += PROCESSES_MORE;
        more = *n <= PROCESSES_MAX ? realloc(list, *n * sizeof(*more)) : NULL;
        if (!more)
            return NULL;
        list = more;
        r = usage->processes(usage->device, n, list);
    } while (r == NVML_ERROR_INSUFFICIENT_SIZE);
    return r == NVML_SUCCESS ? TAKE_PTR(list) : NULL;
}

static NvmlDevice nvml_device(NvmlUsage *usage, const CUuuid *uuid)
{
    if (!usage->was_opened)
        nvml_open(usage, uuid);
    return usage->device;
}

void nvml_board_get(NvmlUsage *usage, const CUuuid *uuid, VGPUSessionBoard *ret)
{
    NvmlDevice device = nvml_device(usage, uuid);
    unsigned value;
    int brand;

    *ret = (VGPUSessionBoard){0};
    if (!device)
        return;
    if (usage->driver_version(ret->driver, sizeof(ret->driver)) != NVML_SUCCESS)
        ret->driver[0] = '\0';
    if (usage->brand(device, &brand) == NVML_SUCCESS)
        ret->brand = (uint32_t) brand;
    if (usage->pcie_generation(device, &value) == NVML_SUCCESS)
        ret->pcie_generation = value;
    if (usage->pcie_width(device, &value) == NVML_SUCCESS)
        ret->pcie_width = value;
}

bool nvml_usage_get(NvmlUsage *usage, const CUuuid *uuid, uint64_t *ret)
{
    CLEANUP_FREE NvmlProcess *list = NULL;
    unsigned n = 0;

    if (!nvml_device(usage, uuid))
        return false;
    list = nvml_list(usage, &n);
    for (unsigned i = 0; list && i < n; i++) {
        if (list[i].pid != (unsigned) getpid() || list[i].used_bytes == NVML_NOT_AVAILABLE)
            continue;
        *ret = list[i].used_bytes;
        return true;
    }
    return false;
}

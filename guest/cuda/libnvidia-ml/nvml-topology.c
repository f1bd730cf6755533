/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the device is: all of a guest's processors are as near to it, and there is no other one. */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "nvml-library.h"

#define WORD_BITS (sizeof(unsigned long) * CHAR_BIT)
#define CPUS_ONLINE "/sys/devices/system/cpu/online"
#define NODES_ONLINE "/sys/devices/system/node/online"

/* ---- Processors ----------------------------------------------------------------------------- */

static bool topology_set_range(unsigned long *set, unsigned size, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++) {
        if (i / WORD_BITS >= size)
            return false;
        set[i / WORD_BITS] |= 1UL << i % WORD_BITS;
    }
    return true;
}

/* A list of the kernel's, as "0-3,8". What has no room is left out. Returns false without a list.
 */
static bool topology_read(const char *path, unsigned long *set, unsigned size)
{
    FILE *file = fopen(path, "re");
    unsigned first, last;
    char next = ',';

    if (!file)
        return false;
    memset(set, 0, size * sizeof(set[0]));
    while (next == ',' && fscanf(file, "%u", &first) == 1) {
        last = first;
        if (fscanf(file, "-%u", &last) < 0)
            last = first;
        if (!topology_set_range(set, size, first, last) || fscanf(file, "%c", &next) != 1)
            break;
    }
    fclose(file);
    return true;
}

static nvmlReturn_t topology_get(nvmlDevice_t device, const char *path, unsigned size,
                                 unsigned long *set, unsigned scope)
{
    nvml_facts *f;
    nvmlReturn_t r =
        nvml_enter_device(device, set && size > 0 && scope <= NVML_AFFINITY_SCOPE_SOCKET, &f);

    if (r != NVML_SUCCESS)
        return r;
    return nvml_leave(topology_read(path, set, size) ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED);
}

nvmlReturn_t nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned size,
                                                 unsigned long *set, unsigned scope)
{
    return topology_get(device, CPUS_ONLINE, size, set, scope);
}

nvmlReturn_t nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned size, unsigned long *set)
{
    return topology_get(device, CPUS_ONLINE, size, set, NVML_AFFINITY_SCOPE_NODE);
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned size, unsigned long *set,
                                         unsigned scope)
{
    return topology_get(device, NODES_ONLINE, size, set, scope);
}

/* Of the calling thread */
nvmlReturn_t nvmlDeviceSetCpuAffinity(nvmlDevice_t device)
{
    union {
        cpu_set_t cpus;
        unsigned long words[sizeof(cpu_set_t) / sizeof(unsigned long)];
    } set;
    nvmlReturn_t r =
        nvmlDeviceGetCpuAffinity(device, sizeof(set.words) / sizeof(set.words[0]), set.words);

    if (r != NVML_SUCCESS)
        return r;
    return sched_setaffinity(0, sizeof(set.cpus), &set.cpus) == 0 ? NVML_SUCCESS
                                                                  : NVML_ERROR_UNKNOWN;
}

nvmlReturn_t nvmlDeviceClearCpuAffinity(nvmlDevice_t device)
{
    return nvmlDeviceSetCpuAffinity(device);
}

/* ---- Devices -------------------------------------------------------------------------------- */

static nvmlReturn_t topology_pair(nvmlDevice_t a, nvmlDevice_t b, int *ret, int value)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(a, a == b && ret, &f);

    if (r != NVML_SUCCESS)
        return r;
    *ret = value;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t a, nvmlDevice_t b, int *level)
{
    return topology_pair(a, b, level, NVML_TOPOLOGY_INTERNAL);
}

nvmlReturn_t nvmlDeviceOnSameBoard(nvmlDevice_t a, nvmlDevice_t b, int *is_same)
{
    return topology_pair(a, b, is_same, 1);
}

/* A device is no peer of its own: cuDeviceCanAccessPeer() says the same. */
nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t a, nvmlDevice_t b, int index, int *status)
{
    if (index < 0 || index >= NVML_P2P_CAPS_INDEX_UNKNOWN)
        status = NULL;
    return topology_pair(a, b, status, NVML_P2P_STATUS_NOT_SUPPORTED);
}

nvmlReturn_t nvmlDeviceGetTopologyNearestGpus(nvmlDevice_t device, int level, unsigned *count,
                                              nvmlDevice_t *devices)
{
    (void) devices;
    return nvml_answer(device, level >= 0 && level <= NVML_TOPOLOGY_SYSTEM ? count : NULL, 0);
}

nvmlReturn_t nvmlSystemGetTopologyGpuSet(unsigned cpu, unsigned *count, nvmlDevice_t *devices)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_facts(count, &f);

    (void) cpu;
    if (r != NVML_SUCCESS)
        return r;
    if (devices && *count > 0)
        devices[0] = nvml_device();
    *count = 1;
    return nvml_leave(NVML_SUCCESS);
}

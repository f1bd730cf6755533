/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events: a program can wait for them, and none ever comes. What happens to the device, the host's
 * administrator is told. */
#include <stdlib.h>
#include <time.h>

#include "nvml-library.h"

struct nvmlEventSet_st {
    char unused;
};

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
    nvmlReturn_t r = nvml_enter(set);
    nvmlEventSet_t new_set;

    if (r != NVML_SUCCESS)
        return r;
    new_set = calloc(1, sizeof(*new_set));
    if (!new_set)
        return nvml_leave(NVML_ERROR_MEMORY);
    *set = new_set;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
    nvmlReturn_t r = nvml_enter(set);

    if (r != NVML_SUCCESS)
        return r;
    free(set);
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, types, &f);

    if (r != NVML_SUCCESS)
        return r;
    *types = 0;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types,
                                      nvmlEventSet_t set)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, set, &f);

    if (r != NVML_SUCCESS)
        return r;
    return nvml_leave(types == 0 ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED);
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout_msec)
{
    nvmlReturn_t r = nvml_enter(set && data);
    struct timespec left = {
        .tv_sec = timeout_msec / 1000,
        .tv_nsec = (long) (timeout_msec % 1000) * 1000000,
    };

    if (r != NVML_SUCCESS)
        return r;
    (void) nvml_leave(NVML_SUCCESS);
    while (nanosleep(&left, &left) < 0)
        ;
    return NVML_ERROR_TIMEOUT;
}

nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout_msec)
{
    return nvmlEventSetWait_v2(set, data, timeout_msec);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many devices there are, and which. */
#include <stdio.h>
#include <string.h>

#include "nvml-library.h"
#include "session-device.h"

/* A pool of CPUs has no device, and says so when it is asked. */
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_facts(count, &f);

    if (r == NVML_ERROR_NOT_FOUND) {
        *count = 0;
        return NVML_SUCCESS;
    }
    if (r != NVML_SUCCESS)
        return r;
    *count = 1;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetCount(unsigned *count)
{
    return nvmlDeviceGetCount_v2(count);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_facts(device && index == 0, &f);

    if (r == NVML_ERROR_NOT_FOUND) /* no device has an index */
        return NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    *device = nvml_device();
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    char own[SESSION_UUID_TEXT_SIZE];
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_facts(uuid && device, &f);

    if (r != NVML_SUCCESS)
        return r;
    session_device_uuid_text(&f->device, own);
    if (strcmp(uuid, own) != 0)
        return nvml_leave(NVML_ERROR_NOT_FOUND);
    *device = nvml_device();
    return nvml_leave(NVML_SUCCESS);
}

/* domain:bus:device.function, where domain and function may be left out */
static bool handle_parse_address(const char *id, unsigned ret[static 4])
{
    ret[0] = ret[3] = 0;
    if (sscanf(id, "%x:%x:%x.%x", &ret[0], &ret[1], &ret[2], &ret[3]) >= 3)
        return true;
    ret[0] = 0;
    return sscanf(id, "%x:%x.%x", &ret[1], &ret[2], &ret[3]) >= 2;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *id, nvmlDevice_t *device)
{
    static const int attributes[] = {ATTRIBUTE_PCI_DOMAIN, ATTRIBUTE_PCI_BUS, ATTRIBUTE_PCI_DEVICE};
    unsigned address[4];
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_facts(id && device && handle_parse_address(id, address), &f);

    if (r != NVML_SUCCESS)
        return r;
    for (unsigned i = 0; i < 3; i++)
        if (f->device.attribute[attributes[i]].value != (int) address[i] || address[3] != 0)
            return nvml_leave(NVML_ERROR_NOT_FOUND);
    *device = nvml_device();
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *id, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByPciBusId_v2(id, device);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the device is. */
#include <string.h>

#include "nvml-library.h"
#include "session-device.h"

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, name, &f);

    if (r != NVML_SUCCESS)
        return r;
    return nvml_leave(nvml_copy_text(name, length, f->device.name));
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length)
{
    char text[SESSION_UUID_TEXT_SIZE];
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, uuid, &f);

    if (r != NVML_SUCCESS)
        return r;
    session_device_uuid_text(&f->device, text);
    return nvml_leave(nvml_copy_text(uuid, length, text));
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, int *brand)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, brand, &f);

    if (r != NVML_SUCCESS)
        return r;
    *brand = (int) f->board.brand;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index)
{
    return nvml_answer(device, index, 0);
}

/* Of /dev/nvidia0, which a guest does not have. */
nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned *number)
{
    return nvml_answer(device, number, 0);
}

nvmlReturn_t nvmlDeviceGetMultiGpuBoard(nvmlDevice_t device, unsigned *is_multi)
{
    return nvml_answer(device, is_multi, 0);
}

nvmlReturn_t nvmlDeviceGetBoardId(nvmlDevice_t device, unsigned *id)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, id, &f);

    if (r != NVML_SUCCESS)
        return r;
    *id = (unsigned) f->device.attribute[ATTRIBUTE_PCI_DOMAIN].value << 16 |
          (unsigned) f->device.attribute[ATTRIBUTE_PCI_BUS].value << 8 |
          (unsigned) f->device.attribute[ATTRIBUTE_PCI_DEVICE].value;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, major && minor, &f);

    if (r != NVML_SUCCESS)
        return r;
    return nvml_leave(nvml_attribute(f, ATTRIBUTE_CAPABILITY_MAJOR, major) &&
                              nvml_attribute(f, ATTRIBUTE_CAPABILITY_MINOR, minor)
                          ? NVML_SUCCESS
                          : NVML_ERROR_NOT_SUPPORTED);
}

/* NVML_DEVICE_ARCH_*, by the first compute capability of each */
nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, unsigned *architecture)
{
    static const struct {
        int capability;
        unsigned architecture;
    } first[] = {
        {130, NVML_DEVICE_ARCH_UNKNOWN},
        {100, 10},
        {90, 9},
        {89, 8},
        {80, 7},
        {75, 6},
        {70, 5},
        {60, 4},
        {50, 3},
        {30, 2},
    };
    int major, minor;
    nvmlReturn_t r = architecture ? nvmlDeviceGetCudaComputeCapability(device, &major, &minor)
                                  : nvml_enter(false);

    if (r != NVML_SUCCESS)
        return r;
    *architecture = NVML_DEVICE_ARCH_UNKNOWN;
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        if (10 * major + minor < first[i].capability)
            continue;
        *architecture = first[i].architecture;
        break;
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    int multiprocessors = 0, engines = 0;
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, attributes, &f);

    if (r != NVML_SUCCESS)
        return r;
    (void) nvml_attribute(f, ATTRIBUTE_MULTIPROCESSORS, &multiprocessors);
    (void) nvml_attribute(f, ATTRIBUTE_COPY_ENGINES, &engines);
    *attributes = (nvmlDeviceAttributes_t){
        .multiprocessorCount = (unsigned) multiprocessors,
        .sharedCopyEngineCount = (unsigned) engines,
        .memorySizeMB = f->device.total_memory >> 20,
    };
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetAttributes(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    return nvmlDeviceGetAttributes_v2(device, attributes);
}

/* A CUdevice_attribute, divided by @unit. 0: there is none for it */
static nvmlReturn_t identity_attribute(nvmlDevice_t device, bool is_valid, int attribute, int unit,
                                       unsigned *ret)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, is_valid, &f);
    int value;

    if (r != NVML_SUCCESS)
        return r;
    if (attribute == 0 || !nvml_attribute(f, attribute, &value) || value <= 0)
        return nvml_leave(NVML_ERROR_NOT_SUPPORTED);
    *ret = (unsigned) (value / unit);
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned *bits)
{
    return identity_attribute(device, bits, ATTRIBUTE_MEMORY_BUS_WIDTH, 1, bits);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, int type, unsigned *mhz)
{
    static const int attributes[NVML_CLOCK_COUNT] = {
        [NVML_CLOCK_GRAPHICS] = ATTRIBUTE_CLOCK_RATE,
        [NVML_CLOCK_SM] = ATTRIBUTE_CLOCK_RATE,
        [NVML_CLOCK_MEM] = ATTRIBUTE_MEMORY_CLOCK_RATE,
    };
    bool is_valid = mhz && type >= 0 && type < NVML_CLOCK_COUNT;

    return identity_attribute(device, is_valid, is_valid ? attributes[type] : 0, 1000, mhz);
}

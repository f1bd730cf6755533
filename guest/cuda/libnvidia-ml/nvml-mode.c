/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the device is set. A guest sets nothing. */
#include <time.h>

#include "nvml-library.h"

static nvmlReturn_t mode_answer(nvmlDevice_t device, int *ret, int value)
{
    return nvml_answer(device, (unsigned *) ret, (unsigned) value);
}

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, int *mode)
{
    return mode_answer(device, mode, NVML_COMPUTEMODE_DEFAULT);
}

/* Nothing is unloaded when the last process of a guest ends. */
nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, int *mode)
{
    return mode_answer(device, mode, NVML_FEATURE_ENABLED);
}

nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t device, int *display)
{
    return mode_answer(device, display, NVML_FEATURE_DISABLED);
}

nvmlReturn_t nvmlDeviceGetDisplayActive(nvmlDevice_t device, int *is_active)
{
    return mode_answer(device, is_active, NVML_FEATURE_DISABLED);
}

/* The other modes are NVIDIA's own ways to give a device to a guest, each with its licences and
 * limits. */
nvmlReturn_t nvmlDeviceGetVirtualizationMode(nvmlDevice_t device, int *mode)
{
    return mode_answer(device, mode, NVML_GPU_VIRTUALIZATION_MODE_NONE);
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *is_mig)
{
    return nvml_answer(device, is_mig, 0);
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *count)
{
    return nvml_answer(device, count, 0);
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, int *current, int *pending)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, current && pending, &f);
    int is_enabled;

    if (r != NVML_SUCCESS)
        return r;
    if (!nvml_attribute(f, ATTRIBUTE_ECC_ENABLED, &is_enabled))
        return nvml_leave(NVML_ERROR_NOT_SUPPORTED);
    *current = *pending = is_enabled ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return nvml_leave(NVML_SUCCESS);
}

/* ---- Many numbers at once ------------------------------------------------------------------- */

static void mode_fill(const nvml_facts *f, nvmlFieldValue_t *v)
{
    struct timespec clock;
    int value;

    clock_gettime(CLOCK_REALTIME, &clock);
    v->timestamp = (long long) clock.tv_sec * 1000000 + clock.tv_nsec / 1000;
    v->latencyUsec = 0;
    v->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    if ((v->fieldId != NVML_FI_DEV_ECC_CURRENT && v->fieldId != NVML_FI_DEV_ECC_PENDING) ||
        !nvml_attribute(f, ATTRIBUTE_ECC_ENABLED, &value))
        return;
    v->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
    v->value.ullVal = value != 0;
    v->nvmlReturn = NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, count > 0 && values, &f);

    if (r != NVML_SUCCESS)
        return r;
    for (int i = 0; i < count; i++)
        mode_fill(f, &values[i]);
    return nvml_leave(NVML_SUCCESS);
}

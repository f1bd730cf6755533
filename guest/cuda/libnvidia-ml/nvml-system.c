/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system, and what is not in it: boxes of GPUs, and GPUs that an administrator has hidden. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "libcuda-version.h"
#include "nvml-library.h"

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_facts(version, &f);

    if (r != NVML_SUCCESS)
        return r;
    if (f->board.driver[0] == '\0')
        return nvml_leave(NVML_ERROR_NOT_SUPPORTED);
    return nvml_leave(nvml_copy_text(version, length, f->board.driver));
}

/* As NVIDIA's library makes it: CUDA's number, and the driver's. */
nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
    char text[sizeof(((VGPUSessionBoard *) NULL)->driver) + 16];
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_facts(version, &f);

    if (r != NVML_SUCCESS)
        return r;
    snprintf(text, sizeof(text), "%d%s%s", libcuda_version_of(f->device.driver_version) / 1000,
             f->board.driver[0] == '\0' ? "" : ".", f->board.driver);
    return nvml_leave(nvml_copy_text(version, length, text));
}

/* What cuDriverGetVersion() says */
nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_facts(version, &f);

    if (r != NVML_SUCCESS)
        return r;
    *version = libcuda_version_of(f->device.driver_version);
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

/* The first argument: how the program was called. It is cut to what there is room for. */
nvmlReturn_t nvmlSystemGetProcessName(unsigned pid, char *name, unsigned length)
{
    nvmlReturn_t r = nvml_enter(name && length > 0);
    char path[32];
    ssize_t n;
    int fd;

    if (r != NVML_SUCCESS)
        return r;
    snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nvml_leave(errno == EACCES ? NVML_ERROR_NO_PERMISSION : NVML_ERROR_NOT_FOUND);
    n = read(fd, name, length - 1);
    close(fd);
    name[n > 0 ? n : 0] = '\0';
    return nvml_leave(n >= 0 ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND);
}

/* ---- What is not there ---------------------------------------------------------------------- */

static nvmlReturn_t system_has_none(unsigned *count)
{
    nvmlReturn_t r = nvml_enter(count);

    if (r != NVML_SUCCESS)
        return r;
    *count = 0;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlSystemGetHicVersion(unsigned *count, nvmlHwbcEntry_t *entries)
{
    (void) entries;
    return system_has_none(count);
}

nvmlReturn_t nvmlUnitGetCount(unsigned *count)
{
    return system_has_none(count);
}

nvmlReturn_t nvmlUnitGetHandleByIndex(unsigned index, nvmlUnit_t *unit)
{
    (void) index, (void) unit;
    return nvml_enter(false);
}

nvmlReturn_t nvmlGetExcludedDeviceCount(unsigned *count)
{
    return system_has_none(count);
}

nvmlReturn_t nvmlGetExcludedDeviceInfoByIndex(unsigned index, nvmlExcludedDeviceInfo_t *info)
{
    (void) index, (void) info;
    return nvml_enter(false);
}

nvmlReturn_t nvmlGetBlacklistDeviceCount(unsigned *count)
{
    return system_has_none(count);
}

nvmlReturn_t nvmlGetBlacklistDeviceInfoByIndex(unsigned index, nvmlExcludedDeviceInfo_t *info)
{
    return nvmlGetExcludedDeviceInfoByIndex(index, info);
}

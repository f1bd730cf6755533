/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A libcuda.so.1 for machines without a GPU: exactly the functions that the executor uses
 * (cuda-driver.h and cuda-session.h list them), over a fake device. Each area has a file:
 *
 *   fake-driver     how a call begins, the lock, handles      fake-context    contexts, limits
 *   fake-cuda       the driver, devices                       fake-attributes what devices are
 *   fake-queue      streams as the device sees them           fake-stream     as programs do
 *   fake-memory     allocations, pinned memory                fake-address    ranges, mappings
 *   fake-pool       allocations in the order of streams       fake-total      how much there is
 *   fake-arena      the device's addresses                    fake-copy       copies and sets
 *   fake-event      events                                    fake-word       words
 *   fake-capture    captures                                  fake-graph      graphs
 *   fake-nodes      what graphs are made of                   fake-graph-nodes  graphs by nodes
 *   fake-image      what an image names                       fake-ptx        what PTX names
 *   fake-module     modules                                   fake-function   functions, occupancy
 *   fake-launch     launches                                  fake-kernels*   kernels in C
 *   fake-print      what kernels print                        fake-link       the linker
 *
 * fake-plan.h says how it is told to misbehave. It is never installed. What the model leaves out:
 * arrays and textures, nodes of graphs that allocate, and two kernels at the same time.
 *
 * When the executor breaks a rule of the driver API (a dead handle, no current context, memory
 * that is not there), a real driver returns an error. This one aborts the process with a
 * message, so that a test can't overlook it. What a program in a guest can do wrong ends in the
 * error that the manual names.
 */
#include "fake-memory.h"
#include "fake-queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Plan plan;
static bool initialized;

Plan *fake_plan(void)
{
    return initialized ? &plan : NULL;
}

/* Every device has its own in the last byte. */
static void get_uuid(CUdevice device, CUuuid *ret)
{
    memcpy(ret->bytes, "vgpu fake GPU  ", 15);
    ret->bytes[15] = (unsigned char) ('0' + device);
}

static bool is_named(CUdevice device, const char *name)
{
    char digits[sizeof(CUuuid) * 2 + 1];
    CUuuid uuid;

    get_uuid(device, &uuid);
    for (size_t i = 0; i < sizeof(uuid); i++)
        snprintf(digits + 2 * i, 3, "%02x", (unsigned char) uuid.bytes[i]);
    if (strncmp(name, "GPU-", 4) != 0 && strncmp(name, "MIG-", 4) != 0)
        return false;
    for (const char *p = name + 4, *d = digits; *p || *d; p++)
        if (*p != '-' && *p != *d++)
            return false;
    return true;
}

static void choose_devices(void)
{
    const char *name = getenv("CUDA_VISIBLE_DEVICES");
    int n = plan.devices;

    if (!name)
        return;
    plan.devices = 0;
    for (int i = 0; i < n && plan.devices == 0; i++) {
        plan.first_device = i;
        plan.devices = is_named(i, name);
    }
}

CUresult cuInit(unsigned flags)
{
    if (flags != 0)
        fake_misuse("cuInit: flags are %u", flags);
    if (initialized)
        fake_misuse("cuInit: called twice");

    plan = plan_read();
    choose_devices();
    initialized = true;
    if (plan.share[0] != '\0')
        fake_arena_open();
    fake_device_start();
    ENTER(FAKE_INIT);
    return plan.devices > 0 ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

__attribute__((destructor)) static void unload(void)
{
    if (!initialized)
        return;

    fake_device_stop();
    fake_lock();
    fake_contexts_stop();
    fake_textures_end(NULL);
    fake_memory_stop();
    fake_arena_stop();
    fake_total_stop();
    fake_objects_stop();
    fake_unlock();
    if (plan.trace_fd >= 0)
        close(plan.trace_fd);
}

CUresult cuDriverGetVersion(int *version)
{
    ENTER(FAKE_NOTHING);
    *version = plan.version;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **name)
{
#define NAMED(error)  \
    {                 \
        error, #error \
    }
    static const struct {
        CUresult error;
        const char *name;
    } names[] = {
        NAMED(CUDA_SUCCESS),
        NAMED(CUDA_ERROR_INVALID_VALUE),
        NAMED(CUDA_ERROR_OUT_OF_MEMORY),
        NAMED(CUDA_ERROR_NO_DEVICE),
        NAMED(CUDA_ERROR_INVALID_IMAGE),
        NAMED(CUDA_ERROR_INVALID_CONTEXT),
        NAMED(CUDA_ERROR_NO_BINARY_FOR_GPU),
        NAMED(CUDA_ERROR_INVALID_PTX),
        NAMED(CUDA_ERROR_INVALID_HANDLE),
        NAMED(CUDA_ERROR_NOT_FOUND),
        NAMED(CUDA_ERROR_NOT_READY),
        NAMED(CUDA_ERROR_NOT_SUPPORTED),
    };
#undef NAMED

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].error == error) {
            *name = names[i].name;
            return CUDA_SUCCESS;
        }
    }

    *name = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetCount(int *count)
{
    ENTER(FAKE_INIT);
    *count = plan.devices;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    ENTER(FAKE_INIT);
    if (ordinal < 0 || ordinal >= plan.devices)
        fake_misuse("cuDeviceGet: no device %d", ordinal);
    *device = plan.first_device + ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    ENTER(FAKE_INIT);
    fake_check_device(device, __func__);
    snprintf(name, (size_t) length, "Fake GPU %d", device);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    ENTER_SESSION(FAKE_INIT);
    fake_check_device(device, __func__);
    get_uuid(device, uuid);
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    ENTER_SESSION(FAKE_INIT);
    fake_check_device(device, __func__);
    *bytes = plan.total;
    return CUDA_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A libcuda.so.1 for machines without a GPU: exactly the functions that the
 * executor uses (cuda-driver.h lists them), over the fake device of fake-device.c.
 * fake-plan.h says how it is told to misbehave. It is never installed.
 *
 * When a caller breaks a rule of the driver API, a real driver returns an error. This one
 * aborts the process with a message, so that a test can't overlook it.
 */
#include "fake-device.h"
#include "fake-plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The prototypes are those that the executor calls. */
#define DECLARE(member, symbol, parameters) CUresult symbol parameters;
CUDA_DRIVER_FUNCTIONS(DECLARE)

#define LEAST_PRIORITY 0
#define GREATEST_PRIORITY (-5)
#define MEMORY_TOTAL (8ull << 30)
#define FATBIN_MAGIC 0xba55ed50u

struct CUctx_st {
    int unused;
};

struct CUfunc_st {
    const FakeKernel *kernel;
};

struct CUmod_st {
    bool loaded;
    char *ptx; /* NULL: a binary */
    struct CUfunc_st functions[64];
    unsigned n_functions;
};

static struct {
    bool initialized, retained;
    Plan plan;
    struct CUctx_st context;
    struct CUmod_st module;
} fake;

static _Thread_local CUcontext current;

enum Needs { NOTHING, INIT, CONTEXT };

static void trace(const char *function, int number)
{
    if (fake.initialized && fake.plan.trace_fd >= 0)
        dprintf(fake.plan.trace_fd, "%s %d\n", function, number);
}

/* What every call begins with. */
static CUresult enter(const char *function, enum Needs needs, int number)
{
    CUresult error = fake_device_error();

    if (fake_in_callback())
        fake_misuse("%s: called from a stream callback", function);
    if (needs >= INIT && !fake.initialized)
        fake_misuse("%s: called before cuInit", function);
    if (needs >= CONTEXT && (!fake.retained || current != &fake.context))
        fake_misuse("%s: no context is current", function);

    trace(function, number);
    if (plan_item_is_due(&fake.plan.hang, function))
        for (;;)
            pause();
    if (error != CUDA_SUCCESS)
        return error;
    if (!plan_item_is_due(&fake.plan.fail, function))
        return CUDA_SUCCESS;
    if (fake_error_is_sticky(fake.plan.fail.result))
        fake_device_break(fake.plan.fail.result);
    return fake.plan.fail.result;
}

#define ENTER_NUMBER(needs, number)                             \
    do {                                                        \
        CUresult enter_result = enter(__func__, needs, number); \
                                                                \
        if (enter_result != CUDA_SUCCESS)                       \
            return enter_result;                                \
    } while (0)
#define ENTER(needs) ENTER_NUMBER(needs, 0)

/* ---- Driver and device ------------------------------------------------------ */

CUresult cuInit(unsigned flags)
{
    if (flags != 0)
        fake_misuse("cuInit: flags are %u", flags);
    if (fake.initialized)
        fake_misuse("cuInit: called twice");

    fake.plan = plan_read();
    fake.initialized = true;
    fake_device_start(fake.plan.slow_ms, fake.plan.hold);
    ENTER(INIT);
    return fake.plan.devices > 0 ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

__attribute__((destructor)) static void unload(void)
{
    if (!fake.initialized)
        return;

    fake_device_stop();
    free(fake.module.ptx);
    if (fake.plan.trace_fd >= 0)
        close(fake.plan.trace_fd);
}

CUresult cuDriverGetVersion(int *version)
{
    ENTER(NOTHING);
    *version = 13000;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **name)
{
    static const struct {
        CUresult error;
        const char *name;
    } names[] = {
        {CUDA_SUCCESS, "CUDA_SUCCESS"},
        {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
        {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
        {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
    };

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
    ENTER(INIT);
    *count = fake.plan.devices;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    ENTER(INIT);
    if (ordinal < 0 || ordinal >= fake.plan.devices)
        fake_misuse("cuDeviceGet: no device %d", ordinal);
    *device = ordinal;
    return CUDA_SUCCESS;
}

static void check_device(CUdevice device, const char *function)
{
    if (device < 0 || device >= fake.plan.devices)
        fake_misuse("%s: no device %d", function, device);
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    ENTER(INIT);
    check_device(device, __func__);
    snprintf(name, (size_t) length, "Fake GPU %d", device);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    ENTER(INIT);
    check_device(device, __func__);

    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        *value = 4;
        return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        *value = 9;
        return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        *value = 0;
        return CUDA_SUCCESS;
    default:
        fake_misuse("cuDeviceGetAttribute: attribute %d", attribute);
    }
}

/* ---- The primary context ----------------------------------------------------- */

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags)
{
    ENTER_NUMBER(INIT, (int) flags);
    check_device(device, __func__);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    ENTER(INIT);
    check_device(device, __func__);
    if (fake.retained)
        fake_misuse("cuDevicePrimaryCtxRetain: the context is made twice");
    fake.retained = true;
    *context = &fake.context;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    ENTER(INIT);
    check_device(device, __func__);
    if (!fake.retained)
        fake_misuse("cuDevicePrimaryCtxRelease_v2: not retained");
    if (!fake_device_is_unused() || fake.module.loaded)
        fake_misuse("cuDevicePrimaryCtxRelease_v2: a stream, memory or module is left");
    fake.retained = false;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context)
{
    ENTER(INIT);
    if (context != &fake.context || !fake.retained)
        fake_misuse("cuCtxSetCurrent: no context");
    current = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    ENTER(CONTEXT);
    *least = LEAST_PRIORITY;
    *greatest = GREATEST_PRIORITY;
    return CUDA_SUCCESS;
}

/* ---- Memory ------------------------------------------------------------------- */

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    ENTER(CONTEXT);
    *free_bytes = MEMORY_TOTAL / 2;
    *total = MEMORY_TOTAL;
    return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void **host, size_t size, unsigned flags)
{
    ENTER_NUMBER(CONTEXT, (int) size);
    if (flags != CU_MEMHOSTALLOC_DEVICEMAP || size == 0)
        fake_misuse("cuMemHostAlloc: size %zu, flags %u", size, flags);
    *host = fake_memory_alloc(size);
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned flags)
{
    ENTER(CONTEXT);
    if (flags != 0)
        fake_misuse("cuMemHostGetDevicePointer_v2: flags %u", flags);
    *device = fake_memory_device_address(host);
    return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *host)
{
    ENTER(CONTEXT);
    fake_memory_free(host);
    return CUDA_SUCCESS;
}

CUresult cuMemHostRegister_v2(void *host, size_t size, unsigned flags)
{
    ENTER_NUMBER(CONTEXT, (int) size);
    if (flags != (CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP) || size == 0)
        fake_misuse("cuMemHostRegister_v2: size %zu, flags %u", size, flags);
    fake_memory_register(host, size);
    return CUDA_SUCCESS;
}

CUresult cuMemHostUnregister(void *host)
{
    ENTER(CONTEXT);
    fake_memory_unregister(host);
    return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *device, size_t size)
{
    ENTER_NUMBER(CONTEXT, (int) size);
    if (size == 0)
        fake_misuse("cuMemAlloc_v2: no bytes");
    *device = fake_device_memory_alloc(size);
    return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr device)
{
    ENTER(CONTEXT);
    fake_device_memory_free(device);
    return CUDA_SUCCESS;
}

/* ---- Copies --------------------------------------------------------------------- */

static FakeCopy plain_copy(CUdeviceptr device, const void *host, size_t size, bool to_device)
{
    return (FakeCopy){
        .device = device,
        .host = (unsigned char *) host,
        .device_pitch = size,
        .host_pitch = size,
        .width = size,
        .height = 1,
        .to_device = to_device,
    };
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr device, const void *host, size_t size, CUstream stream)
{
    FakeCopy copy = plain_copy(device, host, size, true);

    ENTER_NUMBER(CONTEXT, (int) size);
    fake_stream_copy(stream, &copy, __func__);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoHAsync_v2(void *host, CUdeviceptr device, size_t size, CUstream stream)
{
    FakeCopy copy = plain_copy(device, host, size, false);

    ENTER_NUMBER(CONTEXT, (int) size);
    fake_stream_copy(stream, &copy, __func__);
    return CUDA_SUCCESS;
}

CUresult cuMemcpy2DAsync_v2(const CudaCopy2D *c, CUstream stream)
{
    bool in = c->src_type == CU_MEMORYTYPE_HOST;
    FakeCopy copy = {
        .device = in ? c->dst_device : c->src_device,
        .host = in ? (unsigned char *) c->src_host : c->dst_host,
        .device_pitch = in ? c->dst_pitch : c->src_pitch,
        .host_pitch = in ? c->src_pitch : c->dst_pitch,
        .width = c->width_bytes,
        .height = c->height,
        .to_device = in,
    };

    ENTER_NUMBER(CONTEXT, (int) c->height);
    if (c->src_type + c->dst_type != CU_MEMORYTYPE_HOST + CU_MEMORYTYPE_DEVICE ||
        c->src_type < CU_MEMORYTYPE_HOST || c->src_type > CU_MEMORYTYPE_DEVICE ||
        c->src_x_bytes != 0 || c->src_y != 0 || c->dst_x_bytes != 0 || c->dst_y != 0 ||
        c->src_array || c->dst_array)
        fake_misuse("cuMemcpy2DAsync_v2: types %d and %d", c->src_type, c->dst_type);
    fake_stream_copy(stream, &copy, __func__);
    return CUDA_SUCCESS;
}

/* ---- Modules -------------------------------------------------------------------- */

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    uint32_t magic;

    ENTER(CONTEXT);
    if (fake.module.loaded)
        fake_misuse("cuModuleLoadData: one module is enough");

    memcpy(&magic, image, sizeof(magic));
    fake.module = (struct CUmod_st){.loaded = true};
    if (magic != FATBIN_MAGIC) {
        if (!strstr(image, ".version") || !strstr(image, ".target")) {
            fake.module.loaded = false;
            return CUDA_ERROR_INVALID_IMAGE;
        }
        fake.module.ptx = strdup(image);
    }

    *module = &fake.module;
    return CUDA_SUCCESS;
}

static void check_module(CUmodule module, const char *function)
{
    if (module != &fake.module || !module->loaded)
        fake_misuse("%s: no module", function);
}

CUresult cuModuleUnload(CUmodule module)
{
    ENTER(CONTEXT);
    check_module(module, __func__);
    free(module->ptx);
    module->ptx = NULL;
    module->loaded = false;
    return CUDA_SUCCESS;
}

/* PTX must have the name. The fake can't look into a binary. */
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    const FakeKernel *kernel;

    ENTER(CONTEXT);
    check_module(module, __func__);
    kernel = fake_kernel_find(name);
    if (!kernel || (module->ptx && !strstr(module->ptx, name)))
        return CUDA_ERROR_NOT_FOUND;
    if (module->n_functions == sizeof(module->functions) / sizeof(module->functions[0]))
        fake_misuse("cuModuleGetFunction: asked for the same kernels again");

    module->functions[module->n_functions].kernel = kernel;
    *function = &module->functions[module->n_functions++];
    return CUDA_SUCCESS;
}

CUresult cuFuncLoad(CUfunction function);

CUresult cuFuncLoad(CUfunction function)
{
    ENTER(CONTEXT);
    if (function < fake.module.functions ||
        function >= fake.module.functions + fake.module.n_functions)
        fake_misuse("cuFuncLoad: no function");
    return CUDA_SUCCESS;
}

/* ---- Streams -------------------------------------------------------------------- */

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority)
{
    ENTER_NUMBER(CONTEXT, priority);
    if (flags != CU_STREAM_NON_BLOCKING || priority > LEAST_PRIORITY ||
        priority < GREATEST_PRIORITY)
        fake_misuse("cuStreamCreateWithPriority: flags %u, priority %d", flags, priority);
    *stream = fake_stream_new();
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    ENTER(CONTEXT);
    fake_stream_destroy(stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream)
{
    ENTER(CONTEXT);
    return fake_stream_wait(stream);
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void *user_data,
                             unsigned flags)
{
    ENTER(CONTEXT);
    if (flags != 0)
        fake_misuse("cuStreamAddCallback: flags %u", flags);
    fake_stream_callback(stream, callback, user_data);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                        CUstream stream, void **params, void **extra)
{
    FakeLaunch launch;
    CUresult fault = CUDA_SUCCESS;

    ENTER(CONTEXT);
    if (function < fake.module.functions ||
        function >= fake.module.functions + fake.module.n_functions || !fake.module.loaded)
        fake_misuse("cuLaunchKernel: no function");
    launch = (FakeLaunch){.kernel = function->kernel, .grid_x = grid_x, .grid_y = grid_y};
    if (grid_x == 0 || grid_x > INT32_MAX || grid_y == 0 || grid_y > 65535 || grid_z != 1 ||
        block_x == 0 || block_x > 1024 || block_y != 1 || block_z != 1 || shared_bytes != 0 ||
        !params || extra)
        fake_misuse("cuLaunchKernel: %u by %u by %u blocks", grid_x, grid_y, grid_z);

    switch (fake_kernel_kind(launch.kernel)) {
    case FAKE_REQUEST:
        if (grid_x != 1 || grid_y != 1)
            fake_misuse("cuLaunchKernel: the kernels of requests run in one block");
        memcpy(&launch.request.a, params[0], sizeof(launch.request.a));
        memcpy(&launch.request.b, params[1], sizeof(launch.request.b));
        memcpy(&launch.request.c, params[2], sizeof(launch.request.c));
        memcpy(&launch.request.n, params[3], sizeof(launch.request.n));
        memcpy(&launch.request.ret_ns, params[4], sizeof(launch.request.ret_ns));
        break;
    case FAKE_VECTOR:
        memcpy(&launch.vector, params[0], sizeof(launch.vector));
        break;
    case FAKE_MATMUL:
        memcpy(&launch.matmul, params[0], sizeof(launch.matmul));
        break;
    }
    if (fake_kernel_kind(launch.kernel) != FAKE_REQUEST && block_x != KERNEL_THREADS)
        fake_misuse("cuLaunchKernel: the kernels of windows have %u threads", KERNEL_THREADS);

    if (plan_item_is_due(&fake.plan.fault, "kernel"))
        fault = fake.plan.fault.result;
    fake_stream_launch(stream, &launch, fault, plan_item_is_due(&fake.plan.hang, "kernel"));
    return CUDA_SUCCESS;
}

CUresult fake_enter_blas(const char *function)
{
    return enter(function, CONTEXT, 0);
}

bool fake_has_blas(void)
{
    return fake.plan.blas;
}

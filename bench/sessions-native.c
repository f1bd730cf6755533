/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver itself, in this process */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cuda-session.h"
#include "measure.h"
#include "sessions.h"

static struct {
    CudaSessionDriver driver;
    CUstream stream;
    CUfunction function;
    CUdeviceptr memory;
    void *pinned;
    void *pageable;
    CUgraphExec replay;
    CUresult (*copy_up)(CUdeviceptr to, const void *from, size_t size);
    CUresult (*copy_down)(void *to, CUdeviceptr from, size_t size);
} native;

static void must(CUresult result, const char *what)
{
    if (result == CUDA_SUCCESS)
        return;
    fprintf(stderr, "native: %s: CUDA error %d\n", what, result);
    exit(EXIT_FAILURE);
}

static void native_begin(void)
{
    CUcontext context;
    CUdevice device;
    char reason[256];

    if (cuda_session_driver_open(&native.driver, reason, sizeof(reason)) < 0) {
        fprintf(stderr, "no CUDA: %s\n", reason);
        exit(77);
    }
    must(native.driver.base.init(0), "cuInit");
    must(native.driver.base.device_get(&device, 0), "cuDeviceGet");
    must(native.driver.base.primary_ctx_retain(&context, device), "cuDevicePrimaryCtxRetain");
    must(native.driver.base.ctx_set_current(context), "cuCtxSetCurrent");
}

static void native_launch(void)
{
    uint32_t n = 1;
    void *params[] = {&native.memory, &n};

    must(native.driver.base.launch_kernel(native.function, 1, 1, 1, 32, 1, 1, 0, native.stream,
                                          params, NULL),
         "cuLaunchKernel");
}

static void native_wait(void)
{
    must(native.driver.base.stream_synchronize(native.stream), "cuStreamSynchronize");
}

static void native_record_replay(void)
{
    CudaGraphInstantiate instantiate = {0};
    CUgraph graph;

    must(native.driver.stream_begin_capture(native.stream, 0), "cuStreamBeginCapture");
    for (unsigned i = 0; i < 3; i++)
        native_launch();
    must(native.driver.stream_end_capture(native.stream, &graph), "cuStreamEndCapture");
    must(native.driver.graph_instantiate(&native.replay, graph, &instantiate),
         "cuGraphInstantiateWithParams");
}

/* What all figures work with, made at the first one */
static void native_prepare(void)
{
    CUmodule module;

    if (native.function)
        return;
    *(void **) &native.copy_up = dlsym(native.driver.base.shared_object, "cuMemcpyHtoD_v2");
    *(void **) &native.copy_down = dlsym(native.driver.base.shared_object, "cuMemcpyDtoH_v2");
    if (!native.copy_up || !native.copy_down)
        die("no cuMemcpyHtoD");
    must(native.driver.base.stream_create_with_priority(&native.stream, CU_STREAM_NON_BLOCKING, 0),
         "cuStreamCreate");
    must(native.driver.base.module_load_data(&module, BENCH_KERNEL), "cuModuleLoadData");
    must(native.driver.base.module_get_function(&native.function, module, "nothing"),
         "cuModuleGetFunction");
    must(native.driver.base.mem_alloc(&native.memory, BENCH_BYTES), "cuMemAlloc");
    must(native.driver.base.mem_host_alloc(&native.pinned, BENCH_BYTES, 0), "cuMemHostAlloc");
    native.pageable = malloc(BENCH_BYTES);
    if (!native.pageable)
        die("memory");
    memset(native.pinned, 1, BENCH_BYTES);
    memset(native.pageable, 1, BENCH_BYTES);
    native_record_replay();
}

static double native_rate(double begin, double bytes)
{
    return bytes / (now_sec() - begin) / 1e9;
}

static double native_registered(Figure f)
{
    const CudaDriver *driver = &native.driver.base;
    void *own =
        mmap(NULL, BENCH_REGISTERED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    double begin, copied;

    if (own == MAP_FAILED)
        die("memory");
    memset(own, 1, BENCH_REGISTERED);
    begin = now_sec();
    must(driver->mem_host_register(own, BENCH_REGISTERED,
                                   CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP),
         "cuMemHostRegister");
    copied = now_sec();
    if (f == FIGURE_REGISTERED_UP)
        must(driver->memcpy_h_to_d_async(native.memory, own, BENCH_REGISTERED, native.stream),
             "cuMemcpyHtoDAsync");
    else if (f == FIGURE_REGISTERED_DOWN)
        must(driver->memcpy_d_to_h_async(own, native.memory, BENCH_REGISTERED, native.stream),
             "cuMemcpyDtoHAsync");
    native_wait();
    copied = now_sec() - copied;
    must(driver->mem_host_unregister(own), "cuMemHostUnregister");
    begin = now_sec() - begin;
    munmap(own, BENCH_REGISTERED);
    return f == FIGURE_REGISTER ? begin : copied;
}

static double native_figure(Figure f)
{
    const CudaDriver *driver = &native.driver.base;
    double begin, end;

    native_prepare();
    native_launch();
    native_wait();
    begin = now_sec();
    switch (f) {
    case FIGURE_LAUNCH_CALL:
        for (unsigned i = 0; i < BENCH_BURST; i++)
            native_launch();
        end = now_sec();
        native_wait();
        return (end - begin) * 1e9 / BENCH_BURST;
    case FIGURE_LAUNCH_RATE:
        for (unsigned i = 0; i < BENCH_ROW; i++)
            native_launch();
        native_wait();
        return BENCH_ROW / (now_sec() - begin) / 1e3;
    case FIGURE_LAUNCH_WAIT:
        for (unsigned i = 0; i < BENCH_WAITS; i++) {
            native_launch();
            native_wait();
        }
        return (now_sec() - begin) * 1e6 / BENCH_WAITS;
    case FIGURE_PINNED_UP:
        must(driver->memcpy_h_to_d_async(native.memory, native.pinned, BENCH_BYTES, native.stream),
             "cuMemcpyHtoDAsync");
        native_wait();
        return native_rate(begin, BENCH_BYTES);
    case FIGURE_PINNED_DOWN:
        must(driver->memcpy_d_to_h_async(native.pinned, native.memory, BENCH_BYTES, native.stream),
             "cuMemcpyDtoHAsync");
        native_wait();
        return native_rate(begin, BENCH_BYTES);
    case FIGURE_PAGEABLE_UP:
        must(native.copy_up(native.memory, native.pageable, BENCH_BYTES), "cuMemcpyHtoD");
        return native_rate(begin, BENCH_BYTES);
    case FIGURE_PAGEABLE_DOWN:
        must(native.copy_down(native.pageable, native.memory, BENCH_BYTES), "cuMemcpyDtoH");
        return native_rate(begin, BENCH_BYTES);
    case FIGURE_REGISTER:
        return native_registered(f) * 1e3;
    case FIGURE_REGISTERED_UP:
    case FIGURE_REGISTERED_DOWN:
        return (double) BENCH_REGISTERED / native_registered(f) / 1e9;
    case FIGURE_SMALL_UP:
        for (unsigned i = 0; i < BENCH_WAITS; i++)
            must(native.copy_up(native.memory, native.pageable, BENCH_SMALL), "cuMemcpyHtoD");
        return (now_sec() - begin) * 1e6 / BENCH_WAITS;
    case FIGURE_SMALL_DOWN:
        for (unsigned i = 0; i < BENCH_WAITS; i++)
            must(native.copy_down(native.pageable, native.memory, BENCH_SMALL), "cuMemcpyDtoH");
        return (now_sec() - begin) * 1e6 / BENCH_WAITS;
    case FIGURE_REPLAY_RATE:
        for (unsigned i = 0; i < BENCH_REPLAYS; i++)
            must(native.driver.graph_launch(native.replay, native.stream), "cuGraphLaunch");
        native_wait();
        return BENCH_REPLAYS / (now_sec() - begin) / 1e3;
    case N_FIGURES:
        break;
    }
    abort();
}

const Way way_native = {.name = "native", .begin = native_begin, .figure = native_figure};

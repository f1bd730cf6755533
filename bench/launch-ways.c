/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The same launch on a GPU in every way in which the executor of a session could make it, and with
 * what the executor does beside it: what is dear, and what is not. A long row of launches with its
 * end each time, the ways in turn, several times; printed are the medians for one launch.
 *
 * Exit status 77: no GPU
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "cuda-session.h"
#include "measure.h"
#include "sessions.h"

#define REPETITIONS 7u
#define LOCKS 4u
#define QUERY_EVERY 32u
#define BESIDE_NSEC 200u
/* Records come out of a ring, and lie far from each other. */
#define RING_BYTES (UINT64_C(1) << 20)
#define RECORD_BYTES 96u

static struct {
    CudaSessionDriver driver;
    CUcontext context;
    CUstream stream;
    CUfunction function;
    CUdeviceptr memory;
    pthread_mutex_t locks[LOCKS];
    unsigned char *ring;
    uint64_t head;
} bench;

static void must(CUresult result, const char *what)
{
    if (result == CUDA_SUCCESS)
        return;
    fprintf(stderr, "%s: CUDA error %d\n", what, result);
    exit(EXIT_FAILURE);
}

/* ---- The ways -------------------------------------------------------------------------------- */

static void launch_pointers(void)
{
    uint32_t n = 1;
    void *params[] = {&bench.memory, &n};

    must(bench.driver.base.launch_kernel(bench.function, 1, 1, 1, 32, 1, 1, 0, bench.stream, params,
                                         NULL),
         "cuLaunchKernel");
}

static void launch_packed(void)
{
    struct {
        CUdeviceptr memory;
        uint32_t n;
    } packed = {bench.memory, 1};
    size_t size = 12;
    void *extra[] = {(void *) 1, &packed, (void *) 2, &size, NULL};

    must(bench.driver.base.launch_kernel(bench.function, 1, 1, 1, 32, 1, 1, 0, bench.stream, NULL,
                                         extra),
         "cuLaunchKernel");
}

static void launch_ex(void)
{
    uint32_t n = 1;
    void *params[] = {&bench.memory, &n};
    const CUlaunchConfig config = {
        .grid_x = 1,
        .grid_y = 1,
        .grid_z = 1,
        .block_x = 32,
        .block_y = 1,
        .block_z = 1,
        .stream = bench.stream,
    };

    must(bench.driver.launch_kernel_ex(&config, bench.function, params, NULL), "cuLaunchKernelEx");
}

static void launch_with_locks(void)
{
    for (unsigned i = 0; i < LOCKS; i++) {
        pthread_mutex_lock(&bench.locks[i]);
        pthread_mutex_unlock(&bench.locks[i]);
    }
    launch_pointers();
}

static void launch_with_work(void)
{
    launch_pointers();
    for (uint64_t until = now_nsec() + BESIDE_NSEC; now_nsec() < until;)
        ;
}

static void launch_with_current(void)
{
    must(bench.driver.base.ctx_set_current(bench.context), "cuCtxSetCurrent");
    launch_pointers();
}

static void launch_with_query(void)
{
    static unsigned n;

    launch_pointers();
    if (++n % QUERY_EVERY == 0)
        (void) bench.driver.stream_query(bench.stream);
}

/* As from a ring that another processor has filled long ago */
static void launch_from_ring(void)
{
    unsigned char copy[RECORD_BYTES];

    memcpy(copy, bench.ring + bench.head % RING_BYTES, sizeof(copy));
    bench.head += 4096 + RECORD_BYTES;
    if (copy[0] != 1)
        die("not what was written");
    launch_pointers();
}

static const struct {
    const char *name;
    void (*launch)(void);
} ways[] = {
    {"cuLaunchKernel, kernelParams", launch_pointers},
    {"cuLaunchKernel, extra", launch_packed},
    {"cuLaunchKernelEx, kernelParams", launch_ex},
    {"... after four locks", launch_with_locks},
    {"... and 0.2 us of nothing", launch_with_work},
    {"... after cuCtxSetCurrent", launch_with_current},
    {"... and a cuStreamQuery for 32", launch_with_query},
    {"... from memory that is far", launch_from_ring},
    {"cuLaunchKernel, once more", launch_pointers},
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

/* ---- Measuring ------------------------------------------------------------------------------- */

static void begin(void)
{
    char reason[256];
    CUmodule module;
    CUdevice device;

    if (cuda_session_driver_open(&bench.driver, reason, sizeof(reason)) < 0) {
        printf("skipped: %s\n", reason);
        exit(77);
    }
    must(bench.driver.base.init(0), "cuInit");
    must(bench.driver.base.device_get(&device, 0), "cuDeviceGet");
    must(bench.driver.base.primary_ctx_retain(&bench.context, device), "cuDevicePrimaryCtxRetain");
    must(bench.driver.base.ctx_set_current(bench.context), "cuCtxSetCurrent");
    must(bench.driver.base.stream_create_with_priority(&bench.stream, CU_STREAM_NON_BLOCKING, 0),
         "cuStreamCreate");
    must(bench.driver.base.module_load_data(&module, BENCH_KERNEL), "cuModuleLoadData");
    must(bench.driver.base.module_get_function(&bench.function, module, "nothing"),
         "cuModuleGetFunction");
    must(bench.driver.base.mem_alloc(&bench.memory, 4096), "cuMemAlloc");
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&bench.locks[i], NULL);
    bench.ring = malloc(RING_BYTES + RECORD_BYTES);
    if (!bench.ring)
        die("memory");
    memset(bench.ring, 1, RING_BYTES + RECORD_BYTES);
}

static double row(void (*launch)(void))
{
    double start = now_sec();

    for (unsigned i = 0; i < BENCH_ROW; i++)
        launch();
    must(bench.driver.base.stream_synchronize(bench.stream), "cuStreamSynchronize");
    return (now_sec() - start) * 1e6 / BENCH_ROW;
}

int main(void)
{
    double usec[N_WAYS][REPETITIONS], first = 0;

    begin();
    for (unsigned w = 0; w < N_WAYS; w++)
        (void) row(ways[w].launch);
    for (unsigned i = 0; i < REPETITIONS; i++)
        for (unsigned w = 0; w < N_WAYS; w++)
            usec[w][i] = row(ways[w].launch);
    for (unsigned w = 0; w < N_WAYS; w++) {
        double m = median(usec[w], REPETITIONS);

        if (w == 0)
            first = m;
        printf("%-34s %6.3f us, %.3f\n", ways[w].name, m, m / first);
    }
    return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Launches in all their forms and what is refused of them at once, the linker, what is in modules
 * and libraries, and what programs ask of functions and devices. */
#include <string.h>
#include <unistd.h>

#include "cuda-api-streams.h"
#include "test-libcuda.h"

#define N 1000u
#define KERNELS "tests/fake-cuda/session-kernels.ptx"
#define EVENT_WITHOUT_TIME 0x2u

/* CUfunction_attribute */
enum { MAX_DYNAMIC_SHARED = 8, NON_PORTABLE_CLUSTERS = 14 };

typedef struct Fixture {
    CUcontext context;
    CUmodule module;
    CUfunction fill, nothing;
    CUstream stream;
    CUdeviceptr a;
} Fixture;

static Fixture fixture_open(void)
{
    Fixture f = {.context = libcuda_primary()};

    f.module = libcuda_load(KERNELS);
    CALL(cuModuleGetFunction(&f.fill, f.module, "fill"));
    CALL(cuModuleGetFunction(&f.nothing, f.module, "nothing"));
    CALL(cuStreamCreate(&f.stream, CU_STREAM_NON_BLOCKING));
    CALL(cuMemAlloc_v2(&f.a, N * sizeof(uint32_t)));
    return f;
}

static void fixture_close(const Fixture *f)
{
    CALL(cuMemFree_v2(f->a));
    CALL(cuStreamDestroy_v2(f->stream));
    CALL(cuModuleUnload(f->module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* All of the memory is @value, behind what is in the stream. */
static void assert_filled(const Fixture *f, uint32_t value)
{
    uint32_t back[N];

    CALL(cuStreamSynchronize(f->stream));
    CALL(cuMemcpyDtoH_v2(back, f->a, sizeof(back)));
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(back[i], value);
}

/* As the kernel has its parameters, and a compiler a struct of them */
typedef struct FillParameters {
    CUdeviceptr to;
    uint32_t value;
    uint64_t n;
    uint32_t more;
} FillParameters;

TEST(test_packed_parameters)
{
    Fixture f = fixture_open();
    FillParameters p = {f.a, 11, N, 0};
    size_t size = sizeof(p);
    void *extra[] = {(void *) 1, &p, (void *) 2, &size, NULL};
    void *each[] = {&p.to, &p.value, &p.n};

    CALL(cuLaunchKernel(f.fill, 4, 1, 1, 256, 1, 1, 0, f.stream, NULL, extra));
    assert_filled(&f, 11);
    size = 16;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLaunchKernel(f.fill, 4, 1, 1, 256, 1, 1, 0, f.stream, NULL, extra));
    size = sizeof(p);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLaunchKernel(f.fill, 4, 1, 1, 256, 1, 1, 0, f.stream, each, extra));
    extra[0] = (void *) 3;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLaunchKernel(f.fill, 4, 1, 1, 256, 1, 1, 0, f.stream, NULL, extra));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLaunchKernel(f.fill, 4, 1, 1, 256, 1, 1, 0, f.stream, NULL, NULL));
    CALL(cuLaunchKernel(f.nothing, 1, 1, 1, 1, 1, 1, 0, f.stream, NULL, NULL));
    CALL(cuStreamSynchronize(f.stream));
    fixture_close(&f);
}

TEST(test_launch_by_older_functions)
{
    Fixture f = fixture_open();
    CUfunction saxpy;
    CUdeviceptr y;
    float back[N], a = 3, x = 2;
    uint64_t n = N;

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLaunch(f.nothing)); /* no shape yet */
    CALL(cuFuncSetBlockShape(f.fill, 256, 1, 1));
    CALL(cuParamSetSize(f.fill, 24));
    CALL(cuParamSetv(f.fill, 0, &f.a, sizeof(f.a)));
    CALL(cuParamSeti(f.fill, 8, 17));
    CALL(cuParamSetv(f.fill, 16, &n, sizeof(n)));
    CALL(cuFuncSetSharedSize(f.fill, 64));
    CALL(cuLaunchGridAsync(f.fill, 4, 1, f.stream));
    assert_filled(&f, 17);
    CALL(cuParamSeti(f.fill, 8, 18));
    CALL(cuLaunchGrid(f.fill, 4, 1));
    CALL(cuCtxSynchronize());
    assert_filled(&f, 18);
    CALL(cuParamSetSize(f.fill, 12));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLaunchGrid(f.fill, 4, 1));
    CALL(cuParamSetSize(f.fill, 24));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLaunchGrid(f.fill, 0, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuFuncSetBlockShape(f.fill, 0, 1, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuParamSetSize(f.fill, 5000));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuParamSetv(f.fill, 4090, &n, sizeof(n)));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuParamSeti(f.fill, -4, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuFuncSetSharedSize(NULL, 1));
    CALL(cuFuncSetSharedSize(f.fill, 1 << 20));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLaunchGrid(f.fill, 4, 1));

    CALL(cuModuleGetFunction(&saxpy, f.module, "saxpy"));
    CALL(cuMemAlloc_v2(&y, sizeof(back)));
    CALL(cuMemsetD32_v2(y, 0, N));
    memcpy(&n, &x, sizeof(x));
    CALL(cuMemsetD32_v2(f.a, (unsigned) n, N));
    CALL(cuFuncSetBlockShape(saxpy, 256, 1, 1));
    CALL(cuParamSetSize(saxpy, 24));
    CALL(cuParamSeti(saxpy, 0, N));
    CALL(cuParamSetf(saxpy, 4, a));
    CALL(cuParamSetv(saxpy, 8, &f.a, 8));
    CALL(cuParamSetv(saxpy, 16, &y, 8));
    CALL(cuLaunchGrid(saxpy, 2, 1));
    CALL(cuLaunch(saxpy)); /* the first 256 once more */
    CALL(cuMemcpyDtoH_v2(back, y, sizeof(back)));
    assert_true(back[0] == 12.0f && back[256] == 6.0f && back[600] == 0.0f);
    CALL(cuMemFree_v2(y));
    fixture_close(&f);
}

/* What is wrong is said at once, and nothing is left for a later call. */
TEST(test_refused_at_once)
{
    Fixture f = fixture_open();
    uint32_t value = 1;
    uint64_t n = N;
    void *each[] = {&f.a, &value, &n}, *lacks[] = {&f.a, NULL, &n};
    CUfunction dead, reduce;
    CUcontext other;
    CUstream gone;
    CUmodule module;

#define LAUNCH(function, gx, bx, by, shared, stream, parameters) \
    cuLaunchKernel(function, gx, 1, 1, bx, by, 1, shared, stream, parameters, NULL)
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, LAUNCH(f.fill, 0, 1, 1, 0, f.stream, each));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, LAUNCH(f.fill, 1, 0, 1, 0, f.stream, each));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, LAUNCH(f.fill, 1, 1025, 1, 0, f.stream, each));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, LAUNCH(f.fill, 1, 64, 32, 0, f.stream, each));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, LAUNCH(f.fill, 1, 1, 1, 49153, f.stream, each));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLaunchKernel(f.fill, 1, 65536, 1, 1, 1, 1, 0, f.stream, each, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, LAUNCH(f.fill, 1, 1, 1, 0, f.stream, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, LAUNCH(f.fill, 1, 1, 1, 0, f.stream, lacks));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, LAUNCH(NULL, 1, 1, 1, 0, f.stream, each));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, LAUNCH((CUfunction) &f, 1, 1, 1, 0, f.stream, each));
    CALL(cuModuleGetFunction(&reduce, f.module, "reduce_sum"));
    CALL_FAILS(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, LAUNCH(reduce, 1, 512, 1, 0, f.stream, each));

    CALL(cuFuncSetAttribute(f.fill, MAX_DYNAMIC_SHARED, 100000));
    CALL(LAUNCH(f.fill, 4, 256, 1, 100000, f.stream, each));
    assert_filled(&f, 1);

    module = libcuda_load(KERNELS);
    CALL(cuModuleGetFunction(&dead, module, "nothing"));
    CALL(cuModuleUnload(module));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, LAUNCH(dead, 1, 1, 1, 0, f.stream, NULL));
    CALL(cuStreamCreate(&gone, 0));
    CALL(cuStreamDestroy_v2(gone));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, LAUNCH(f.nothing, 1, 1, 1, 0, gone, NULL));
    CALL(cuCtxCreate_v2(&other, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, LAUNCH(f.nothing, 1, 1, 1, 0, NULL, NULL));
    module = libcuda_load(KERNELS);
    CALL(cuModuleGetFunction(&dead, module, "nothing"));
    CALL(cuCtxDestroy_v2(other));
    CALL(cuCtxSetCurrent(f.context));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, LAUNCH(dead, 1, 1, 1, 0, f.stream, NULL));
    CALL_FAILS(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuModuleGetFunction(&dead, module, "fill"));
    CALL(cuCtxSynchronize());
    fixture_close(&f);
}

/* A function of a context that was reset is none of the one that is there now; a library is. */
TEST(test_context_that_came_again)
{
    static char image[65536];
    char path[4096];
    FILE *file;
    CUlibrary library;
    CUfunction before, after;
    CUkernel kernel;
    uint32_t value = 9;
    uint64_t n = N;
    Fixture f = fixture_open();
    void *each[] = {&f.a, &value, &n};

    snprintf(path, sizeof(path), "%s/" KERNELS, libcuda_sources);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_in_range(fread(image, 1, sizeof(image) - 1, file), 1, sizeof(image) - 2);
    fclose(file);
    CALL(cuLibraryLoadData(&library, image, NULL, NULL, 0, NULL, NULL, 0));
    CALL(cuLibraryGetKernel(&kernel, library, "fill"));
    CALL(cuKernelGetFunction(&before, kernel));
    CALL(cuLaunchKernel(before, 4, 1, 1, 256, 1, 1, 0, f.stream, each, NULL));
    assert_filled(&f, 9);
    CALL(cuDevicePrimaryCtxReset_v2(0));

    f = fixture_open();
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE,
               cuLaunchKernel(before, 4, 1, 1, 256, 1, 1, 0, f.stream, each, NULL));
    value = 10;
    CALL(cuKernelGetFunction(&after, kernel));
    CALL(cuLaunchKernel(after, 4, 1, 1, 256, 1, 1, 0, f.stream, each, NULL));
    assert_filled(&f, 10);
    value = 12;
    CALL(cuLaunchKernel((CUfunction) kernel, 4, 1, 1, 256, 1, 1, 0, f.stream, each, NULL));
    assert_filled(&f, 12);
    CALL(cuLibraryUnload(library));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuKernelGetFunction(&after, kernel));
    fixture_close(&f);
}

/* ---- Attributes --------------------------------------------------------------------------------
 */

static CUresult launch_with(const Fixture *f, uint32_t value, unsigned blocks,
                            LaunchAttribute *attributes, unsigned n)
{
    const LaunchConfig config = {
        .grid_x = blocks,
        .grid_y = 1,
        .grid_z = 1,
        .block_x = 256,
        .block_y = 1,
        .block_z = 1,
        .stream = f->stream,
        .attributes = attributes,
        .n_attributes = n,
    };
    CUdeviceptr to = f->a;
    uint64_t size = N;
    void *each[] = {&to, &value, &size};

    return cuLaunchKernelEx(&config, f->fill, each, NULL);
}

static CUresult launch_number(const Fixture *f, int id, int number)
{
    LaunchAttribute a = {.id = id};

    memcpy(a.value, &number, sizeof(number));
    return launch_with(f, 1, 4, &a, 1);
}

static CUresult launch_cluster(const Fixture *f, unsigned x, unsigned y, unsigned blocks)
{
    const unsigned dimension[3] = {x, y, 1};
    LaunchAttribute a = {.id = LAUNCH_CLUSTER_DIMENSION};

    memcpy(a.value, dimension, sizeof(dimension));
    return launch_with(f, 1, blocks, &a, 1);
}

TEST(test_launch_attributes)
{
    Fixture f = fixture_open();
    LaunchAttribute all[10] = {
        {.id = LAUNCH_IGNORE},
        {.id = LAUNCH_PROGRAMMATIC_SERIALIZATION, .value = {1}},
        {.id = LAUNCH_PRIORITY},
        {.id = LAUNCH_MEM_SYNC_DOMAIN, .value = {1}},
        {.id = LAUNCH_MEM_SYNC_DOMAIN_MAP, .value = {0, 1}},
        {.id = LAUNCH_ACCESS_POLICY_WINDOW},
        {.id = LAUNCH_COOPERATIVE},
        {.id = LAUNCH_SHARED_CARVEOUT, .value = {50}},
        {.id = LAUNCH_CLUSTER_SCHEDULING_POLICY},
        {.id = LAUNCH_CLUSTER_DIMENSION, .value = {2, 0, 0, 0, 1, 0, 0, 0, 1}}};

    CALL(launch_with(&f, 21, 4, all, 10));
    assert_filled(&f, 21);
    CALL(launch_with(&f, 22, 4, NULL, 0));
    assert_filled(&f, 22);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, launch_with(&f, 22, 4, NULL, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLaunchKernelEx(NULL, f.fill, NULL, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, launch_number(&f, LAUNCH_SYNCHRONIZATION_POLICY, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, launch_number(&f, LAUNCH_MEM_SYNC_DOMAIN, 2));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, launch_number(&f, LAUNCH_MEM_SYNC_DOMAIN_MAP, 9));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, launch_number(&f, LAUNCH_SHARED_CARVEOUT, 101));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, launch_number(&f, LAUNCH_CLUSTER_SCHEDULING_POLICY, 7));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, launch_number(&f, 99, 1));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, launch_number(&f, LAUNCH_DEVICE_UPDATABLE_NODE, 1));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, launch_number(&f, LAUNCH_NVLINK_SCHEDULING, 1));

    CALL(launch_cluster(&f, 4, 1, 4));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, launch_cluster(&f, 3, 1, 4));
    CALL_FAILS(CUDA_ERROR_INVALID_CLUSTER_SIZE, launch_cluster(&f, 0, 1, 4));
    CALL_FAILS(CUDA_ERROR_INVALID_CLUSTER_SIZE, launch_cluster(&f, 16, 1, 16));
    CALL(cuFuncSetAttribute(f.fill, NON_PORTABLE_CLUSTERS, 1));
    CALL(launch_cluster(&f, 16, 1, 16));
    CALL(cuCtxSynchronize());
    fixture_close(&f);
}

TEST(test_launch_events)
{
    Fixture f = fixture_open();
    LaunchAttribute a = {.id = LAUNCH_COMPLETION_EVENT};
    LaunchValue value = {0};
    CUevent event, timed;
    CUfunction busy;
    uint64_t nsec = 50000000;
    void *each[] = {&nsec};

    CALL(cuEventCreate(&event, EVENT_WITHOUT_TIME));
    CALL(cuEventCreate(&timed, 0));
    CALL(cuModuleGetFunction(&busy, f.module, "busy"));
    CALL(cuLaunchKernel(busy, 1, 1, 1, 1, 1, 1, 0, f.stream, each, NULL));
    value.event.event = event;
    memcpy(a.value, &value, sizeof(value));
    CALL(launch_with(&f, 31, 4, &a, 1));
    CALL_FAILS(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    CALL(cuEventSynchronize(event));
    a.id = LAUNCH_PROGRAMMATIC_EVENT;
    CALL(launch_with(&f, 32, 4, &a, 1));
    CALL(cuStreamWaitEvent(NULL, event, 0));
    CALL(cuStreamSynchronize(NULL));
    assert_filled(&f, 32);
    value.event.event = timed;
    memcpy(a.value, &value, sizeof(value));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, launch_with(&f, 1, 4, &a, 1));
    CALL(cuEventDestroy_v2(timed));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, launch_with(&f, 1, 4, &a, 1));
    CALL(cuEventDestroy_v2(event));
    fixture_close(&f);
}

TEST(test_cooperative)
{
    Fixture f = fixture_open();
    LaunchAttribute a = {.id = LAUNCH_COOPERATIVE, .value = {1}};
    uint32_t value = 41;
    uint64_t n = N;
    void *each[] = {&f.a, &value, &n};
    LaunchParams launches = {f.fill, 4, 1, 1, 256, 1, 1, 0, f.stream, each};
    int blocks;

    CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f.fill, 256, 0));
    assert_in_range(blocks, 1, 32);
    CALL(cuLaunchCooperativeKernel(f.fill, 4, 1, 1, 256, 1, 1, 0, f.stream, each));
    assert_filled(&f, 41);
    CALL_FAILS(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
               cuLaunchCooperativeKernel(f.fill, 4 * (unsigned) blocks + 1, 1, 1, 256, 1, 1, 0,
                                         f.stream, each));
    CALL(launch_with(&f, 42, 4 * (unsigned) blocks, &a, 1));
    assert_filled(&f, 42);
    CALL_FAILS(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
               launch_with(&f, 42, 4 * (unsigned) blocks + 1, &a, 1));

    value = 43;
    CALL(cuLaunchCooperativeKernelMultiDevice(&launches, 1, 0));
    assert_filled(&f, 43);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLaunchCooperativeKernelMultiDevice(&launches, 2, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLaunchCooperativeKernelMultiDevice(&launches, 1, 4));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLaunchCooperativeKernelMultiDevice(NULL, 1, 0));
    launches.stream = NULL;
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuLaunchCooperativeKernelMultiDevice(&launches, 1, 0));
    fixture_close(&f);
}

/* ---- Occupancy ---------------------------------------------------------------------------------
 */

static unsigned n_asked;

static size_t shared_of_block(int block_size)
{
    n_asked++;
    return (size_t) block_size * 100;
}

TEST(test_block_size)
{
    Fixture f = fixture_open();
    int grid, block, active, best = 0;

    CALL(cuOccupancyMaxPotentialBlockSize(&grid, &block, f.fill, NULL, 0, 0));
    CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor(&active, f.fill, block, 0));
    assert_int_equal(grid, 4 * active);
    assert_int_equal(active * block, 2048);
    CALL(cuOccupancyMaxPotentialBlockSize(&grid, &block, f.fill, NULL, 0, 100));
    assert_in_range(block, 1, 100);
    CALL(
        cuOccupancyMaxPotentialBlockSizeWithFlags(&grid, &block, f.fill, shared_of_block, 0, 0, 0));
    assert_in_range(n_asked, 1, 32);
    for (int size = 32; size <= 1024; size += 32) {
        CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor(&active, f.fill, size, size * 100));
        best = active * size > best ? active * size : best;
    }
    CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor(&active, f.fill, block, block * 100));
    assert_int_equal(active * block, best);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuOccupancyMaxPotentialBlockSize(NULL, &block, f.fill, NULL, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE,
               cuOccupancyMaxPotentialBlockSize(&grid, &block, NULL, NULL, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuOccupancyMaxActiveBlocksPerMultiprocessor(&active, f.fill, 0, 0));
    fixture_close(&f);
}

TEST(test_clusters)
{
    Fixture f = fixture_open();
    LaunchAttribute all[] = {{.id = LAUNCH_CLUSTER_DIMENSION, .value = {2, 0, 0, 0, 1, 0, 0, 0, 1}},
                             {.id = LAUNCH_PROGRAMMATIC_EVENT}};
    LaunchConfig config = {2, 1, 1, 256, 1, 1, 0, f.stream, all, 2};
    int blocks, clusters, size;

    CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f.fill, 256, 0));
    CALL(cuOccupancyMaxActiveClusters(&clusters, f.fill, &config));
    assert_int_equal(clusters, 4 * blocks / 2);
    CALL(cuOccupancyMaxPotentialClusterSize(&size, f.fill, &config));
    assert_int_equal(size, 8);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuOccupancyMaxActiveClusters(NULL, f.fill, &config));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuOccupancyMaxActiveClusters(&size, f.fill, NULL));
    config.attributes = NULL;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuOccupancyMaxActiveClusters(&size, f.fill, &config));
    all[0].value[0] = 16;
    config.attributes = all;
    CALL_FAILS(CUDA_ERROR_INVALID_CLUSTER_SIZE,
               cuOccupancyMaxActiveClusters(&size, f.fill, &config));
    fixture_close(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_parameters), cmocka_unit_test(test_launch_by_older_functions),
        cmocka_unit_test(test_refused_at_once),   cmocka_unit_test(test_context_that_came_again),
        cmocka_unit_test(test_launch_attributes), cmocka_unit_test(test_launch_events),
        cmocka_unit_test(test_cooperative),       cmocka_unit_test(test_block_size),
        cmocka_unit_test(test_clusters),
    };

    return libcuda_test_main(argc, argv, tests);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory in the order of streams, and its pools. */
#include <pthread.h>

#include "cuda-api-memory.h"
#include "test-libcuda-kernels.h"

#define N 4096u
#define SIZE (N * sizeof(uint32_t))

enum {
    MEMORY_POOLS_SUPPORTED = 115,
    POOL_HANDLE_TYPES = 119,
    HOST_NUMA_POOLS = 142,
    HOST_POOLS = 144,
    GRANULARITY_MINIMUM = 0,
    GRANULARITY_RECOMMENDED = 1,
};

static const PoolProps device_pool = {.type = ALLOCATION_PINNED,
                                      .location = {.type = LOCATION_DEVICE}};
static MemLocation here = {.type = LOCATION_DEVICE};
static CUcontext context;
static CUmodule module;

static uint64_t attribute(CUmemoryPool pool, int which)
{
    uint64_t value = UINT64_MAX;

    CALL(cuMemPoolGetAttribute(pool, which, &value));
    return value;
}

static int device_attribute(int which)
{
    int value = -1;

    CALL(cuDeviceGetAttribute(&value, which, 0));
    return value;
}

/* A runtime asks for these before it makes a context. */
TEST(test_before_a_context)
{
    const AllocationProp prop = {.type = ALLOCATION_PINNED, .location = {.type = LOCATION_DEVICE}};
    uint64_t threshold = 1 << 20;
    CUmemoryPool pool, again, own;
    size_t granularity = 0;
    CUdeviceptr a;

    CALL_FAILS(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetDefaultMemPool(&pool, 0));
    CALL(cuInit(0));
    assert_int_equal(device_attribute(MEMORY_POOLS_SUPPORTED), 1);
    assert_int_equal(device_attribute(POOL_HANDLE_TYPES), 0);
    assert_int_equal(device_attribute(HOST_NUMA_POOLS), 0);
    assert_int_equal(device_attribute(HOST_POOLS), 0);
    CALL(cuDeviceGetDefaultMemPool(&pool, 0));
    CALL(cuDeviceGetMemPool(&again, 0));
    assert_ptr_equal(pool, again);
    CALL(cuMemPoolSetAttribute(pool, POOL_RELEASE_THRESHOLD, &threshold));
    assert_int_equal(attribute(pool, POOL_RELEASE_THRESHOLD), threshold);
    threshold = 0;
    CALL(cuMemPoolSetAttribute(pool, POOL_RELEASE_THRESHOLD, &threshold));
    CALL(cuMemPoolCreate(&own, &device_pool));
    CALL(cuMemPoolTrimTo(own, 0));
    CALL(cuMemPoolDestroy(own));
    CALL(cuMemGetAllocationGranularity(&granularity, &prop, GRANULARITY_MINIMUM));
    assert_int_equal(granularity, 2 << 20);
    CALL(cuMemGetAllocationGranularity(&granularity, &prop, GRANULARITY_RECOMMENDED));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemGetAllocationGranularity(&granularity, &prop, 2));
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuMemAllocAsync(&a, SIZE, NULL));
}

TEST(test_wrong_devices_and_places)
{
    MemLocation wrong = {.type = LOCATION_DEVICE, .id = 1}, host = {.type = LOCATION_HOST};
    MemLocation none = {0}, node = {.type = LOCATION_HOST_NUMA};
    CUmemoryPool pool, again;

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetDefaultMemPool(NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetDefaultMemPool(&pool, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetMemPool(NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetMemPool(&pool, -1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceSetMemPool(0, NULL));
    CALL(cuDeviceGetDefaultMemPool(&pool, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceSetMemPool(1, pool));

    CALL(cuMemGetDefaultMemPool(&again, &here, ALLOCATION_PINNED));
    assert_ptr_equal(again, pool);
    CALL(cuMemGetMemPool(&again, &here, ALLOCATION_PINNED));
    assert_ptr_equal(again, pool);
    CALL(cuMemSetMemPool(&here, ALLOCATION_PINNED, pool));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuMemGetMemPool(&again, &wrong, ALLOCATION_PINNED));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemGetMemPool(&again, NULL, ALLOCATION_PINNED));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemGetMemPool(&again, &here, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemGetMemPool(&again, &none, ALLOCATION_PINNED));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemGetMemPool(&again, &none, ALLOCATION_MANAGED));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemGetMemPool(&again, &here, ALLOCATION_MANAGED));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemGetMemPool(&again, &host, ALLOCATION_PINNED));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemSetMemPool(&node, ALLOCATION_PINNED, pool));
}

TEST(test_wrong_pools)
{
    PoolProps props = device_pool;
    CUmemoryPool pool, standard;

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolCreate(NULL, &props));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolCreate(&pool, NULL));
    props.type = 0;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolCreate(&pool, &props));
    props = device_pool;
    props.location.id = 1;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolCreate(&pool, &props));
    props = device_pool;
    props.location.type = LOCATION_HOST;
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemPoolCreate(&pool, &props));
    props = device_pool;
    props.handle_types = HANDLE_TYPE_FD;
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemPoolCreate(&pool, &props));
    props = device_pool;
    props.reserved[53] = 1;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolCreate(&pool, &props));

    CALL(cuDeviceGetDefaultMemPool(&standard, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(standard));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(NULL));
    CALL(cuMemPoolCreate(&pool, &device_pool));
    CALL(cuMemPoolDestroy(pool));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(pool));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolTrimTo(pool, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceSetMemPool(0, pool));
}

TEST(test_attributes)
{
    uint64_t word = 1 << 20, value;
    int flag;
    CUmemoryPool pool;
    CUdeviceptr a;

    CALL(cuMemPoolCreate(&pool, &device_pool));
    for (int i = POOL_REUSE_FOLLOW_EVENT_DEPENDENCIES; i <= POOL_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
         i++) {
        int two[2] = {-1, 77};

        CALL(cuMemPoolGetAttribute(pool, i, two));
        assert_int_equal(two[0], 1);
        assert_int_equal(two[1], 77); /* an int, and no more */
        flag = 0;
        CALL(cuMemPoolSetAttribute(pool, i, &flag));
        CALL(cuMemPoolGetAttribute(pool, i, &flag));
        assert_int_equal(flag, 0);
    }
    CALL(cuMemAllocFromPoolAsync(&a, SIZE, pool, NULL));
    assert_true(attribute(pool, POOL_USED_MEM_CURRENT) >= SIZE);
    assert_true(attribute(pool, POOL_RESERVED_MEM_CURRENT) >= SIZE);
    assert_true(attribute(pool, POOL_USED_MEM_HIGH) >= SIZE);
    CALL(cuMemFreeAsync(a, NULL));
    CALL(cuCtxSynchronize());
    assert_int_equal(attribute(pool, POOL_USED_MEM_CURRENT), 0);
    value = 0;
    CALL(cuMemPoolSetAttribute(pool, POOL_USED_MEM_HIGH, &value));
    assert_int_equal(attribute(pool, POOL_USED_MEM_HIGH), 0);

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolSetAttribute(pool, POOL_USED_MEM_HIGH, &word));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolSetAttribute(pool, POOL_USED_MEM_CURRENT, &word));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolSetAttribute(pool, 0, &word));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolSetAttribute(pool, 9, &word));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolGetAttribute(pool, 9, &word));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolGetAttribute(pool, 4, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolGetAttribute(NULL, 4, &word));
    CALL(cuMemPoolDestroy(pool));
}

TEST(test_access)
{
    AccessDesc access = {.location = here, .flags = ACCESS_READ_WRITE};
    MemLocation wrong = {.type = LOCATION_DEVICE, .id = 1};
    CUmemoryPool pool;
    int flags = 0;

    CALL(cuDeviceGetDefaultMemPool(&pool, 0));
    CALL(cuMemPoolGetAccess(&flags, pool, &here));
    assert_int_equal(flags, ACCESS_READ_WRITE);
    CALL(cuMemPoolSetAccess(pool, &access, 1));
    access.flags = ACCESS_NONE;
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuMemPoolSetAccess(pool, &access, 1));
    access.flags = 2;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolSetAccess(pool, &access, 1));
    access = (AccessDesc){.location = wrong, .flags = ACCESS_READ_WRITE};
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolSetAccess(pool, &access, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolSetAccess(pool, NULL, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolGetAccess(&flags, pool, &wrong));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPoolGetAccess(NULL, pool, &here));
}

/* As a caching allocator uses it: many, in two streams, each freed behind what uses it */
TEST(test_in_the_order_of_streams)
{
    uint64_t all = UINT64_MAX;
    CUmemoryPool pool;
    CUstream streams[2];
    CUdeviceptr a[2], kept;

    CALL(cuDeviceGetDefaultMemPool(&pool, 0));
    CALL(cuMemPoolSetAttribute(pool, POOL_RELEASE_THRESHOLD, &all));
    for (int i = 0; i < 2; i++)
        CALL(cuStreamCreate(&streams[i], CU_STREAM_NON_BLOCKING));
    CALL(cuMemAlloc_v2(&kept, 100 * SIZE));
    for (uint32_t i = 0; i < 100; i++) {
        const int k = i % 2;

        CALL(cuMemAllocAsync(&a[k], SIZE, streams[k]));
        libcuda_fill(module, a[k], i, N, streams[k]);
        CALL(cuMemcpyDtoDAsync_v2(kept + i * SIZE, a[k], SIZE, streams[k]));
        CALL(cuMemFreeAsync(a[k], streams[k]));
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(a[k], streams[k]));
    }
    for (int i = 0; i < 2; i++)
        CALL(cuStreamSynchronize(streams[i]));
    for (uint32_t i = 0; i < 100; i++)
        libcuda_check(kept + i * SIZE, i, N);
    assert_int_equal(attribute(pool, POOL_USED_MEM_CURRENT), 0);
    assert_true(attribute(pool, POOL_RESERVED_MEM_CURRENT) > 0);
    CALL(cuMemPoolTrimTo(pool, 0));
    assert_int_equal(attribute(pool, POOL_RESERVED_MEM_CURRENT), 0);
    all = 0;
    CALL(cuMemPoolSetAttribute(pool, POOL_RELEASE_THRESHOLD, &all));
    CALL(cuMemFreeAsync(kept, streams[0]));
    for (int i = 0; i < 2; i++)
        CALL(cuStreamDestroy_v2(streams[i]));
}

/* ---- Several threads ---------------------------------------------------------------------------
 */

#define THREADS 4

/* Each allocates, fills, looks and frees, from the pool that all have. */
static void *use_pool(void *userdata)
{
    const uint32_t value = *(const uint32_t *) userdata;
    uint32_t words[N];
    CUdeviceptr a[2];
    CUresult r = cuCtxSetCurrent(context);

    for (unsigned i = 0; r == CUDA_SUCCESS && i < 50; i++) {
        for (unsigned k = 0; r == CUDA_SUCCESS && k < 2; k++)
            r = cuMemAllocAsync_ptsz(&a[k], SIZE, NULL);
        if (r == CUDA_SUCCESS)
            r = cuMemsetD32Async_ptsz(a[0], value, N, NULL);
        if (r == CUDA_SUCCESS)
            r = cuMemcpyDtoDAsync_v2_ptsz(a[1], a[0], SIZE, NULL);
        if (r == CUDA_SUCCESS)
            r = cuMemcpyDtoHAsync_v2_ptsz(words, a[1], SIZE, NULL);
        if (r == CUDA_SUCCESS)
            r = cuStreamSynchronize_ptsz(NULL);
        for (unsigned w = 0; r == CUDA_SUCCESS && w < N; w++)
            r = words[w] == value ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
        for (unsigned k = 0; r == CUDA_SUCCESS && k < 2; k++)
            r = cuMemFreeAsync_ptsz(a[k], NULL);
    }
    return (void *) (intptr_t) r;
}

TEST(test_threads)
{
    uint32_t values[THREADS];
    pthread_t threads[THREADS];
    CUmemoryPool pool;
    void *result;

    for (uint32_t i = 0; i < THREADS; i++) {
        values[i] = 100 + i;
        assert_int_equal(pthread_create(&threads[i], NULL, use_pool, &values[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        assert_int_equal((CUresult) (intptr_t) result, CUDA_SUCCESS);
    }
    CALL(cuCtxSynchronize());
    CALL(cuDeviceGetDefaultMemPool(&pool, 0));
    assert_int_equal(attribute(pool, POOL_USED_MEM_CURRENT), 0);
}

TEST(test_either_way_to_free)
{
    CUstream stream;
    CUdeviceptr a;

    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuMemAllocAsync(&a, SIZE, stream));
    libcuda_fill(module, a, 7, N, stream);
    CALL(cuStreamSynchronize(stream));
    libcuda_check(a, 7, N);
    CALL(cuMemFree_v2(a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(a, stream));
    CALL(cuMemFreeAsync(0, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAllocAsync(NULL, SIZE, stream));
    CALL(cuMemAllocAsync(&a, 0, stream));
    assert_int_equal(a, 0);
    CALL_FAILS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocAsync(&a, (size_t) 1 << 50, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAllocFromPoolAsync(&a, SIZE, NULL, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuMemAllocAsync(&a, SIZE, (CUstream) &stream));
    CALL(cuStreamDestroy_v2(stream));

    CALL(cuMemAllocAsync_ptsz(&a, SIZE, NULL));
    libcuda_fill(module, a, 8, N, CU_STREAM_PER_THREAD);
    CALL(cuStreamSynchronize(CU_STREAM_PER_THREAD));
    libcuda_check(a, 8, N);
    CALL(cuMemFreeAsync_ptsz(a, NULL));
}

/* The current pool is what allocations come from; what is alive outlives its pool. */
TEST(test_current_pool)
{
    CUmemoryPool pool, standard, found = NULL;
    CUdeviceptr a, b;

    CALL(cuDeviceGetDefaultMemPool(&standard, 0));
    CALL(cuMemPoolCreate(&pool, &device_pool));
    CALL(cuDeviceSetMemPool(0, pool));
    CALL(cuDeviceGetMemPool(&found, 0));
    assert_ptr_equal(found, pool);
    CALL(cuDeviceGetDefaultMemPool(&found, 0));
    assert_ptr_equal(found, standard);
    CALL(cuMemAllocAsync(&a, SIZE, NULL));
    assert_true(attribute(pool, POOL_USED_MEM_CURRENT) >= SIZE);
    CALL(cuPointerGetAttribute(&found, POINTER_MEMPOOL, a));
    assert_ptr_equal(found, pool);
    CALL(cuMemAllocFromPoolAsync_ptsz(&b, SIZE, standard, NULL));
    CALL(cuPointerGetAttribute(&found, POINTER_MEMPOOL, b));
    assert_ptr_equal(found, standard);

    CALL(cuMemPoolDestroy(pool));
    CALL(cuDeviceGetMemPool(&found, 0));
    assert_ptr_equal(found, standard);
    libcuda_fill(module, a, 9, N, NULL);
    libcuda_check(a, 9, N);
    CALL(cuMemFreeAsync(a, NULL));
    CALL(cuMemFreeAsync_ptsz(b, NULL));
    CALL(cuCtxSynchronize());
}

TEST(test_maximum)
{
    PoolProps props = device_pool;
    CUmemoryPool pool;
    CUdeviceptr a, b;

    props.max_size = 32 << 20;
    CALL(cuMemPoolCreate(&pool, &props));
    CALL(cuMemAllocFromPoolAsync(&a, 20 << 20, pool, NULL));
    CALL_FAILS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocFromPoolAsync(&b, 20 << 20, pool, NULL));
    CALL(cuMemFreeAsync(a, NULL));
    CALL(cuCtxSynchronize());
    CALL(cuMemPoolDestroy(pool));
}

TEST(test_ends_with_its_context)
{
    CUcontext own;
    CUdeviceptr a;
    unsigned type;

    CALL(cuCtxCreate_v2(&own, 0, 0));
    CALL(cuMemAllocAsync(&a, SIZE, NULL));
    CALL(cuCtxDestroy_v2(own));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute(&type, POINTER_MEMORY_TYPE, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(a, NULL));
}

static int begin(void **state)
{
    (void) state;
    context = libcuda_primary();
    module = libcuda_load("tests/fake-cuda/session-kernels.ptx");
    return 0;
}

static int end(void **state)
{
    (void) state;
    CALL(cuModuleUnload(module));
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_a_context),
        cmocka_unit_test(test_wrong_devices_and_places),
        cmocka_unit_test(test_wrong_pools),
        cmocka_unit_test_setup(test_attributes, begin),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_in_the_order_of_streams),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_either_way_to_free),
        cmocka_unit_test(test_current_pool),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test_teardown(test_ends_with_its_context, end),
    };

    return libcuda_test_main(argc, argv, tests);
}

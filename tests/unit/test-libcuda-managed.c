/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Managed memory: advice, prefetches, and what they leave behind. */
#include "cuda-api-memory.h"
#include "test-libcuda-kernels.h"

#define N 4096u
#define SIZE (N * sizeof(uint32_t))
#define PAGE 4096u

static const MemLocation here = {.type = LOCATION_DEVICE}, host = {.type = LOCATION_HOST};
static CUmodule module;

static int range_get(int attribute, CUdeviceptr address, size_t size)
{
    int value = 77;

    CALL(cuMemRangeGetAttribute(&value, sizeof(value), attribute, address, size));
    return value;
}

/* As the tutorial: the program writes, prefetches, launches, waits and reads. */
TEST(test_managed)
{
    CUdeviceptr a;
    uint32_t *words;

    CALL(cuMemAllocManaged(&a, SIZE, ATTACH_GLOBAL));
    words = (void *) (uintptr_t) a;
    for (unsigned i = 0; i < N; i++)
        words[i] = i;
    CALL(cuMemAdvise(a, SIZE, ADVISE_SET_PREFERRED_LOCATION, 0));
    CALL(cuMemPrefetchAsync(a, SIZE, 0, NULL));
    libcuda_fill(module, a, 51, N / 2, NULL);
    CALL(cuMemPrefetchAsync_v2_ptsz(a, SIZE, here, 0, NULL));
    assert_int_equal(range_get(RANGE_LAST_PREFETCH_LOCATION_TYPE, a, SIZE), LOCATION_DEVICE);
    CALL(cuMemPrefetchAsync_ptsz(a, SIZE, CU_DEVICE_CPU, NULL));
    CALL(cuCtxSynchronize());
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(words[i], i < N / 2 ? 51 : i);
    assert_int_equal(range_get(RANGE_LAST_PREFETCH_LOCATION, a, SIZE), CU_DEVICE_CPU);
    CALL(cuMemFree_v2(a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPrefetchAsync(a, SIZE, 0, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAllocManaged(&a, SIZE, ATTACH_SINGLE));
}

TEST(test_advice)
{
    int accessed[3], preferred = 77, one[1];
    void *data[] = {accessed, &preferred};
    size_t sizes[] = {sizeof(accessed), sizeof(preferred)};
    int attributes[] = {RANGE_ACCESSED_BY, RANGE_PREFERRED_LOCATION};
    MemLocation node = {.type = LOCATION_HOST_NUMA, .id = 3};
    CUdeviceptr a;

    CALL(cuMemAllocManaged(&a, 4 * PAGE, ATTACH_HOST));
    assert_int_equal(range_get(RANGE_READ_MOSTLY, a, 4 * PAGE), 0);
    assert_int_equal(range_get(RANGE_PREFERRED_LOCATION, a, 4 * PAGE), CU_DEVICE_INVALID);
    assert_int_equal(range_get(RANGE_PREFERRED_LOCATION_TYPE, a, 4 * PAGE), LOCATION_NONE);
    /* Of two pages: by their bytes, which are rounded */
    CALL(cuMemAdvise(a + 100, PAGE, ADVISE_SET_READ_MOSTLY, 55));
    assert_int_equal(range_get(RANGE_READ_MOSTLY, a, 2 * PAGE), 1);
    assert_int_equal(range_get(RANGE_READ_MOSTLY, a, 2 * PAGE + 1), 0);
    CALL(cuMemAdvise_v2(a, 1, ADVISE_UNSET_READ_MOSTLY, host));
    assert_int_equal(range_get(RANGE_READ_MOSTLY, a, 1), 0);
    assert_int_equal(range_get(RANGE_READ_MOSTLY, a + PAGE, 1), 1);

    CALL(cuMemAdvise_v2(a, 4 * PAGE, ADVISE_SET_PREFERRED_LOCATION, here));
    assert_int_equal(range_get(RANGE_PREFERRED_LOCATION, a, 4 * PAGE), 0);
    assert_int_equal(range_get(RANGE_PREFERRED_LOCATION_TYPE, a, 4 * PAGE), LOCATION_DEVICE);
    CALL(cuMemAdvise_v2(a, PAGE, ADVISE_SET_PREFERRED_LOCATION, node));
    assert_int_equal(range_get(RANGE_PREFERRED_LOCATION, a, 4 * PAGE), CU_DEVICE_INVALID);
    assert_int_equal(range_get(RANGE_PREFERRED_LOCATION, a, PAGE), CU_DEVICE_CPU);
    assert_int_equal(range_get(RANGE_PREFERRED_LOCATION_TYPE, a, PAGE), LOCATION_HOST_NUMA);
    assert_int_equal(range_get(RANGE_PREFERRED_LOCATION_ID, a, PAGE), 3);
    CALL(cuMemAdvise(a, PAGE, ADVISE_UNSET_PREFERRED_LOCATION, 0));

    CALL(cuMemAdvise(a, 4 * PAGE, ADVISE_SET_ACCESSED_BY, CU_DEVICE_CPU));
    CALL(cuMemAdvise(a, 4 * PAGE, ADVISE_SET_ACCESSED_BY, 0));
    CALL(cuMemRangeGetAttributes(data, sizes, attributes, 2, a, PAGE));
    assert_int_equal(accessed[0], 0);
    assert_int_equal(accessed[1], CU_DEVICE_CPU);
    assert_int_equal(accessed[2], CU_DEVICE_INVALID);
    assert_int_equal(preferred, CU_DEVICE_INVALID);
    CALL(cuMemAdvise(a, PAGE, ADVISE_UNSET_ACCESSED_BY, 0));
    CALL(cuMemRangeGetAttribute(one, sizeof(one), RANGE_ACCESSED_BY, a, 4 * PAGE));
    assert_int_equal(one[0], CU_DEVICE_CPU);

    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuMemAdvise(a, PAGE, ADVISE_SET_ACCESSED_BY, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAdvise_v2(a, PAGE, ADVISE_SET_ACCESSED_BY, node));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAdvise(a, PAGE, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAdvise(a, PAGE, 9, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAdvise(a, 0, ADVISE_SET_READ_MOSTLY, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAdvise(a, 5 * PAGE, ADVISE_SET_READ_MOSTLY, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemRangeGetAttribute(one, 8, RANGE_READ_MOSTLY, a, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemRangeGetAttribute(one, 0, RANGE_ACCESSED_BY, a, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemRangeGetAttribute(one, 4, 9, a, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemRangeGetAttribute(one, 4, 1, a, 5 * PAGE));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemRangeGetAttributes(data, sizes, attributes, 0, a, 1));
    CALL(cuMemFree_v2(a));
}

TEST(test_batches)
{
    MemLocation places[] = {here, host};
    size_t sizes[] = {PAGE, PAGE, PAGE}, indices[] = {0, 2}, wrong[] = {1, 2};
    CUdeviceptr a, pages[3];
    CUstream stream;
    uint32_t *words;

    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuMemAllocManaged(&a, 3 * PAGE, ATTACH_GLOBAL));
    words = (void *) (uintptr_t) a;
    words[0] = 4711;
    for (unsigned i = 0; i < 3; i++)
        pages[i] = a + i * PAGE;
    CALL(cuMemPrefetchBatchAsync(pages, sizes, 3, places, indices, 2, 0, stream));
    assert_int_equal(range_get(RANGE_LAST_PREFETCH_LOCATION, a, 2 * PAGE), 0);
    assert_int_equal(range_get(RANGE_LAST_PREFETCH_LOCATION, a + 2 * PAGE, PAGE), CU_DEVICE_CPU);
    assert_int_equal(words[0], 4711);
    CALL(cuMemDiscardBatchAsync_ptsz(pages, sizes, 3, 0, NULL));
    CALL(cuMemPrefetchBatchAsync_ptsz(pages, sizes, 3, places, indices, 1, 0, NULL));
    assert_int_equal(range_get(RANGE_LAST_PREFETCH_LOCATION, a, 3 * PAGE), 0);
    CALL(cuMemDiscardAndPrefetchBatchAsync_ptsz(pages, sizes, 3, places, indices, 2, 0, NULL));
    CALL(cuMemDiscardAndPrefetchBatchAsync(pages, sizes, 3, places + 1, indices, 1, 0, stream));
    assert_int_equal(range_get(RANGE_LAST_PREFETCH_LOCATION_TYPE, a, 3 * PAGE), LOCATION_HOST);

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemPrefetchBatchAsync(pages, sizes, 3, places, indices, 2, 0, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemPrefetchBatchAsync(pages, sizes, 3, places, indices, 2, 1, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemPrefetchBatchAsync(pages, sizes, 3, places, wrong, 2, 0, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemPrefetchBatchAsync(pages, sizes, 2, places, indices, 2, 0, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemDiscardBatchAsync(pages, sizes, 0, 0, stream));
    sizes[2] = 2 * PAGE;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemDiscardBatchAsync(pages, sizes, 3, 0, stream));

    CALL(cuStreamAttachMemAsync(stream, a, 0, ATTACH_SINGLE));
    CALL(cuStreamAttachMemAsync(NULL, a, 3 * PAGE, ATTACH_GLOBAL));
    CALL(cuStreamAttachMemAsync_ptsz(NULL, a, 0, ATTACH_SINGLE));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamAttachMemAsync(NULL, a, 0, ATTACH_SINGLE));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamAttachMemAsync(stream, a, PAGE, ATTACH_HOST));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamAttachMemAsync(stream, a, 0, 3));
    CALL(cuMemFree_v2(a));
    CALL(cuMemAlloc_v2(&a, PAGE));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamAttachMemAsync(stream, a, 0, ATTACH_GLOBAL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemPrefetchAsync_v2(a, PAGE, here, 0, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAdvise(a, PAGE, ADVISE_SET_READ_MOSTLY, 0));
    CALL(cuMemFree_v2(a));
    CALL(cuStreamDestroy_v2(stream));
}

/* A graph has no node for any of it. */
TEST(test_capture)
{
    CUdeviceptr a;
    CUstream stream;
    CUgraph graph;
    size_t size = SIZE;

    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuMemAllocManaged(&a, SIZE, ATTACH_GLOBAL));
    CALL(cuStreamBeginCapture_v2(stream, 2));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuMemPrefetchAsync(a, SIZE, 0, stream));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
               cuMemDiscardBatchAsync(&a, &size, 1, 0, stream));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
               cuStreamAttachMemAsync(stream, a, 0, ATTACH_GLOBAL));
    CALL(cuStreamEndCapture(stream, &graph));
    CALL(cuGraphDestroy(graph));
    CALL(cuMemFree_v2(a));
    CALL(cuStreamDestroy_v2(stream));
}

static int begin(void **state)
{
    (void) state;
    libcuda_primary();
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
        cmocka_unit_test_setup(test_managed, begin),
        cmocka_unit_test(test_advice),
        cmocka_unit_test(test_batches),
        cmocka_unit_test_teardown(test_capture, end),
    };

    return libcuda_test_main(argc, argv, tests);
}

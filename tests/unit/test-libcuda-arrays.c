/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays and mipmaps: what they are, and how long they live. */
#include <pthread.h>

#include "test-libcuda-arrays.h"

/* CUdevice_attribute */
enum { DEFERRED_MAPPING = 121 };

static const CudaArrayDescriptor one = {
    .width = 100, .format = CU_AD_FORMAT_UNSIGNED_INT32, .channels = 1};

/* ---- What they are -----------------------------------------------------------------------------
 */

TEST(test_descriptors)
{
    const FlatDescriptor flat = {64, 32, CU_AD_FORMAT_FLOAT, 4};
    FlatDescriptor flat_back;
    CudaArrayDescriptor whole = one, back;
    CUarray array, other;

    libcuda_primary();
    CALL(cuArrayCreate_v2(&array, &flat));
    CALL(cuArrayGetDescriptor_v2(&flat_back, array));
    assert_memory_equal(&flat, &flat_back, sizeof(flat));
    CALL(cuArray3DGetDescriptor_v2(&back, array));
    assert_int_equal(back.width, 64);
    assert_int_equal(back.depth, 0);
    assert_int_equal(back.flags, 0);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArrayGetDescriptor_v2(NULL, array));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArray3DGetDescriptor_v2(NULL, array));

    whole.depth = 6;
    whole.flags = CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST;
    CALL(cuArray3DCreate_v2(&other, &whole));
    CALL(cuArray3DGetDescriptor_v2(&back, other));
    assert_memory_equal(&whole, &back, sizeof(back));

    /* What only other kinds have */
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArrayGetPlane(&other, array, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArrayGetSparseProperties(&back, array));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuArrayGetMemoryRequirements(&(CudaArrayNeeds){0}, array, 0));

    CALL(cuArrayDestroy(other));
    CALL(cuArrayDestroy(array));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuArrayDestroy(array));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuArrayDestroy(NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuArrayGetDescriptor_v2(&flat_back, array));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuArrayGetPlane(&other, array, 0));
}

TEST(test_which_there_are)
{
    CudaArrayDescriptor d = one;
    CudaArrayNeeds needs = {0};
    int can_map = -1;
    CUarray array;

    libcuda_primary();
    CALL(cuDeviceGetAttribute(&can_map, DEFERRED_MAPPING, 0));
    assert_int_equal(can_map, 0);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArray3DCreate_v2(NULL, &d));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArray3DCreate_v2(&array, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArrayCreate_v2(&array, NULL));
    d.channels = 3;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArray3DCreate_v2(&array, &d));
    d = one;
    d.width = 0;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArray3DCreate_v2(&array, &d));
    d = one;
    d.flags = CUDA_ARRAY3D_SPARSE;
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuArray3DCreate_v2(&array, &d));
    d.flags = CUDA_ARRAY3D_DEFERRED_MAPPING;
    CALL(cuArray3DCreate_v2(&array, &d));
    CALL(cuArrayGetMemoryRequirements(&needs, array, 0));
    assert_in_range(needs.size, 400, 1 << 20);
    assert_int_not_equal(needs.alignment, 0);
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuArrayGetMemoryRequirements(&needs, array, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuArrayGetMemoryRequirements(NULL, array, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoA_v2(array, 0, &needs, 4));
    CALL(cuArrayDestroy(array));
    CALL(cuCtxSetCurrent(NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuArray3DCreate_v2(&array, &one));
}

TEST(test_mipmaps)
{
    const CudaArrayDescriptor d = {
        .width = 50, .height = 20, .format = CU_AD_FORMAT_UNSIGNED_INT32, .channels = 1};
    CudaArrayDescriptor deferred = d, back;
    uint32_t *numbers = numbered(50 * 20, 7);
    CUmipmappedArray mipmap;
    CudaArrayNeeds needs;
    CUarray level, again;

    libcuda_primary();
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMipmappedArrayCreate(&mipmap, NULL, 3));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMipmappedArrayCreate(NULL, &d, 3));
    CALL(cuMipmappedArrayCreate(&mipmap, &d, 100)); /* has 6: as many as it can have */
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMipmappedArrayGetLevel(&level, mipmap, 6));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMipmappedArrayGetLevel(NULL, mipmap, 0));
    for (unsigned i = 0; i < 6; i++) {
        size_t width = 50u >> i, height = 20u >> i > 0 ? 20u >> i : 1;

        CALL(cuMipmappedArrayGetLevel(&level, mipmap, i));
        CALL(cuMipmappedArrayGetLevel(&again, mipmap, i));
        assert_ptr_equal(level, again);
        CALL(cuArray3DGetDescriptor_v2(&back, level));
        assert_int_equal(back.width, width);
        assert_int_equal(back.height, height);
        assert_int_equal(back.depth, 0);
        to_array(level, numbers + i, width, height, 1);
    }
    for (unsigned i = 0; i < 6; i++) {
        CALL(cuMipmappedArrayGetLevel(&level, mipmap, i));
        array_is(level, numbers + i, 50u >> i, 20u >> i > 0 ? 20u >> i : 1, 1);
    }
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuArrayDestroy(level));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMipmappedArrayGetSparseProperties(&back, mipmap));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMipmappedArrayGetMemoryRequirements(&needs, mipmap, 0));
    CALL(cuMipmappedArrayDestroy(mipmap));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuArray3DGetDescriptor_v2(&back, level));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuMipmappedArrayGetLevel(&level, mipmap, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuMipmappedArrayDestroy(mipmap));

    deferred.flags = CUDA_ARRAY3D_DEFERRED_MAPPING;
    CALL(cuMipmappedArrayCreate(&mipmap, &deferred, 2));
    CALL(cuMipmappedArrayGetMemoryRequirements(&needs, mipmap, 0));
    assert_in_range(needs.size, 5000, 1 << 20);
    CALL(cuMipmappedArrayDestroy(mipmap));
    free(numbers);
}

/* Arrays end with their context, and their numbers are used again. */
TEST(test_end_of_a_context)
{
    CudaArrayDescriptor back;
    CUmipmappedArray mipmap;
    CUcontext context;
    CUarray array, level;

    libcuda_primary();
    for (unsigned round = 0; round < 5; round++) {
        CALL(cuCtxCreate_v2(&context, 0, 0));
        CALL(cuArray3DCreate_v2(&array, &one));
        CALL(cuMipmappedArrayCreate(&mipmap, &one, 2));
        CALL(cuMipmappedArrayGetLevel(&level, mipmap, 1));
        CALL(cuCtxDestroy_v2(context));
        CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuArray3DGetDescriptor_v2(&back, array));
        CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuArray3DGetDescriptor_v2(&back, level));
        CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuMipmappedArrayDestroy(mipmap));
    }

    /* Another context's is no array of this one. */
    CALL(cuArray3DCreate_v2(&array, &one));
    CALL(cuCtxCreate_v2(&context, 0, 0));
    CALL(cuArray3DGetDescriptor_v2(&back, array));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuMemcpyHtoA_v2(array, 0, &back, 4));
    CALL(cuArrayDestroy(array));
    CALL(cuCtxDestroy_v2(context));
}

/* ---- Captures and threads ----------------------------------------------------------------------
 */

/* A graph that copies into an array reads the pinned memory each time. */
TEST(test_capture)
{
    uint32_t back[100], *pinned;
    CUgraphExec exec;
    CUstream stream;
    CUgraph graph;
    CUarray array;

    libcuda_primary();
    array = new_array(100, 0, 0);
    CALL(cuMemAllocHost_v2((void **) &pinned, sizeof(back)));
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuStreamBeginCapture_v2(stream, 0));
    CALL(cuMemcpyHtoAAsync_v2(array, 0, pinned, sizeof(back), stream));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
               cuMemcpyHtoAAsync_v2(array, 0, back, sizeof(back), stream));
    CALL(cuStreamEndCapture(stream, &graph));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 100; i++)
            pinned[i] = 100 * round + i;
        CALL(cuGraphLaunch(exec, stream));
        CALL(cuStreamSynchronize(stream));
        array_is(array, pinned, 100, 1, 1);
    }
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
    CALL(cuArrayDestroy(array));
}

static void *use_arrays(void *context)
{
    uint32_t *numbers = numbered(1000, (uint32_t) (uintptr_t) &context);

    CALL(cuCtxSetCurrent(context));
    for (unsigned i = 0; i < 100; i++) {
        CUarray array = new_array(50, 20, 0);

        to_array(array, numbers, 50, 20, 1);
        array_is(array, numbers, 50, 20, 1);
        CALL(cuArrayDestroy(array));
    }
    free(numbers);
    return NULL;
}

TEST(test_threads)
{
    CUcontext context = libcuda_primary();
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_arrays, context), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors), cmocka_unit_test(test_which_there_are),
        cmocka_unit_test(test_mipmaps),     cmocka_unit_test(test_end_of_a_context),
        cmocka_unit_test(test_capture),     cmocka_unit_test(test_threads),
    };

    return libcuda_test_main(argc, argv, tests);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies in batches. */
#include "test-libcuda-arrays.h"

TEST(test_batch)
{
    const size_t size = 4000;
    uint32_t *numbers = numbered(1000, 9), back[1000];
    CopyAttributes attributes[] = {{.order = COPY_ORDER_STREAM},
                                   {.order = COPY_ORDER_DURING_CALL, .flags = 1}};
    size_t sizes[] = {size, size, size}, begins[] = {0, 2}, failed = 77;
    CUdeviceptr a, b, c, to[3], from[3];
    CUstream stream;

    libcuda_primary();
    CALL(cuMemAlloc_v2(&a, size));
    CALL(cuMemAlloc_v2(&b, size));
    CALL(cuMemAlloc_v2(&c, size));
    CALL(cuMemcpyHtoD_v2(a, numbers, size));
    CALL(cuCtxSynchronize());
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    memcpy(to, (CUdeviceptr[]){b, (uintptr_t) back, c}, sizeof(to));
    memcpy(from, (CUdeviceptr[]){a, a, (uintptr_t) numbers}, sizeof(from));
    CALL(cuMemcpyBatchAsync(to, from, sizes, 3, attributes, begins, 2, &failed, stream));
    assert_int_equal(failed, 77);
    assert_memory_equal(back, numbers, size);
    CALL(cuMemcpyDtoH_v2(back, b, size));
    assert_memory_equal(back, numbers, size);
    CALL(cuMemcpyDtoH_v2(back, c, size));
    assert_memory_equal(back, numbers, size);

    /* The other names of it */
    CALL(cuMemsetD8_v2(b, 0, size));
    CALL(cuCtxSynchronize());
    CALL(cuMemcpyBatchAsync_v2(to, from, sizes, 1, attributes, begins, 1, stream));
    CALL(cuStreamSynchronize(stream));
    CALL(cuMemcpyDtoH_v2(back, b, size));
    assert_memory_equal(back, numbers, size);
    CALL(cuMemsetD8_v2(b, 0, size));
    CALL(cuMemcpyBatchAsync_ptsz(to, from, sizes, 1, attributes, begins, 1, NULL, NULL));
    CALL(cuMemcpyBatchAsync_v2_ptsz(to + 1, from + 1, sizes, 1, attributes, begins, 1, NULL));
    CALL(cuMemcpyDtoH_v2(back, b, size));
    assert_memory_equal(back, numbers, size);

    /* One that is refused copies nothing. */
    CALL(cuMemsetD8_v2(b, 0, size));
    CALL(cuCtxSynchronize());
    sizes[2] = size + 1;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemcpyBatchAsync(to, from, sizes, 3, attributes, begins, 2, &failed, stream));
    assert_int_equal(failed, 2);
    sizes[2] = size;
    from[1] = 0;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemcpyBatchAsync(to, from, sizes, 3, attributes, begins, 2, &failed, stream));
    assert_int_equal(failed, 1);
    from[1] = a;
    CALL(cuStreamSynchronize(stream));
    CALL(cuMemcpyDtoH_v2(back, b, size));
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(back[i], 0);

#define BATCH_FAILS(to, from, sizes, n, attributes, begins, n_attributes, stream)           \
    do {                                                                                    \
        failed = 77;                                                                        \
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE,                                                \
                   cuMemcpyBatchAsync(to, from, sizes, n, attributes, begins, n_attributes, \
                                      &failed, stream));                                    \
        assert_true(failed == SIZE_MAX);                                                    \
    } while (0)
    BATCH_FAILS(NULL, from, sizes, 3, attributes, begins, 2, stream);
    BATCH_FAILS(to, NULL, sizes, 3, attributes, begins, 2, stream);
    BATCH_FAILS(to, from, NULL, 3, attributes, begins, 2, stream);
    BATCH_FAILS(to, from, sizes, 0, attributes, begins, 2, stream);
    BATCH_FAILS(to, from, sizes, 3, NULL, begins, 2, stream);
    BATCH_FAILS(to, from, sizes, 3, attributes, NULL, 2, stream);
    BATCH_FAILS(to, from, sizes, 3, attributes, begins, 0, stream);
    BATCH_FAILS(to, from, sizes, 1, attributes, begins, 2, stream);
    BATCH_FAILS(to, from, sizes, 3, attributes, begins, 2, NULL);
    begins[1] = 3;
    BATCH_FAILS(to, from, sizes, 3, attributes, begins, 2, stream);
    begins[1] = 0;
    BATCH_FAILS(to, from, sizes, 3, attributes, begins, 2, stream);
    begins[0] = 1;
    BATCH_FAILS(to, from, sizes, 3, attributes, begins, 1, stream);
    begins[0] = 0;
    attributes[0].order = 0;
    BATCH_FAILS(to, from, sizes, 3, attributes, begins, 1, stream);
    attributes[0] = (CopyAttributes){.order = COPY_ORDER_ANY, .flags = 2};
    BATCH_FAILS(to, from, sizes, 3, attributes, begins, 1, stream);
#undef BATCH_FAILS
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE,
               cuMemcpyBatchAsync_v2(to, from, sizes, 1, attributes, begins, 1,
                                     (CUstream) (uintptr_t) 0x5000));
    free(numbers);
}

static CopyOperand pointer(const void *memory, size_t row_length, size_t layer_height)
{
    CopyOperand o = {.type = 1};

    o.pointer.address = (uintptr_t) memory;
    o.pointer.row_length = row_length;
    o.pointer.layer_height = layer_height;
    return o;
}

static CopyOperand place(CUarray array, size_t x, size_t y, size_t z)
{
    CopyOperand o = {.type = 2};

    o.array.array = array;
    o.array.x = x;
    o.array.y = y;
    o.array.z = z;
    return o;
}

/* Up into a corner of an array, from there into another array, and down; in elements */
TEST(test_batch_of_boxes)
{
    uint32_t *numbers = numbered(20 * 10 * 3, 5), back[8 * 5 * 2];
    CUarray a, b, wide;
    CopyBatchBox up, over, down, boxes[3];
    size_t failed = 77;
    CUstream stream;

    libcuda_primary();
    a = new_array(16, 8, 4);
    b = new_array(16, 8, 4);
    CALL(cuArrayCreate_v2(&wide, &(const FlatDescriptor){16, 16, CU_AD_FORMAT_FLOAT, 2}));
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    up = (CopyBatchBox){.src = pointer(numbers, 20, 10),
                        .dst = place(a, 1, 2, 1),
                        .width = 8,
                        .height = 5,
                        .depth = 2,
                        .order = COPY_ORDER_STREAM};
    over = up;
    over.src = place(a, 1, 2, 1);
    over.dst = place(b, 8, 3, 2);
    down = up;
    down.src = place(b, 8, 3, 2);
    down.dst = pointer(back, 0, 0);
    down.order = COPY_ORDER_DURING_CALL;
    CALL(cuMemcpy3DBatchAsync(1, &up, &failed, 0, stream));
    CALL(cuMemcpy3DBatchAsync_v2(1, &over, 0, stream));
    CALL(cuMemcpy3DBatchAsync(1, &down, NULL, 0, stream));
    assert_int_equal(failed, 77);
    for (size_t i = 0; i < 8 * 5 * 2; i++)
        assert_int_equal(back[i], numbers[(i / 40 * 10 + i / 8 % 5) * 20 + i % 8]);

    /* Bytes, where there is no array */
    memset(back, 0, sizeof(back));
    CALL(cuMemcpy3DBatchAsync_ptsz(1,
                                   &(CopyBatchBox){.src = pointer(numbers, 80, 10),
                                                   .dst = pointer(back, 0, 0),
                                                   .width = 32,
                                                   .height = 5,
                                                   .depth = 2,
                                                   .order = COPY_ORDER_ANY},
                                   &failed, 0, NULL));
    for (size_t i = 0; i < 8 * 5 * 2; i++)
        assert_int_equal(back[i], numbers[(i / 40 * 10 + i / 8 % 5) * 20 + i % 8]);
    CALL(cuMemcpy3DBatchAsync_v2_ptsz(1, &up, 0, NULL));
    CALL(cuCtxSynchronize());

#define BOX_FAILS(result, which, change)                                        \
    do {                                                                        \
        boxes[0] = up;                                                          \
        boxes[1] = over;                                                        \
        boxes[2] = down;                                                        \
        change;                                                                 \
        failed = 77;                                                            \
        CALL_FAILS(result, cuMemcpy3DBatchAsync(3, boxes, &failed, 0, stream)); \
        assert_true(failed == (which));                                         \
    } while (0)
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 0, boxes[0].width = 0);
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 1, boxes[1].height = 0);
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 2, boxes[2].depth = 0);
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 1, boxes[1].dst = place(b, 9, 3, 2));
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 1, boxes[1].dst = place(b, SIZE_MAX, 3, 2));
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 1, boxes[1].dst = place(wide, 0, 0, 0));
    BOX_FAILS(CUDA_ERROR_INVALID_HANDLE, 2, boxes[2].src = place(NULL, 0, 0, 0));
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 0, boxes[0].src = pointer(numbers, 7, 10));
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 0, boxes[0].src = pointer(numbers, 20, 4));
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 0, boxes[0].src = pointer(NULL, 20, 10));
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 0, boxes[0].src.type = 3);
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 2, boxes[2].order = 4);
    BOX_FAILS(CUDA_ERROR_INVALID_VALUE, 2, boxes[2].flags = 2);
#undef BOX_FAILS
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy3DBatchAsync(0, boxes, &failed, 0, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy3DBatchAsync(1, NULL, &failed, 0, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy3DBatchAsync(1, &up, &failed, 1, stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy3DBatchAsync(1, &up, &failed, 0, NULL));
    assert_true(failed == SIZE_MAX);
    free(numbers);
}

/* A batch in a capture is copied by the graph; what has to be copied at once cannot be. */
TEST(test_capture)
{
    CopyAttributes attributes = {.order = COPY_ORDER_STREAM};
    size_t sizes[] = {400, 400}, begin = 0, failed = 77;
    uint32_t *pinned, *back;
    CUdeviceptr d, to[2], from[2];
    CUgraphExec exec;
    CUstream stream;
    CUgraph graph;

    libcuda_primary();
    CALL(cuMemAlloc_v2(&d, 800));
    CALL(cuMemAllocHost_v2((void **) &pinned, 800));
    CALL(cuMemAllocHost_v2((void **) &back, 800));
    memset(back, 0, 800);
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    for (size_t i = 0; i < 2; i++) {
        to[i] = d + 400 * i;
        from[i] = (uintptr_t) pinned + 400 * i;
    }
    CALL(cuStreamBeginCapture_v2(stream, 0));
    CALL(cuMemcpyBatchAsync(to, from, sizes, 2, &attributes, &begin, 1, &failed, stream));
    attributes.order = COPY_ORDER_DURING_CALL;
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
               cuMemcpyBatchAsync(to, from, sizes, 2, &attributes, &begin, 1, &failed, stream));
    assert_true(failed == SIZE_MAX);
    CALL(cuMemcpyDtoHAsync_v2(back, d, 800, stream));
    CALL(cuStreamEndCapture(stream, &graph));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    for (uint32_t i = 0; i < 200; i++)
        pinned[i] = i + 3;
    CALL(cuGraphLaunch(exec, stream));
    CALL(cuStreamSynchronize(stream));
    assert_memory_equal(back, pinned, 800);
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_batch_of_boxes),
        cmocka_unit_test(test_capture),
    };

    return libcuda_test_main(argc, argv, tests);
}

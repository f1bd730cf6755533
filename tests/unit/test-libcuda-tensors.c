/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tensor maps, and a kernel that loads by them. */
#include <stdalign.h>

#include "test-libcuda-arrays.h"

/* CUtensorMapDataType */
enum { TENSOR_UINT16 = 1, TENSOR_UINT32 = 2 };

enum { TILE_WIDTH = 32, TILE_HEIGHT = 8 };
enum { TENSOR_WIDTH = 100, TENSOR_HEIGHT = 50 };

static const cuuint64_t tensor_size[] = {TENSOR_WIDTH, TENSOR_HEIGHT};
static const cuuint64_t tensor_stride[] = {TENSOR_WIDTH * 4};
static const cuuint32_t tensor_box[] = {TILE_WIDTH, TILE_HEIGHT}, tensor_step[] = {1, 1};

static CUresult encode(void *map, CUdeviceptr address)
{
    return cuTensorMapEncodeTiled(map, TENSOR_UINT32, 2, (void *) address, tensor_size,
                                  tensor_stride, tensor_box, tensor_step, 0, 0, 0, 0);
}

static void tile_is(CUfunction load, void *map, int x, int y, const uint32_t *numbers)
{
    uint32_t tile[TILE_WIDTH * TILE_HEIGHT];
    CUdeviceptr to;
    void *parameters[] = {map, &x, &y, &to};

    CALL(cuMemAlloc_v2(&to, sizeof(tile)));
    CALL(cuLaunchKernel(load, 1, 1, 1, TILE_WIDTH, 1, 1, 0, NULL, parameters, NULL));
    CALL(cuMemcpyDtoH_v2(tile, to, sizeof(tile)));
    for (int i = 0; i < TILE_WIDTH * TILE_HEIGHT; i++) {
        int column = x + i % TILE_WIDTH, row = y + i / TILE_WIDTH;
        bool in = column >= 0 && column < TENSOR_WIDTH && row >= 0 && row < TENSOR_HEIGHT;

        assert_int_equal(tile[i], in ? numbers[row * TENSOR_WIDTH + column] : 0);
    }
    CALL(cuMemFree_v2(to));
}

TEST(test_tensor_maps)
{
    /* A multiple of 64 is enough, also where it is none of 128. */
    alignas(128) unsigned char room[4 * 128] = {0};
    unsigned char *map = room + 64, *again = room + 256;
    uint32_t *first = numbered(TENSOR_WIDTH * TENSOR_HEIGHT, 1);
    uint32_t *second = numbered(TENSOR_WIDTH * TENSOR_HEIGHT, 50000);
    const size_t size = TENSOR_WIDTH * TENSOR_HEIGHT * 4;
    CUdeviceptr a, b;
    CUfunction load;
    CUmodule module;

    libcuda_primary();
    module = libcuda_load("tests/fake-cuda/session-tensor.ptx");
    CALL(cuModuleGetFunction(&load, module, "load_tile"));
    CALL(cuMemAlloc_v2(&a, size));
    CALL(cuMemAlloc_v2(&b, size));
    CALL(cuMemcpyHtoD_v2(a, first, size));
    CALL(cuMemcpyHtoD_v2(b, second, size));
    CALL(encode(map, a));
    tile_is(load, map, 0, 0, first);
    tile_is(load, map, 16, 23, first);
    tile_is(load, map, TENSOR_WIDTH - 8, TENSOR_HEIGHT - 3, first);
    tile_is(load, map, -4, -2, first);
    for (unsigned i = 0; i < 1000; i++) /* as a program does for each launch */
        CALL(encode(again, a));
    assert_memory_equal(again, map, 128);
    CALL(encode(again, b));
    tile_is(load, again, 16, 23, second);
    CALL(cuTensorMapReplaceAddress(map, (void *) b));
    assert_memory_equal(again, map, 128);
    tile_is(load, map, 4, 4, second);
    CALL(encode(again, a));
    tile_is(load, again, 4, 4, first);

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTensorMapReplaceAddress(map, (void *) (b + 4)));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTensorMapReplaceAddress(NULL, (void *) b));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, encode(NULL, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, encode(room + 32, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, encode(again, a + 4));
    tile_is(load, again, 4, 4, first);
#define TILED_FAILS(type, rank, size, stride, box, step)                                         \
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,                                                         \
               cuTensorMapEncodeTiled(again, type, rank, (void *) a, size, stride, box, step, 0, \
                                      0, 0, 0))
    TILED_FAILS(TENSOR_UINT32, 0, tensor_size, tensor_stride, tensor_box, tensor_step);
    TILED_FAILS(TENSOR_UINT32, 6, tensor_size, tensor_stride, tensor_box, tensor_step);
    TILED_FAILS(TENSOR_UINT32, 2, NULL, tensor_stride, tensor_box, tensor_step);
    TILED_FAILS(TENSOR_UINT32, 2, tensor_size, NULL, tensor_box, tensor_step);
    TILED_FAILS(TENSOR_UINT32, 2, tensor_size, tensor_stride, NULL, tensor_step);
    TILED_FAILS(TENSOR_UINT32, 2, tensor_size, tensor_stride, tensor_box, NULL);
    TILED_FAILS(99, 2, tensor_size, tensor_stride, tensor_box, tensor_step);
#undef TILED_FAILS
    CALL(cuModuleUnload(module));
    free(first);
    free(second);
}

TEST(test_column_maps)
{
    static const cuuint64_t size[] = {64, 20, 10, 2}, stride[] = {128, 128 * 20, 128 * 200};
    static const cuuint32_t step[] = {1, 1, 1, 1};
    static const int corner[] = {-1, -1};
    alignas(64) unsigned char map[128] = {0}, empty[128] = {0};
    CUdeviceptr a;

    libcuda_primary();
    CALL(cuMemAlloc_v2(&a, 64 * 20 * 10 * 2 * 2));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuTensorMapEncodeIm2col(map, TENSOR_UINT16, 2, (void *) a, size, stride, corner,
                                       corner, 64, 32, step, 0, 0, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuTensorMapEncodeIm2col(map, TENSOR_UINT16, 4, (void *) a, size, stride, NULL,
                                       corner, 64, 32, step, 0, 0, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuTensorMapEncodeIm2col(map, TENSOR_UINT16, 4, (void *) a, size, stride, corner,
                                       corner, 257, 32, step, 0, 0, 0, 0));
    /* The fake driver is one of before CUDA 12.8. */
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED,
               cuTensorMapEncodeIm2colWide(map, TENSOR_UINT16, 4, (void *) a, size, stride, -1, -1,
                                           64, 32, step, 0, 0, 3, 0, 0));
    assert_memory_equal(map, empty, sizeof(map));
    CALL(cuTensorMapEncodeIm2col(map, TENSOR_UINT16, 4, (void *) a, size, stride, corner, corner,
                                 64, 32, step, 0, 0, 0, 0));
    assert_memory_not_equal(map, empty, sizeof(map));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensor_maps),
        cmocka_unit_test(test_column_maps),
    };

    return libcuda_test_main(argc, argv, tests);
}

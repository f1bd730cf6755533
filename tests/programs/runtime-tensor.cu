/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tile loaded by a tensor map, as libraries for Hopper do it: the map is made by the driver, and goes to the kernel
 * as a parameter.
 */
#include "../fake-cuda/session-tensor.cu"

#include <cuda.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>

#define WIDTH 100
#define HEIGHT 50

#define CALL(call)                                                                             \
    do {                                                                                       \
        int _r = (int) (call);                                                                 \
        if (_r != 0) {                                                                         \
            fprintf(stderr, "%s: %d\n", #call, _r);                                            \
            exit(EXIT_FAILURE);                                                                \
        }                                                                                      \
    } while (0)

typedef CUresult encode_tiled(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                              const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
                              CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static void check_tile(const CUtensorMap *map, int x, int y, uint32_t *on_device)
{
    uint32_t tile[TILE_HEIGHT][TILE_WIDTH];
    TensorMap bytes;

    static_assert(sizeof(bytes) == sizeof(*map), "a map has 128 bytes");
    memcpy(&bytes, map, sizeof(bytes));
    load_tile<<<1, TILE_WIDTH>>>(bytes, x, y, on_device);
    CALL(cudaDeviceSynchronize());
    CALL(cudaMemcpy(tile, on_device, sizeof(tile), cudaMemcpyDeviceToHost));
    for (int row = 0; row < TILE_HEIGHT; row++)
        for (int column = 0; column < TILE_WIDTH; column++) {
            bool in = x + column >= 0 && x + column < WIDTH && y + row >= 0 && y + row < HEIGHT;
            uint32_t wanted = in ? 1 + (y + row) * WIDTH + x + column : 0;

            if (tile[row][column] != wanted) {
                fprintf(stderr, "tile %d %d: %u, not %u\n", x, y, tile[row][column], wanted);
                exit(EXIT_FAILURE);
            }
        }
    printf("result tile-at-%d-%d right\n", x, y);
}

int main(void)
{
    static uint32_t numbers[WIDTH * HEIGHT];
    const cuuint64_t size[] = {WIDTH, HEIGHT}, stride[] = {WIDTH * sizeof(uint32_t)};
    const cuuint32_t box[] = {TILE_WIDTH, TILE_HEIGHT}, element_stride[] = {1, 1};
    cudaDriverEntryPointQueryResult found;
    uint32_t *on_device, *to;
    encode_tiled *encode;
    CUtensorMap map;
    int major;

    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess || major < 9) {
        printf("skip no device with tensor maps\n");
        return EXIT_SUCCESS;
    }
    CALL(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", (void **) &encode, 12000, cudaEnableDefault,
                                          &found));
    CALL(cudaMalloc(&on_device, sizeof(numbers)));
    CALL(cudaMalloc(&to, TILE_WIDTH * TILE_HEIGHT * sizeof(*to)));
    for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
        numbers[i] = i + 1;
    CALL(cudaMemcpy(on_device, numbers, sizeof(numbers), cudaMemcpyHostToDevice));
    CALL(encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT32, 2, on_device, size, stride, box, element_stride,
                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
    check_tile(&map, 0, 0, to);
    check_tile(&map, 16, 23, to); /* 16 bytes are the grain of where a tile begins */
    check_tile(&map, WIDTH - 8, HEIGHT - 3, to); /* what lies outside is 0 */
    check_tile(&map, -4, -2, to);
    return EXIT_SUCCESS;
}

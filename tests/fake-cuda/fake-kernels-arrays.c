/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernels of session-arrays.cu and session-tensor.cu in C. */
#include "fake-array.h"
#include "fake-memory.h"
#include "fake-module.h"
#include "fake-tensor.h"

#include <string.h>

enum { TILE_WIDTH = 32, TILE_HEIGHT = 8 };

static const void *parameter(const FakeLaunch *l, size_t index)
{
    return l->parameters + l->kernel->parameters[index].offset;
}

static uint64_t number(const FakeLaunch *l, size_t index)
{
    uint64_t n = 0;

    memcpy(&n, parameter(l, index), l->kernel->parameters[index].size);
    return n;
}

/* How many of @n the threads of one direction reach */
static size_t reached(const FakeLaunch *l, size_t direction, size_t n)
{
    size_t threads = (size_t) l->grid[direction] * l->block[direction];

    return n < threads ? n : threads;
}

static bool texture_of(const FakeLaunch *l, bool is_surface, FakeTexture *ret)
{
    return fake_texture_get(l->module->object.context, number(l, 0), is_surface, ret);
}

/* ---- Textures ------------------------------------------------------------------- */

/* Where in the four coordinates layer and level are; 4: nowhere */
static CUresult sample(const FakeLaunch *l, FakeSampling sampling, unsigned layer, unsigned level)
{
    size_t n = reached(l, 0, number(l, 3));
    FakeTexel *to = fake_reach(number(l, 2), n * sizeof(*to));
    const float(*at)[4] = fake_reach(number(l, 1), n * sizeof(*at));
    FakeTexture t;

    if (!at || !to || !texture_of(l, false, &t))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (size_t i = 0; i < n; i++)
        if (!fake_sample(&t, sampling, at[i], layer < 4 ? at[i][layer] : 0,
                         level < 4 ? at[i][level] : 0, &to[i]))
            return CUDA_ERROR_ILLEGAL_ADDRESS;
    return CUDA_SUCCESS;
}

#define SAMPLE(name, sampling, layer, level)               \
    static CUresult name(const FakeLaunch *l, uint64_t ns) \
    {                                                      \
        (void) ns;                                         \
        return sample(l, (sampling), (layer), (level));    \
    }

SAMPLE(sample_1d, FAKE_SAMPLE_1D, 4, 4)
SAMPLE(sample_2d, FAKE_SAMPLE_2D, 4, 4)
SAMPLE(sample_2d_integers, FAKE_SAMPLE_2D, 4, 4)
SAMPLE(sample_2d_level, FAKE_SAMPLE_2D, 4, 3)
SAMPLE(sample_3d, FAKE_SAMPLE_3D, 4, 4)
SAMPLE(sample_1d_layered, FAKE_SAMPLE_1D_LAYERED, 3, 4)
SAMPLE(sample_2d_layered, FAKE_SAMPLE_2D_LAYERED, 3, 4)
SAMPLE(sample_cubemap, FAKE_SAMPLE_CUBEMAP, 4, 4)
SAMPLE(sample_cubemap_layered, FAKE_SAMPLE_CUBEMAP_LAYERED, 3, 4)

static CUresult fetch_1d(const FakeLaunch *l, uint64_t ns)
{
    size_t n = reached(l, 0, number(l, 3));
    FakeTexel *to = fake_reach(number(l, 2), n * sizeof(*to));
    const float(*at)[4] = fake_reach(number(l, 1), n * sizeof(*at));
    FakeTexture t;

    (void) ns;
    if (!at || !to || !texture_of(l, false, &t))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (size_t i = 0; i < n; i++)
        if (!fake_fetch(&t, (int64_t) at[i][0], &to[i]))
            return CUDA_ERROR_ILLEGAL_ADDRESS;
    return CUDA_SUCCESS;
}

/* ---- Surfaces -------------------------------------------------------------------- */

/* Element x, y, z is its number: x + 1000 y + 1000000 z. */
static CUresult number_all(const FakeLaunch *l, size_t depth)
{
    size_t width = reached(l, 0, number(l, 1)), height = reached(l, 1, number(l, 2));
    FakeTexture t;

    if (!texture_of(l, true, &t))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (size_t z = 0; z < depth; z++)
        for (size_t y = 0; y < height; y++)
            for (size_t x = 0; x < width; x++) {
                uint32_t value = (uint32_t) (x + 1000 * y + 1000000 * z);
                unsigned char *at = fake_surface_at(&t, x * 4, y, z, 4);

                if (!at)
                    return CUDA_ERROR_ILLEGAL_ADDRESS;
                memcpy(at, &value, sizeof(value));
            }
    return CUDA_SUCCESS;
}

static CUresult number_surface(const FakeLaunch *l, uint64_t ns)
{
    (void) ns;
    return number_all(l, 1);
}

static CUresult number_volume(const FakeLaunch *l, uint64_t ns)
{
    (void) ns;
    return number_all(l, number(l, 3));
}

static CUresult copy_surface(const FakeLaunch *l, uint64_t ns)
{
    size_t width = reached(l, 0, number(l, 1)), height = reached(l, 1, number(l, 2));
    uint32_t *to = fake_reach(number(l, 3), width * height * sizeof(*to));
    FakeTexture t;

    (void) ns;
    if (!to || !texture_of(l, true, &t))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            const unsigned char *at = fake_surface_at(&t, x * 4, y, 0, 4);

            if (!at)
                return CUDA_ERROR_ILLEGAL_ADDRESS;
            memcpy(&to[y * width + x], at, sizeof(*to));
        }
    return CUDA_SUCCESS;
}

/* ---- Tensor maps ------------------------------------------------------------------- */

/* What lies outside of the tensor is 0. */
static CUresult load_tile(const FakeLaunch *l, uint64_t ns)
{
    int32_t at[2] = {(int32_t) number(l, 1), (int32_t) number(l, 2)};
    uint32_t *to = fake_reach(number(l, 3), TILE_WIDTH * TILE_HEIGHT * sizeof(*to));
    FakeTensorMap map;

    (void) ns;
    memcpy(&map, parameter(l, 0), sizeof(map));
    if (!to || map.magic != FAKE_TENSOR_MAGIC || map.is_im2col || map.rank != 2 ||
        fake_tensor_element(map.data_type) != 4 || map.box[0] != TILE_WIDTH ||
        map.box[1] != TILE_HEIGHT)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    if (at[0] % 4 != 0) /* a tile begins at a multiple of 16 bytes of its row, as seen on an H200 */
        return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    for (int32_t y = 0; y < TILE_HEIGHT; y++)
        for (int32_t x = 0; x < TILE_WIDTH; x++) {
            int64_t column = at[0] + x, row = at[1] + y;
            const uint32_t *from = NULL;

            if (column >= 0 && row >= 0 && (uint64_t) column < map.size[0] &&
                (uint64_t) row < map.size[1]) {
                from = fake_reach(
                    map.address + (uint64_t) row * map.stride[0] + (uint64_t) column * 4, 4);
                if (!from)
                    return CUDA_ERROR_ILLEGAL_ADDRESS;
            }
            to[y * TILE_WIDTH + x] = from ? *from : 0;
        }
    return CUDA_SUCCESS;
}

/* ---- The table ------------------------------------------------------------------------ */

static const FakeParameter of_sample[] = {{0, 8}, {8, 8}, {16, 8}, {24, 4}};
static const FakeParameter of_surface[] = {{0, 8}, {8, 4}, {12, 4}};
static const FakeParameter of_volume[] = {{0, 8}, {8, 4}, {12, 4}, {16, 4}};
static const FakeParameter of_copy[] = {{0, 8}, {8, 4}, {12, 4}, {16, 8}};
static const FakeParameter of_tile[] = {{0, 128}, {128, 4}, {132, 4}, {136, 8}};

#define KERNEL(function, takes)                                                                   \
    {                                                                                             \
        .name = #function, .parameters = takes, .n_parameters = sizeof(takes) / sizeof(takes[0]), \
        .registers = 16, .run = function                                                          \
    }

static const FakeKernel array_kernels[] = {
    KERNEL(sample_1d, of_sample),
    KERNEL(sample_2d, of_sample),
    KERNEL(sample_2d_integers, of_sample),
    KERNEL(sample_2d_level, of_sample),
    KERNEL(sample_3d, of_sample),
    KERNEL(sample_1d_layered, of_sample),
    KERNEL(sample_2d_layered, of_sample),
    KERNEL(sample_cubemap, of_sample),
    KERNEL(sample_cubemap_layered, of_sample),
    KERNEL(fetch_1d, of_sample),
    KERNEL(number_surface, of_surface),
    KERNEL(number_volume, of_volume),
    KERNEL(copy_surface, of_copy),
    KERNEL(load_tile, of_tile),
};

const FakeKernel *fake_array_kernel_find(const char *name)
{
    for (size_t i = 0; i < sizeof(array_kernels) / sizeof(array_kernels[0]); i++)
        if (strcmp(name, array_kernels[i].name) == 0)
            return &array_kernels[i];
    return NULL;
}

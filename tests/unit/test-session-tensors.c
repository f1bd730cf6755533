/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's tensor maps.
 *
 *   test-session-tensors fake    over the fake driver
 *   test-session-tensors gpu     over the host's own; skips without a GPU. What loads by a map
 *                                skips on devices older than compute capability 9.0
 */
#include "test-session-fixture.h"

#include <stdlib.h>

enum {
    UINT16 = 1,
    UINT32 = 2,
    TILE_WIDTH = 32,
    TILE_HEIGHT = 8,
    WIDTH = 100,
    HEIGHT = 50,
    MAP = VGPU_SESSION_TENSOR_MAP_SIZE,
    ATTRIBUTE_TENSOR_MAPS = 127,
};

static World w;
static unsigned char *map_at; /* in the window */

static bool begin(void)
{
    VGPUSessionDevice *device;

    world_begin(&w, NULL);
    map_at = world_window(&w, 4096);
    device = (VGPUSessionDevice *) world_window(&w, sizeof(*device));
    assert_ok(CALL(&w, DEVICE_INFO, .into = {world_offset(&w, device), sizeof(*device)}));
    if (device->attribute[ATTRIBUTE_TENSOR_MAPS].value)
        return true;
    world_end(&w);
    return false;
}

static uint32_t make(const VGPUSessionTensorMap *p)
{
    return world_call(&w, VGPU_SESSION_OP_TENSOR_MAP, p, sizeof(*p), NULL, 0);
}

/* A picture of numbers of 32 bits, and a tile of it */
static VGPUSessionTensorMap tiled(uint64_t address)
{
    return (VGPUSessionTensorMap){
        .into = {world_offset(&w, map_at), MAP},
        .kind = VGPU_TENSOR_MAP_TILED,
        .data_type = UINT32,
        .rank = 2,
        .address = address,
        .size = {WIDTH, HEIGHT},
        .stride = {WIDTH * 4},
        .box = {TILE_WIDTH, TILE_HEIGHT},
        .element_stride = {1, 1},
    };
}

/* Batches of pictures with 64 channels */
static VGPUSessionTensorMap im2col(uint64_t address)
{
    return (VGPUSessionTensorMap){
        .into = {world_offset(&w, map_at), MAP},
        .kind = VGPU_TENSOR_MAP_IM2COL,
        .data_type = UINT16,
        .rank = 4,
        .address = address,
        .size = {64, 20, 10, 2},
        .stride = {128, 128 * 20, 128 * 200},
        .element_stride = {1, 1, 1, 1},
        .lower = {-1, -1},
        .upper = {-1, -1},
        .channels = 64,
        .pixels = 32,
    };
}

/* ---- A kernel loads by it ------------------------------------------------------------------- */

static const VGPUSessionFunction *load_tile;

static void tile_is(uint64_t to, int32_t x, int32_t y)
{
    /* The first parameter is at a multiple of 64 in the device's memory of parameters, which is
     * none in what is packed. */
    unsigned char parameters[256] = {0};
    const VGPUSessionLaunch p = {
        .function = 1,
        .grid = {1, 1, 1},
        .block = {TILE_WIDTH, 1, 1},
        .parameters_size = load_tile->parameters_size,
    };
    uint32_t tile[TILE_HEIGHT][TILE_WIDTH];

    assert_int_equal(load_tile->n_parameters, 4);
    assert_in_range(load_tile->parameters_size, MAP + 16, sizeof(parameters));
    memcpy(parameters + load_tile->parameter[0].offset, map_at, MAP);
    memcpy(parameters + load_tile->parameter[1].offset, &x, sizeof(x));
    memcpy(parameters + load_tile->parameter[2].offset, &y, sizeof(y));
    memcpy(parameters + load_tile->parameter[3].offset, &to, sizeof(to));
    assert_ok(world_call(&w, VGPU_SESSION_OP_LAUNCH, &p, sizeof(p), parameters,
                         load_tile->parameters_size));
    world_read(&w, to, tile, sizeof(tile));
    for (int32_t row = 0; row < TILE_HEIGHT; row++)
        for (int32_t column = 0; column < TILE_WIDTH; column++) {
            bool in = x + column >= 0 && x + column < WIDTH && y + row >= 0 && y + row < HEIGHT;
            uint32_t number = (uint32_t) (1 + (y + row) * WIDTH + x + column);

            assert_int_equal(tile[row][column], in ? number : 0);
        }
}

TEST(test_load)
{
    static uint32_t numbers[WIDTH * HEIGHT];
    VGPUSessionTensorMap p;
    uint64_t a, to;

    if (!begin())
        skip();
    world_load_module(&w, 1, "VGPU_SESSION_TENSOR");
    load_tile = world_function(&w, 1, 1, "load_tile");
    a = world_alloc(&w, sizeof(numbers));
    to = world_alloc(&w, TILE_WIDTH * TILE_HEIGHT * 4);
    for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
        numbers[i] = i + 1;
    world_write(&w, a, numbers, sizeof(numbers));
    p = tiled(a);
    assert_ok(make(&p));
    tile_is(to, 0, 0);
    tile_is(to, 16, 23);
    tile_is(to, WIDTH - 8, HEIGHT - 3); /* what lies outside is 0 */
    tile_is(to, -4, -2);
    world_end(&w);
}

/* The same tile of another picture, by the same map with another address */
TEST(test_replace)
{
    static uint32_t numbers[WIDTH * HEIGHT];
    VGPUSessionTensorMap p, replace;
    uint64_t a, b, to;

    if (!begin())
        skip();
    world_load_module(&w, 1, "VGPU_SESSION_TENSOR");
    load_tile = world_function(&w, 1, 1, "load_tile");
    a = world_alloc(&w, sizeof(numbers));
    b = world_alloc(&w, sizeof(numbers));
    to = world_alloc(&w, TILE_WIDTH * TILE_HEIGHT * 4);
    world_write(&w, a, numbers, sizeof(numbers));
    for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
        numbers[i] = i + 1;
    world_write(&w, b, numbers, sizeof(numbers));
    p = tiled(a);
    assert_ok(make(&p));
    replace = (VGPUSessionTensorMap){
        .into = p.into,
        .kind = VGPU_TENSOR_MAP_REPLACE,
        .address = b,
    };
    assert_ok(make(&replace));
    tile_is(to, 16, 23);
    replace.address = b + 8;
    assert_fails(make(&replace), CUDA_ERROR_INVALID_VALUE);
    tile_is(to, 0, 0); /* it is as it was */
    replace.into.size = MAP - 1;
    assert_fails(make(&replace), CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

/* ---- What there may be ---------------------------------------------------------------------- */

/* The guest gets the bytes of a map and no others, and none after an error. */
TEST(test_bytes)
{
    VGPUSessionTensorMap p;
    uint64_t a;

    if (!begin())
        skip();
    a = world_alloc(&w, MIB);
    p = tiled(a);
    memset(map_at, 0x5a, 4096);
    p.data_type = 16;
    assert_fails(make(&p), CUDA_ERROR_INVALID_VALUE);
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(map_at[i], 0x5a);
    p = tiled(a);
    p.into.size = 4096;
    p.into.offset += 8; /* need not be aligned */
    assert_ok(make(&p));
    assert_memory_not_equal(map_at + 8, map_at + 8 + MAP, MAP);
    assert_int_equal(map_at[7], 0x5a);
    for (size_t i = 8 + MAP; i < 4096; i++)
        assert_int_equal(map_at[i], 0x5a);

    p.into = (VGPUSessionBytes){world_offset(&w, map_at), MAP - 1};
    assert_fails(make(&p), CUDA_ERROR_INVALID_VALUE);
    p.into = (VGPUSessionBytes){w.g.window_size - MAP + 1, MAP};
    assert_fails(make(&p), CUDA_ERROR_INVALID_VALUE);
    p.into = (VGPUSessionBytes){UINT64_MAX, MAP};
    assert_fails(make(&p), CUDA_ERROR_INVALID_VALUE);
    p.into = (VGPUSessionBytes){0, UINT64_MAX};
    assert_fails(make(&p), CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

TEST(test_kinds)
{
    VGPUSessionTensorMap p;
    uint64_t a;
    uint32_t result;

    if (!begin())
        skip();
    a = world_alloc(&w, MIB);
    p = im2col(a);
    assert_ok(make(&p));
    for (uint32_t rank = 1; rank <= 5; rank++) {
        p = tiled(a);
        p.rank = rank;
        for (uint32_t i = 0; i < 5; i++) {
            p.size[i] = 32;
            p.stride[i] = UINT64_C(128) << 5 * i;
            p.box[i] = 4;
            p.element_stride[i] = 1;
        }
        assert_ok(make(&p));
    }
    /* A map may be of more than is allocated: what it loads, the device checks. */
    p = tiled(a);
    p.size[1] = 1 << 20;
    assert_ok(make(&p));
    /* Only newer drivers know the third kind, and only newer devices. */
    p = im2col(a);
    p.kind = VGPU_TENSOR_MAP_IM2COL_WIDE;
    result = make(&p);
    if (!world_is_gpu())
        assert_fails(result, CUDA_ERROR_NOT_SUPPORTED);
    else
        assert_true(result == CUDA_SUCCESS || result == CUDA_ERROR_NOT_SUPPORTED ||
                    result == CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

TEST(test_bad_maps)
{
    VGPUSessionTensorMap p;
    uint64_t a;

    if (!begin())
        skip();
    a = world_alloc(&w, MIB);
#define BAD(of, ...)                                      \
    do {                                                  \
        p = of(a);                                        \
        __VA_ARGS__;                                      \
        assert_fails(make(&p), CUDA_ERROR_INVALID_VALUE); \
    } while (0)
    BAD(tiled, p.kind = 4);
    BAD(tiled, p.kind = UINT32_MAX);
    BAD(tiled, p.rank = 0);
    BAD(tiled, p.rank = 6);
    BAD(tiled, p.rank = UINT32_MAX);
    BAD(im2col, p.rank = 2);
    BAD(im2col, p.rank = 6);
    BAD(tiled, p.data_type = UINT32_MAX);
    BAD(tiled, p.interleave = 3);
    BAD(tiled, p.swizzle = 7);
    BAD(tiled, p.l2_promotion = 4);
    BAD(tiled, p.oob_fill = 2);
    BAD(tiled, p.wide_mode = 2);
    /* and what the driver itself refuses */
    BAD(tiled, p.address += 8);
    BAD(tiled, p.size[1] = 0);
    BAD(tiled, p.stride[0] += 8);
    BAD(tiled, p.box[0] = 257);
    BAD(tiled, p.box[1] = 0);
    BAD(tiled, p.box[0] = 3);
    BAD(tiled, p.element_stride[1] = 9);
    BAD(tiled, p.oob_fill = 1); /* no floats */
    BAD(im2col, p.channels = 257);
    BAD(im2col, p.pixels = 1025);
    BAD(im2col, p.lower[0] = -129);
#undef BAD
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),  cmocka_unit_test(test_replace),  cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_bad_maps),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

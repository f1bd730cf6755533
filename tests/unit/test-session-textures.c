/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's textures and surfaces, used by kernels, and wrong by one.
 *
 *   test-session-textures fake    over the fake driver
 *   test-session-textures gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <math.h>
#include <stdlib.h>

enum {
    FLOAT = CU_AD_FORMAT_FLOAT,
    WRAP = CU_TR_ADDRESS_MODE_WRAP,
    CLAMP = CU_TR_ADDRESS_MODE_CLAMP,
    MIRROR = CU_TR_ADDRESS_MODE_MIRROR,
    BORDER = CU_TR_ADDRESS_MODE_BORDER,
    POINT = CU_TR_FILTER_MODE_POINT,
    LINEAR = CU_TR_FILTER_MODE_LINEAR,
    NORMALIZED = CU_TRSF_NORMALIZED_COORDINATES,
    INTEGERS = CU_TRSF_READ_AS_INTEGER,
    PLACES = 16,
};

typedef struct Place {
    float x, y, z, w;
} Place;

typedef union Texel {
    float f[4];
    uint32_t i[4];
} Texel;

static World w;
static uint64_t places, texels; /* in the device's memory */
static uint32_t n_functions;

static void begin(const WorldLimits *limits)
{
    world_begin(&w, limits);
    n_functions = 0;
    world_load_module(&w, 1, "VGPU_SESSION_ARRAYS");
    places = world_alloc(&w, PLACES * sizeof(Place));
    texels = world_alloc(&w, PLACES * sizeof(Texel));
}

static uint64_t create(const VGPUSessionTexture *p)
{
    assert_ok(world_call(&w, VGPU_SESSION_OP_TEXTURE_CREATE, p, sizeof(*p), NULL, 0));
    assert_int_not_equal(w.value[0], 0);
    return w.value[0];
}

static uint32_t try_surface(const VGPUSessionTexture *p)
{
    return world_call(&w, VGPU_SESSION_OP_SURFACE_CREATE, p, sizeof(*p), NULL, 0);
}

static void launch(const char *kernel, const void *parameters, uint32_t size, uint32_t blocks_y)
{
    const uint64_t heap = w.g.heap;
    const VGPUSessionLaunch p = {
        .function = ++n_functions,
        .grid = {8, blocks_y, 1},
        .block = {32, 1, 1},
        .parameters_size = size,
    };

    (void) world_function(&w, 1, n_functions, kernel);
    assert_ok(world_call(&w, VGPU_SESSION_OP_LAUNCH, &p, sizeof(p), parameters, size));
    world_settle(&w, 0);
    w.g.heap = heap;
}

static void sample(const char *kernel, uint64_t texture, const Place *at, uint32_t n, Texel *ret)
{
    const uint64_t heap = w.g.heap;
    const struct {
        uint64_t texture, at, to;
        uint64_t n;
    } parameters = {texture, places, texels, n};

    world_write(&w, places, at, n * sizeof(*at));
    launch(kernel, &parameters, 28, 1);
    world_read(&w, texels, ret, n * sizeof(*ret));
    w.g.heap = heap;
}

/* Filters compute with few bits. */
static void assert_near(float is, float should_be)
{
    if (!(fabsf(is - should_be) <= 0.01f * (1 + fabsf(should_be))))
        fail_msg("%f, and not %f", (double) is, (double) should_be);
}

static void samples_are(const char *kernel, uint64_t texture, const Place *at, uint32_t n,
                        const float *should_be)
{
    Texel got[PLACES];

    sample(kernel, texture, at, n, got);
    for (uint32_t i = 0; i < n; i++)
        assert_near(got[i].f[0], should_be[i]);
}

/* ---- Arrays of floats: element x, y, z is x + 10 y + 100 z ------------------------------------
 */

static void fill(uint32_t id, uint32_t width, uint32_t height, uint32_t depth, float more)
{
    const uint64_t heap = w.g.heap;
    float *bytes = (float *) world_window(&w, (uint64_t) width * height * depth * sizeof(float));
    const VGPUSessionCopy3D p = {
        .to = {.array = id},
        .from = {.address = world_address(bytes), .pitch = width * 4, .height = height},
        .width_bytes = width * 4,
        .height = height,
        .depth = depth,
    };
    float *at = bytes;

    for (uint32_t z = 0; z < depth; z++)
        for (uint32_t y = 0; y < height; y++)
            for (uint32_t x = 0; x < width; x++)
                *at++ = more + (float) (x + 10 * y + 100 * z);
    assert_ok(world_call(&w, VGPU_SESSION_OP_COPY_3D, &p, sizeof(p), NULL, 0));
    world_settle(&w, 0);
    w.g.heap = heap;
}

static void floats(uint32_t id, uint32_t width, uint32_t height, uint32_t depth, uint32_t flags)
{
    assert_ok(CALL(&w, ARRAY_CREATE, .id = id, .width = width, .height = height, .depth = depth,
                   .format = FLOAT, .channels = 1, .flags = flags));
    fill(id, width, height > 0 ? height : 1, depth > 0 ? depth : 1, 0);
}

static VGPUSessionTexture of_array(uint32_t array, uint32_t mode, uint32_t filter, uint32_t flags)
{
    return (VGPUSessionTexture){
        .resource_type = CU_RESOURCE_TYPE_ARRAY,
        .resource = array,
        .address_mode = {mode, mode, mode},
        .filter_mode = filter,
        .flags = flags,
    };
}

TEST(test_point)
{
    static const Place at[] = {{0.5f, 0.5f}, {1.9f, 0.5f}, {3.5f, 2.5f},
                               {-4, 1.5f},   {100, 1.5f},  {2.5f, 100}};
    static const float clamped[] = {0, 1, 23, 10, 17, 42}, bordered[] = {0, 1, 23, -7, -7, -7};
    VGPUSessionTexture t = of_array(1, CLAMP, POINT, 0);

    begin(NULL);
    floats(1, 8, 5, 0, 0);
    samples_are("sample_2d", create(&t), at, 6, clamped);
    t = of_array(1, BORDER, POINT, 0);
    t.border[0] = -7;
    samples_are("sample_2d", create(&t), at, 6, bordered);
    world_end(&w);
}

TEST(test_normalized)
{
    /* 8 by 5 elements; 1/8 is the second column */
    static const Place at[] = {{0.125f, 0}, {0, 0.2f}, {1.125f, 0}, {-0.125f, 0}, {0.99f, 1.5f}};
    static const float wrapped[] = {1, 10, 1, 7, 27}, mirrored[] = {1, 10, 6};
    static const float clamped[] = {1, 10, 7, 0, 47};
    VGPUSessionTexture t = of_array(1, WRAP, POINT, NORMALIZED);
    Place near[5];

    begin(NULL);
    floats(1, 8, 5, 0, 0);
    /* A little beside the edges, which rounding could move */
    for (size_t i = 0; i < 5; i++)
        near[i] = (Place){at[i].x + 0.001f, at[i].y + 0.001f, 0, 0};
    samples_are("sample_2d", create(&t), near, 5, wrapped);
    t = of_array(1, MIRROR, POINT, NORMALIZED);
    near[3].x -= 0.002f; /* before -1/8: the second column, mirrored */
    samples_are("sample_2d", create(&t), near, 3, mirrored);
    samples_are("sample_2d", create(&t), near + 3, 1, (const float[]){1});
    t = of_array(1, CLAMP, POINT, NORMALIZED);
    samples_are("sample_2d", create(&t), near, 5, clamped);
    world_end(&w);
}

TEST(test_linear)
{
    static const Place at[] = {{0.5f, 0.5f}, {1, 0.5f}, {1.25f, 0.5f}, {3, 3}, {0, 0}, {8, 5}};
    static const float expected[] = {0, 0.5f, 0.75f, 27.5f, 0, 47};
    static const Place at_volume[] = {{0.5f, 0.5f, 0.5f}, {1, 1, 1}, {2.5f, 2.5f, 1}, {4, 3, 2}};
    static const float expected_volume[] = {0, 55.5f, 72, 123};
    static const Place at_line[] = {{0.5f}, {3}, {3.25f}, {-5}, {50}};
    static const float expected_line[] = {0, 2.5f, 2.75f, 0, 9};
    const VGPUSessionTexture t[] = {of_array(1, CLAMP, LINEAR, 0), of_array(2, CLAMP, LINEAR, 0),
                                    of_array(3, CLAMP, LINEAR, 0)};

    begin(NULL);
    floats(1, 8, 5, 0, 0);
    floats(2, 4, 3, 2, 0);
    floats(3, 10, 0, 0, 0);
    samples_are("sample_2d", create(&t[0]), at, 6, expected);
    samples_are("sample_3d", create(&t[1]), at_volume, 4, expected_volume);
    samples_are("sample_1d", create(&t[2]), at_line, 5, expected_line);
    world_end(&w);
}

TEST(test_layers)
{
    static const Place at[] = {
        {1.5f, 2.5f, 0, 0}, {1.5f, 2.5f, 0, 3}, {7.5f, 4.5f, 0, 5}, {1.5f, 2.5f, 0, 6}};
    static const float expected[] = {21, 321, 547, 521}; /* the last layer is 5 */
    static const Place at_line[] = {{1.5f, 0, 0, 0}, {2.5f, 0, 0, 4}};
    static const float expected_line[] = {1, 402};
    const VGPUSessionTexture t[] = {of_array(1, CLAMP, POINT, 0), of_array(2, CLAMP, POINT, 0)};

    begin(NULL);
    floats(1, 8, 5, 6, CUDA_ARRAY3D_LAYERED);
    floats(2, 8, 0, 5, CUDA_ARRAY3D_LAYERED);
    samples_are("sample_2d_layered", create(&t[0]), at, 4, expected);
    samples_are("sample_1d_layered", create(&t[1]), at_line, 2, expected_line);
    world_end(&w);
}

/* The middle of each face, and a place beside it */
TEST(test_cubemap)
{
    static const Place at[] = {{1, 0.1f, 0.1f}, {-1, 0.1f, 0.1f}, {0.1f, 1, 0.1f}, {0.1f, -1, 0.1f},
                               {0.1f, 0.1f, 1}, {0.1f, 0.1f, -1}, {1, 0.9f, 0.9f}};
    /* 8 by 8 elements: (s / m + 1) / 2 * 8 is 3.6 or 4.4, or at last 0.4 */
    static const float expected[] = {33, 134, 244, 334, 434, 533, 0};
    static const Place at_second[] = {{1, 0.1f, 0.1f, 1}, {0.1f, 0.1f, -1, 1}};
    static const float expected_second[] = {633, 1133};
    const VGPUSessionTexture t[] = {of_array(1, CLAMP, POINT, NORMALIZED),
                                    of_array(2, CLAMP, POINT, NORMALIZED)};

    begin(NULL);
    floats(1, 8, 8, 6, CUDA_ARRAY3D_CUBEMAP);
    floats(2, 8, 8, 12, CUDA_ARRAY3D_CUBEMAP | CUDA_ARRAY3D_LAYERED);
    samples_are("sample_cubemap", create(&t[0]), at, 7, expected);
    samples_are("sample_cubemap_layered", create(&t[1]), at_second, 2, expected_second);
    world_end(&w);
}

/* Level n is 1000 n everywhere. */
TEST(test_mipmap)
{
    static const Place at[] = {
        {0.1f, 0.1f, 0, 0}, {0.1f, 0.1f, 0, 1}, {0.1f, 0.1f, 0, 1.5f}, {0.1f, 0.1f, 0, 9}};
    static const float between[] = {1, 1001, 1501, 4000}, nearest[] = {1, 1001, 2000, 4000};
    static const float clamped[] = {1001, 1001, 1501, 2000}, viewed[] = {1001, 2000, 2500, 3000};
    VGPUSessionTexture t = {
        .resource_type = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY,
        .resource = 1,
        .address_mode = {CLAMP, CLAMP, CLAMP},
        .flags = NORMALIZED,
        .mipmap_filter_mode = LINEAR,
        .mipmap_max = 100,
    };

    begin(NULL);
    assert_ok(CALL(&w, MIPMAP_CREATE, .id = 1, .width = 16, .height = 16, .format = FLOAT,
                   .channels = 1, .levels = 5));
    for (uint32_t level = 0; level < 5; level++) {
        assert_ok(CALL(&w, MIPMAP_LEVEL, .id = level + 1, .mipmap = 1, .levels = level));
        fill(level + 1, 16u >> level, 16u >> level, 1, 1000 * (float) level);
    }
    /* At 0.1, 0.1 are columns and rows 1, 0, 0, 0 of the levels 0, 1, 2, 3: numbers 11 and less */
    for (uint32_t level = 0; level < 2; level++) {
        const VGPUSessionCopy3D same = {
            .to = {.array = level + 1, .x_bytes = 4 * (1 - level), .y = 1 - level},
            .from = {.array = level + 1, .x_bytes = 4},
            .width_bytes = 4,
            .height = 1,
            .depth = 1,
        };

        assert_ok(world_call(&w, VGPU_SESSION_OP_COPY_3D, &same, sizeof(same), NULL, 0));
    }
    samples_are("sample_2d_level", create(&t), at, 4, between);
    t.mipmap_filter_mode = POINT;
    samples_are("sample_2d_level", create(&t), at, 2, nearest);
    samples_are("sample_2d_level", create(&t), at + 3, 1, nearest + 3);
    t.mipmap_filter_mode = LINEAR;
    t.mipmap_min = 1;
    t.mipmap_max = 2;
    samples_are("sample_2d_level", create(&t), at, 4, clamped);
    /* A view of the levels 1 to 3 */
    t.mipmap_min = 0;
    t.mipmap_max = 100;
    t.has_view = 1;
    t.view_format = CU_RES_VIEW_FORMAT_FLOAT_1X32;
    t.view_width = t.view_height = 16;
    t.first_level = 1;
    t.last_level = 3;
    samples_are("sample_2d_level", create(&t), at, 4, viewed);
    world_end(&w);
}

/* ---- Formats -------------------------------------------------------------------------------- */

typedef struct Format {
    uint32_t format, flags;
    uint32_t bytes; /* of the element */
    uint8_t element[4];
    Texel expected;
    bool is_integer;
} Format;

static const Format formats[] = {
    {CU_AD_FORMAT_UNSIGNED_INT8, 0, 1, {51}, {.f = {0.2f}}, false},
    {CU_AD_FORMAT_UNSIGNED_INT8, INTEGERS, 1, {200}, {.i = {200}}, true},
    {CU_AD_FORMAT_SIGNED_INT8, 0, 1, {0x81}, {.f = {-1}}, false},
    {CU_AD_FORMAT_SIGNED_INT8, INTEGERS, 1, {0xfe}, {.i = {UINT32_MAX - 1}}, true},
    {CU_AD_FORMAT_UNSIGNED_INT16, INTEGERS, 2, {0x34, 0x12}, {.i = {0x1234}}, true},
    {CU_AD_FORMAT_SIGNED_INT16, 0, 2, {0xff, 0x7f}, {.f = {1}}, false},
    {CU_AD_FORMAT_UNSIGNED_INT32, INTEGERS, 4, {1, 2, 3, 4}, {.i = {0x04030201}}, true},
    {CU_AD_FORMAT_HALF, 0, 2, {0x00, 0xc1}, {.f = {-2.5f}}, false},
    {CU_AD_FORMAT_UNORM_INT8X1, 0, 1, {255}, {.f = {1}}, false},
};

TEST(test_formats)
{
    const Place at = {0.5f, 0.5f, 0, 0};
    unsigned char *element;

    begin(NULL);
    element = world_window(&w, 4);
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        const Format *f = &formats[i];
        const VGPUSessionTexture t = of_array(1, CLAMP, POINT, f->flags);
        const VGPUSessionCopy3D p = {
            .to = {.array = 1},
            .from = {.address = world_address(element)},
            .width_bytes = f->bytes,
            .height = 1,
            .depth = 1,
        };
        uint64_t texture;
        Texel got;

        memcpy(element, f->element, sizeof(f->element));
        assert_ok(CALL(&w, ARRAY_CREATE, .id = 1, .width = 4, .height = 4, .format = f->format,
                       .channels = 1));
        assert_ok(world_call(&w, VGPU_SESSION_OP_COPY_3D, &p, sizeof(p), NULL, 0));
        texture = create(&t);
        sample(f->is_integer ? "sample_2d_integers" : "sample_2d", texture, &at, 1, &got);
        if (f->is_integer)
            assert_int_equal(got.i[0], f->expected.i[0]);
        else
            assert_near(got.f[0], f->expected.f[0]);
        assert_ok(CALL(&w, TEXTURE_DESTROY, .value = texture));
        assert_ok(CALL(&w, ARRAY_DESTROY, .id = 1));
    }
    world_end(&w);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static VGPUSessionTexture of_memory(uint64_t address, uint64_t size)
{
    return (VGPUSessionTexture){
        .resource_type = CU_RESOURCE_TYPE_LINEAR,
        .address = address,
        .size = size,
        .format = FLOAT,
        .channels = 1,
        .address_mode = {CLAMP, CLAMP, CLAMP},
    };
}

static VGPUSessionTexture of_pitched(uint64_t address, uint64_t width, uint64_t height,
                                     uint64_t pitch)
{
    VGPUSessionTexture t = of_memory(address, 0);

    t.resource_type = CU_RESOURCE_TYPE_PITCH2D;
    t.width = width;
    t.height = height;
    t.pitch = pitch;
    return t;
}

TEST(test_memory)
{
    static const Place at[] = {{0}, {1}, {99}, {100}, {-1}};
    static const float fetched[] = {0, 1, 99, 0, 0};
    static const Place at_pitched[] = {{0.5f, 0.5f}, {3.5f, 1.5f}, {9.5f, 2.5f}, {10.5f, 3.5f}};
    static const float expected[] = {0, 35, 73, 73};
    VGPUSessionTexture t;
    float bytes[128];
    uint64_t a;

    begin(NULL);
    a = world_alloc(&w, 4096);
    for (size_t i = 0; i < 128; i++)
        bytes[i] = (float) i;
    world_write(&w, a, bytes, sizeof(bytes));
    t = of_memory(a, 400);
    samples_are("fetch_1d", create(&t), at, 5, fetched);
    t = of_pitched(a, 10, 3, 128);
    samples_are("sample_2d", create(&t), at_pitched, 4, expected);
    world_end(&w);
}

/* ---- Surfaces ------------------------------------------------------------------------------- */

TEST(test_surface)
{
    enum { WIDTH = 50, HEIGHT = 20, DEPTH = 3 };
    const VGPUSessionTexture t[] = {of_array(1, 0, 0, 0), of_array(2, 0, 0, 0)};
    struct {
        uint64_t surface;
        uint32_t width, height, depth, pad;
        uint64_t to;
    } p = {0, WIDTH, HEIGHT, DEPTH, 0, 0};
    struct {
        uint64_t surface;
        uint32_t width, height;
        uint64_t to;
    } q = {0, WIDTH, HEIGHT, 0};
    uint32_t *back;
    uint64_t flat;

    begin(NULL);
    back = (uint32_t *) world_window(&w, WIDTH * HEIGHT * DEPTH * 4);
    q.to = world_alloc(&w, WIDTH * HEIGHT * 4);
    floats(1, WIDTH, HEIGHT, 0, CUDA_ARRAY3D_SURFACE_LDST);
    floats(2, WIDTH, HEIGHT, DEPTH, CUDA_ARRAY3D_SURFACE_LDST);
    assert_ok(try_surface(&t[0]));
    flat = p.surface = w.value[0];
    launch("number_surface", &p, 16, HEIGHT);
    assert_ok(try_surface(&t[1]));
    p.surface = w.value[0];
    launch("number_volume", &p, 20, HEIGHT);
    q.surface = flat;
    launch("copy_surface", &q, sizeof(q), HEIGHT);
    world_read(&w, q.to, back, WIDTH * HEIGHT * 4);
    for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
        assert_int_equal(back[i], i % WIDTH + 1000 * (i / WIDTH));
    for (uint32_t id = 1; id <= 2; id++) {
        const uint32_t depth = id == 1 ? 1 : DEPTH;
        const VGPUSessionCopy3D c = {
            .to = {.address = world_address(back), .pitch = WIDTH * 4, .height = HEIGHT},
            .from = {.array = id},
            .width_bytes = WIDTH * 4,
            .height = HEIGHT,
            .depth = depth,
        };

        assert_ok(world_call(&w, VGPU_SESSION_OP_COPY_3D, &c, sizeof(c), NULL, 0));
        world_settle(&w, 0);
        for (uint32_t i = 0; i < WIDTH * HEIGHT * depth; i++)
            assert_int_equal(back[i], i % WIDTH + 1000 * (i / WIDTH % HEIGHT) +
                                          1000000 * (i / WIDTH / HEIGHT));
    }
    assert_ok(CALL(&w, SURFACE_DESTROY, .value = flat));
    assert_ok(CALL(&w, SURFACE_DESTROY, .value = p.surface));
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_point),   cmocka_unit_test(test_normalized),
        cmocka_unit_test(test_linear),  cmocka_unit_test(test_layers),
        cmocka_unit_test(test_cubemap), cmocka_unit_test(test_mipmap),
        cmocka_unit_test(test_formats), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_surface),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

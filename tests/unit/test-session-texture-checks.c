/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's textures and surfaces: what there may be of them, whose they are, and their end.
 *
 *   test-session-texture-checks fake    over the fake driver
 *   test-session-texture-checks gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <stdlib.h>

enum {
    FLOAT = CU_AD_FORMAT_FLOAT,
    CLAMP = CU_TR_ADDRESS_MODE_CLAMP,
    POINT = CU_TR_FILTER_MODE_POINT,
    NORMALIZED = CU_TRSF_NORMALIZED_COORDINATES,
};

static World w;

static uint64_t create(const VGPUSessionTexture *p)
{
    assert_ok(world_call(&w, VGPU_SESSION_OP_TEXTURE_CREATE, p, sizeof(*p), NULL, 0));
    assert_int_not_equal(w.value[0], 0);
    return w.value[0];
}

static uint32_t try_texture(const VGPUSessionTexture *p)
{
    return world_call(&w, VGPU_SESSION_OP_TEXTURE_CREATE, p, sizeof(*p), NULL, 0);
}

static uint32_t try_surface(const VGPUSessionTexture *p)
{
    return world_call(&w, VGPU_SESSION_OP_SURFACE_CREATE, p, sizeof(*p), NULL, 0);
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

/* An array of 8 by 8 floats */
static void array_begin(uint32_t id, uint32_t flags)
{
    assert_ok(CALL(&w, ARRAY_CREATE, .id = id, .width = 8, .height = 8, .format = FLOAT,
                   .channels = 1, .flags = flags));
}

/* ---- Wrong by one --------------------------------------------------------------------------- */

TEST(test_bad_textures)
{
    const VGPUSessionTexture good = of_array(1, CLAMP, POINT, 0);
    VGPUSessionTexture t;

    world_begin(&w, NULL);
    array_begin(1, CUDA_ARRAY3D_SURFACE_LDST);
    array_begin(2, 0);
    assert_ok(CALL(&w, ARRAY_CREATE, .id = 3, .width = 8, .format = FLOAT, .channels = 1,
                   .flags = CUDA_ARRAY3D_DEFERRED_MAPPING));
    assert_ok(CALL(&w, MIPMAP_CREATE, .id = 1, .width = 8, .height = 8, .format = FLOAT,
                   .channels = 1, .levels = 2));
    assert_ok(try_texture(&good));
#define BAD(result, ...)                         \
    do {                                         \
        t = good;                                \
        __VA_ARGS__;                             \
        assert_fails(try_texture(&t), (result)); \
    } while (0)
    BAD(CUDA_ERROR_INVALID_HANDLE, t.resource = 4);
    BAD(CUDA_ERROR_INVALID_HANDLE, t.resource = 0);
    BAD(CUDA_ERROR_INVALID_HANDLE, t.resource_type = 1, t.resource = 2, t.flags = NORMALIZED);
    BAD(CUDA_ERROR_INVALID_VALUE, t.resource = 3);
    BAD(CUDA_ERROR_INVALID_VALUE, t.resource_type = 4);
    BAD(CUDA_ERROR_INVALID_VALUE, t.resource_type = UINT32_MAX);
    BAD(CUDA_ERROR_INVALID_VALUE, t.resource_type = 1); /* not normalized */
    BAD(CUDA_ERROR_INVALID_VALUE, t.address_mode[0] = 4);
    BAD(CUDA_ERROR_INVALID_VALUE, t.address_mode[2] = UINT32_MAX);
    BAD(CUDA_ERROR_INVALID_VALUE, t.filter_mode = 2);
    BAD(CUDA_ERROR_INVALID_VALUE, t.mipmap_filter_mode = 2);
    BAD(CUDA_ERROR_INVALID_VALUE, t.flags = 0x4);
    BAD(CUDA_ERROR_INVALID_VALUE, t.flags = 0x80);
    BAD(CUDA_ERROR_INVALID_VALUE, t.flags = CU_TRSF_SEAMLESS_CUBEMAP);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 2);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 1);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 1, t.view_format = CU_RES_VIEW_FORMAT_FLOAT_1X32,
        t.view_width = 8, t.view_height = 9);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 1, t.view_format = CU_RES_VIEW_FORMAT_FLOAT_1X32,
        t.view_width = t.view_height = 8, t.view_depth = 1);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 1, t.view_format = CU_RES_VIEW_FORMAT_FLOAT_1X32,
        t.view_width = t.view_height = 8, t.last_level = 1);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 1, t.view_format = CU_RES_VIEW_FORMAT_FLOAT_1X32,
        t.view_width = t.view_height = 8, t.last_layer = 1);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 1, t.view_format = CU_RES_VIEW_FORMAT_FLOAT_1X32,
        t.view_width = t.view_height = 8, t.view_format = 0x23);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 1, t.view_format = CU_RES_VIEW_FORMAT_FLOAT_1X32,
        t.view_width = t.view_height = 8, t.resource_type = 1, t.flags = NORMALIZED,
        t.last_level = 2);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 1, t.view_format = CU_RES_VIEW_FORMAT_FLOAT_1X32,
        t.view_width = t.view_height = 8, t.resource_type = 1, t.flags = NORMALIZED,
        t.first_level = 1);

    /* Surfaces: of an array that was made for them, alone */
    assert_ok(try_surface(&good));
    t = good;
    t.resource = 2;
    assert_fails(try_surface(&t), CUDA_ERROR_INVALID_VALUE);
    t.resource = 3;
    assert_fails(try_surface(&t), CUDA_ERROR_INVALID_VALUE);
    t.resource = 9;
    assert_fails(try_surface(&t), CUDA_ERROR_INVALID_HANDLE);
    t.resource = 1;
    t.resource_type = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY;
    assert_fails(try_surface(&t), CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

TEST(test_bad_memory)
{
    VGPUSessionTexture good, t;
    uint64_t a;

    world_begin(&w, NULL);
    a = world_alloc(&w, 4096);
    good = of_memory(a, 4100); /* the driver takes what ends behind the memory */
    assert_ok(try_texture(&good));
    good = of_memory(a, 4096);
    assert_ok(try_texture(&good));
    BAD(CUDA_ERROR_INVALID_VALUE, t.size = 0);
    BAD(CUDA_ERROR_INVALID_VALUE, t.size = 3);
    BAD(CUDA_ERROR_INVALID_VALUE, t.size = UINT64_MAX);
    BAD(CUDA_ERROR_INVALID_VALUE, t.address += 4);
    BAD(CUDA_ERROR_INVALID_VALUE, t.address += 4096);
    BAD(CUDA_ERROR_INVALID_VALUE, t.address = 0);
    BAD(CUDA_ERROR_INVALID_VALUE, t.address = UINT64_MAX - 511);
    BAD(CUDA_ERROR_INVALID_VALUE, t.channels = 3);
    BAD(CUDA_ERROR_INVALID_VALUE, t.format = 0);
    BAD(CUDA_ERROR_INVALID_VALUE, t.has_view = 1);

    good = of_pitched(a, 32, 32, 128);
    assert_ok(try_texture(&good));
    BAD(CUDA_ERROR_INVALID_VALUE, t.width = 33);
    BAD(CUDA_ERROR_INVALID_VALUE, t.width = 0);
    BAD(CUDA_ERROR_INVALID_VALUE, t.width = UINT64_MAX);
    BAD(CUDA_ERROR_INVALID_VALUE, t.height = 33);
    BAD(CUDA_ERROR_INVALID_VALUE, t.height = 0);
    BAD(CUDA_ERROR_INVALID_VALUE, t.height = UINT64_MAX);
    BAD(CUDA_ERROR_INVALID_VALUE, t.pitch = 124);
    BAD(CUDA_ERROR_INVALID_VALUE, t.pitch = 132);
    BAD(CUDA_ERROR_INVALID_VALUE, t.pitch = UINT64_MAX - 31);
    BAD(CUDA_ERROR_INVALID_VALUE, t.address += 16);
    BAD(CUDA_ERROR_INVALID_VALUE, t.address -= 512);
#undef BAD
    world_end(&w);
}

static uint32_t call_in(uint32_t context, uint16_t opcode, uint64_t handle)
{
    const VGPUSessionId p = {.value = handle};

    return session_guest_call(&w.g, opcode, context, &p, sizeof(p));
}

/* Only what the guest has made, in the same context, and once */
TEST(test_handles)
{
    const VGPUSessionTexture t = of_array(1, CLAMP, POINT, 0);
    uint64_t texture, surface;

    world_begin(&w, NULL);
    array_begin(1, CUDA_ARRAY3D_SURFACE_LDST);
    texture = create(&t);
    assert_ok(try_surface(&t));
    surface = w.value[0];
    session_guest_context(&w.g, 2, false);
    assert_fails(call_in(1, VGPU_SESSION_OP_TEXTURE_DESTROY, 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(call_in(1, VGPU_SESSION_OP_TEXTURE_DESTROY, texture + 77777),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(call_in(1, VGPU_SESSION_OP_SURFACE_DESTROY, surface + 77777),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(call_in(2, VGPU_SESSION_OP_TEXTURE_DESTROY, texture), CUDA_ERROR_INVALID_VALUE);
    assert_fails(call_in(2, VGPU_SESSION_OP_SURFACE_DESTROY, surface), CUDA_ERROR_INVALID_VALUE);
    assert_ok(call_in(1, VGPU_SESSION_OP_TEXTURE_DESTROY, texture));
    assert_fails(call_in(1, VGPU_SESSION_OP_TEXTURE_DESTROY, texture), CUDA_ERROR_INVALID_VALUE);
    assert_ok(call_in(1, VGPU_SESSION_OP_SURFACE_DESTROY, surface));
    assert_fails(call_in(1, VGPU_SESSION_OP_SURFACE_DESTROY, surface), CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

/* A texture outlives its array, as with the driver itself; and ends with its context. */
TEST(test_life)
{
    const WorldLimits limits = {.objects_max = 64};
    const VGPUSessionTexture t = of_array(1, CLAMP, POINT, 0);
    uint64_t texture;

    world_begin(&w, &limits);
    array_begin(1, CUDA_ARRAY3D_SURFACE_LDST);
    texture = create(&t);
    for (unsigned i = 1; i < 64; i++)
        assert_ok(i % 2 ? try_texture(&t) : try_surface(&t));
    assert_fails(try_texture(&t), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(try_surface(&t), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, ARRAY_DESTROY, .id = 1));
    assert_ok(CALL(&w, TEXTURE_DESTROY, .value = texture));
    assert_fails(try_texture(&t), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    session_guest_context(&w.g, 1, true);
    array_begin(1, 0);
    for (unsigned i = 0; i < 64; i++)
        texture = create(&t);
    assert_ok(CALL(&w, TEXTURE_DESTROY, .value = texture));
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_textures),
        cmocka_unit_test(test_bad_memory),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_life),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

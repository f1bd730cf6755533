/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's mipmaps, deferred arrays, and the end of all arrays of a context.
 *
 *   test-session-mipmaps fake    over the fake driver
 *   test-session-mipmaps gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <stdlib.h>

enum { FLOAT = CU_AD_FORMAT_FLOAT, DEFERRED = CUDA_ARRAY3D_DEFERRED_MAPPING };

static World w;

static uint64_t memory_used(void)
{
    return __atomic_load_n(&w.g.control->memory, __ATOMIC_RELAXED);
}

static uint32_t create(const VGPUSessionArray *p)
{
    return world_call(&w, VGPU_SESSION_OP_ARRAY_CREATE, p, sizeof(*p), NULL, 0);
}

static uint32_t create_mipmap(const VGPUSessionArray *p)
{
    return world_call(&w, VGPU_SESSION_OP_MIPMAP_CREATE, p, sizeof(*p), NULL, 0);
}

static uint32_t copy(const VGPUSessionCopy3D *p)
{
    return world_call(&w, VGPU_SESSION_OP_COPY_3D, p, sizeof(*p), NULL, 0);
}

static uint64_t at_least_one(uint64_t n)
{
    return n > 0 ? n : 1;
}

static VGPUSessionPlace linear(const void *place, const VGPUSessionCopy3D *p)
{
    return (VGPUSessionPlace){
        .address = world_address(place),
        .pitch = p->width_bytes,
        .height = p->height,
    };
}

#define ARRAY(w_, h_, d_, format_, channels_, flags_)                               \
    {                                                                               \
        .id = 1, .width = (w_), .height = (h_), .depth = (d_), .format = (format_), \
        .channels = (channels_), .flags = (flags_)                                  \
    }

/* ---- Mipmaps -------------------------------------------------------------------------------- */

TEST(test_mipmap)
{
    VGPUSessionArray p = ARRAY(64, 20, 0, CU_AD_FORMAT_UNSIGNED_INT32, 1, 0);
    uint32_t *from, *to;

    world_begin(&w, NULL);
    from = (uint32_t *) world_window(&w, 64 * 20 * 4);
    to = (uint32_t *) world_window(&w, 64 * 20 * 4);
    p.levels = 1000; /* brought down to 7: 64, 32, 16, 8, 4, 2, 1 */
    assert_ok(create_mipmap(&p));
    assert_in_range(memory_used(), 64 * 20 * 4, UINT64_MAX);
    for (uint32_t level = 0; level < 7; level++)
        assert_ok(CALL(&w, MIPMAP_LEVEL, .id = level + 1, .mipmap = 1, .levels = level));
    assert_fails(CALL(&w, MIPMAP_LEVEL, .id = 8, .mipmap = 1, .levels = 7),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MIPMAP_LEVEL, .id = 8, .mipmap = 1, .levels = UINT32_MAX),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MIPMAP_LEVEL, .id = 7, .mipmap = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MIPMAP_LEVEL, .id = 8, .mipmap = 2), CUDA_ERROR_INVALID_HANDLE);

    /* Each level has a size of its own, and bytes of its own. */
    for (uint32_t level = 0; level < 7; level++) {
        const uint64_t width = 64 >> level, height = at_least_one(20 >> level);
        VGPUSessionCopy3D up = {
            .to = {.array = level + 1}, .width_bytes = width * 4, .height = height, .depth = 1};

        for (uint32_t i = 0; i < width * height; i++)
            from[i] = 1000 * level + i;
        up.from = linear(from, &up);
        assert_ok(copy(&up));
        world_settle(&w, 0);
        up.height++;
        assert_fails(copy(&up), CUDA_ERROR_INVALID_VALUE);
        up.height--;
        up.width_bytes += 4;
        up.from.pitch += 4;
        assert_fails(copy(&up), CUDA_ERROR_INVALID_VALUE);
    }
    for (uint32_t level = 0; level < 7; level++) {
        const uint64_t width = 64 >> level, height = at_least_one(20 >> level);
        VGPUSessionCopy3D down = {
            .from = {.array = level + 1}, .width_bytes = width * 4, .height = height, .depth = 1};

        down.to = linear(to, &down);
        assert_ok(copy(&down));
        world_settle(&w, 0);
        for (uint32_t i = 0; i < width * height; i++)
            assert_int_equal(to[i], 1000 * level + i);
    }
    world_end(&w);
}

TEST(test_mipmap_ends)
{
    const VGPUSessionArray p = ARRAY(64, 64, 8, FLOAT, 1, 0);
    VGPUSessionArray q = p;
    VGPUSessionCopy3D c = {{.array = 2}, {.array = 1}, 4, 1, 1, 0, 0};

    world_begin(&w, NULL);
    q.levels = 3;
    assert_ok(create_mipmap(&q));
    assert_ok(CALL(&w, MIPMAP_LEVEL, .id = 1, .mipmap = 1, .levels = 0));
    assert_ok(CALL(&w, MIPMAP_LEVEL, .id = 2, .mipmap = 1, .levels = 2));
    assert_ok(CALL(&w, MIPMAP_LEVEL, .id = 3, .mipmap = 1, .levels = 2)); /* a second name */
    assert_ok(copy(&c));
    c.to.z = 2; /* the level has 2 slices */
    assert_fails(copy(&c), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, ARRAY_DESTROY, .id = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, MIPMAP_DESTROY, .id = 1));
    assert_int_equal(memory_used(), 0);
    for (uint32_t id = 1; id <= 3; id++)
        assert_fails(CALL(&w, ARRAY_DESTROY, .id = id), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(copy(&c), CUDA_ERROR_INVALID_HANDLE);
    /* Their numbers are free. */
    assert_ok(create(&p));
    assert_fails(CALL(&w, MIPMAP_DESTROY, .id = 1), CUDA_ERROR_INVALID_HANDLE);
    world_end(&w);
}

/* A deferred one has no memory: it can be asked, and nothing else. */
TEST(test_needs)
{
    VGPUSessionArray p = ARRAY(500, 500, 0, FLOAT, 1, DEFERRED);
    VGPUSessionCopy3D c = {{.array = 2}, {.array = 1}, 4, 1, 1, 0, 0};

    world_begin(&w, NULL);
    assert_ok(create(&p));
    assert_int_equal(memory_used(), 0);
    p.levels = 4;
    assert_ok(create_mipmap(&p));
    assert_int_equal(memory_used(), 0);
    assert_ok(CALL(&w, ARRAY_NEEDS, .id = 1));
    assert_in_range(w.value[0], 500 * 500 * 4, 4 * MIB);
    assert_in_range(w.value[1], 1, 2 * MIB);
    assert_ok(CALL(&w, ARRAY_NEEDS, .mipmap = 1));
    assert_in_range(w.value[0], 500 * 500 * 4 + 250 * 250 * 4, 4 * MIB);
    assert_fails(CALL(&w, ARRAY_NEEDS, .id = 3), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, ARRAY_NEEDS, .mipmap = 3), CUDA_ERROR_INVALID_HANDLE);
    p = (VGPUSessionArray) ARRAY(500, 500, 0, FLOAT, 1, 0);
    p.id = 2;
    assert_ok(create(&p));
    assert_fails(CALL(&w, ARRAY_NEEDS, .id = 2), CUDA_ERROR_INVALID_VALUE);
    assert_fails(copy(&c), CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

/* ---- With their context --------------------------------------------------------------------- */

TEST(test_context_ends)
{
    VGPUSessionArray p = ARRAY(512, 512, 0, FLOAT, 1, 0);
    uint64_t used;

    world_begin(&w, NULL);
    assert_ok(create(&p));
    used = memory_used();
    session_guest_context(&w.g, 2, false);
    p.id = 2;
    assert_int_equal(session_guest_call(&w.g, VGPU_SESSION_OP_ARRAY_CREATE, 2, &p, sizeof(p)), 0);
    p.id = 1;
    p.levels = 5;
    assert_int_equal(session_guest_call(&w.g, VGPU_SESSION_OP_MIPMAP_CREATE, 2, &p, sizeof(p)), 0);
    /* Only its own context may end it. */
    assert_fails(CALL(&w, ARRAY_DESTROY, .id = 2), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, MIPMAP_DESTROY, .id = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, MIPMAP_LEVEL, .id = 3, .mipmap = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_true(memory_used() > 2 * used);
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 2));
    assert_int_equal(memory_used(), used);
    p.id = 2;
    assert_ok(create(&p)); /* the number is free */
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    assert_int_equal(memory_used(), 0);
    session_guest_context(&w.g, 1, true);
    assert_fails(CALL(&w, ARRAY_DESTROY, .id = 1), CUDA_ERROR_INVALID_HANDLE);
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mipmap),
        cmocka_unit_test(test_mipmap_ends),
        cmocka_unit_test(test_needs),
        cmocka_unit_test(test_context_ends),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

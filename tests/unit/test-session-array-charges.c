/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What arrays and mipmaps are charged for: never less than the device takes for them.
 *
 *   test-session-array-charges fake    over the fake driver
 *   test-session-array-charges gpu     over the host's own; skips without a GPU. Nobody else may
 * use the device meanwhile: its free memory is looked at
 */
#include "test-session-fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    FLOAT = CU_AD_FORMAT_FLOAT,
    BYTE = CU_AD_FORMAT_UNSIGNED_INT8,
    LAYERED = CUDA_ARRAY3D_LAYERED,
    CUBE = CUDA_ARRAY3D_CUBEMAP,
    SURFACE = CUDA_ARRAY3D_SURFACE_LDST,
};

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

#define ARRAY(w_, h_, d_, format_, channels_, flags_)                               \
    {                                                                               \
        .id = 1, .width = (w_), .height = (h_), .depth = (d_), .format = (format_), \
        .channels = (channels_), .flags = (flags_)                                  \
    }

/* ---- What they take ------------------------------------------------------------------------- */

static uint64_t device_free(void)
{
    assert_ok(CALL(&w, MEMORY_INFO, .size = 0));
    return w.value[0];
}

/* cuMemGetInfo()'s difference is never more than what is charged. */
static void charge_is_safe(const char *what, bool is_mipmap, const VGPUSessionArray *p, uint32_t n)
{
    const uint64_t used = memory_used(), free_before = device_free();
    uint64_t charged, taken, free_after;

    for (uint32_t i = 0; i < n; i++) {
        VGPUSessionArray q = *p;

        q.id = p->id + i;
        assert_ok(is_mipmap ? create_mipmap(&q) : create(&q));
    }
    charged = memory_used() - used;
    free_after = device_free();
    taken = free_before > free_after ? free_before - free_after : 0;
    print_message("# %s: %.2f MiB taken, %.2f charged\n", what, (double) taken / (double) MIB,
                  (double) charged / (double) MIB);
    /* A page that small ones share may have been begun by them. */
    assert_in_range(taken, 0, charged < 2 * MIB ? 2 * MIB : charged);
    for (uint32_t i = 0; i < n; i++)
        assert_ok(is_mipmap ? CALL(&w, MIPMAP_DESTROY, .id = p->id + i)
                            : CALL(&w, ARRAY_DESTROY, .id = p->id + i));
    assert_int_equal(memory_used(), used);
    /* A driver may keep a page for the next ones. */
    assert_in_range(device_free(), free_before - 2 * MIB, UINT64_MAX);
}

TEST(test_charge)
{
    static const struct {
        const char *what;
        bool is_mipmap;
        uint32_t n;
        VGPUSessionArray array;
    } rows[] = {
        {"1000 x 1000 floats", false, 1, ARRAY(1000, 1000, 0, FLOAT, 1, 0)},
        {"1025 x 1025 floats", false, 1, ARRAY(1025, 1025, 0, FLOAT, 1, SURFACE)},
        {"1025 x 65 float4", false, 8, ARRAY(1025, 65, 0, FLOAT, 4, 0)},
        {"65536 x 1 float4", false, 1, ARRAY(65536, 0, 0, FLOAT, 4, 0)},
        {"100 x 100 x 100 float4", false, 1, ARRAY(100, 100, 100, FLOAT, 4, 0)},
        {"181 x 217 x 181 floats", false, 1, ARRAY(181, 217, 181, FLOAT, 1, SURFACE)},
        {"3 x 3 x 4000 bytes", false, 1, ARRAY(3, 3, 4000, BYTE, 1, 0)},
        {"100 x 100 floats, 100 layers", false, 1, ARRAY(100, 100, 100, FLOAT, 1, LAYERED)},
        {"100 floats, 1000 layers", false, 1, ARRAY(100, 0, 1000, FLOAT, 1, LAYERED)},
        {"cubemap of 300", false, 1, ARRAY(300, 300, 6, FLOAT, 1, CUBE)},
        {"64 of 64 x 64 floats", false, 64, ARRAY(64, 64, 0, FLOAT, 1, 0)},
        {"64 of 300 x 300 bytes", false, 64, ARRAY(300, 300, 0, BYTE, 1, 0)},
        {"mipmap of 1024 x 1024 floats", true, 1, ARRAY(1024, 1024, 0, FLOAT, 1, 0)},
        {"mipmap of 1000 x 1000 float4", true, 1, ARRAY(1000, 1000, 0, FLOAT, 4, 0)},
        {"mipmap of 100 x 100 x 100 floats", true, 1, ARRAY(100, 100, 100, FLOAT, 1, 0)},
        {"mipmap of 200 x 200, 12 layers", true, 1, ARRAY(200, 200, 12, FLOAT, 1, LAYERED)},
    };

    world_begin(&w, NULL);
    /* What the driver needs for arrays at all */
    assert_ok(create(&(const VGPUSessionArray) ARRAY(64, 64, 0, FLOAT, 1, 0)));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        VGPUSessionArray p = rows[i].array;

        p.id = 2;
        p.levels = 20;
        charge_is_safe(rows[i].what, rows[i].is_mipmap, &p, rows[i].n);
    }
    world_end(&w);
}

TEST(test_quota)
{
    const WorldLimits limits = {.memory_max = 48 * MIB};
    VGPUSessionArray p = ARRAY(4096, 4096, 0, FLOAT, 1, 0);
    uint32_t n = 0;

    world_begin(&w, &limits);
    assert_fails(create(&p), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(create_mipmap(&p), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(memory_used(), 0);
    p = (VGPUSessionArray) ARRAY(1024, 1024, 0, FLOAT, 1, 0);
    for (p.id = 1; create(&p) == CUDA_SUCCESS; p.id++)
        n++;
    assert_int_equal(n, 12);
    assert_int_equal(memory_used(), 48 * MIB);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 512), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, ARRAY_DESTROY, .id = 3));
    assert_ok(CALL(&w, MEMORY_ALLOC, .size = 4 * MIB));
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_charge),
        cmocka_unit_test(test_quota),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

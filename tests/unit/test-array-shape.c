/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an array is, by numbers alone: what it takes, its levels, and what lies in it. */
#include "array-shape.h"
#include "test.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

enum {
    FLOAT = CU_AD_FORMAT_FLOAT,
    LAYERED = CUDA_ARRAY3D_LAYERED,
    CUBE = CUDA_ARRAY3D_CUBEMAP,
};

/* A device without limits */
static ArrayLimits limits;

static ArrayShape shape(uint64_t width, uint64_t height, uint64_t depth, uint32_t channels,
                        uint32_t flags, uint32_t levels)
{
    const VGPUSessionArray p = {
        .width = width,
        .height = height,
        .depth = depth,
        .format = FLOAT,
        .channels = channels,
        .flags = flags,
        .levels = levels,
    };
    ArrayShape s;

    assert_int_equal(array_shape_init(&s, &p, levels > 0, &limits), CUDA_SUCCESS);
    return s;
}

static uint64_t bytes(uint64_t width, uint64_t height, uint64_t depth, uint32_t channels,
                      uint32_t flags, uint32_t levels)
{
    const ArrayShape s = shape(width, height, depth, channels, flags, levels);

    return array_shape_bytes(&s);
}

TEST(test_bytes)
{
    /* As measured: 4, 18 and 6 MiB */
    assert_int_equal(bytes(1000, 1000, 0, 1, 0, 0), 4 * MIB);
    assert_int_equal(bytes(100, 100, 100, 4, 0, 0), 26 * MIB);
    assert_int_equal(bytes(1024, 1024, 0, 1, 0, 11), 6 * MIB);

    assert_int_equal(bytes(1, 0, 0, 1, 0, 0), 64 * KIB);
    assert_int_equal(bytes(256, 64, 0, 1, 0, 0), 64 * KIB);
    assert_int_equal(bytes(257, 64, 0, 1, 0, 0), 128 * KIB);
    assert_int_equal(bytes(256, 65, 0, 1, 0, 0), 128 * KIB);
    assert_int_equal(bytes(512, 512, 0, 1, 0, 0), 2 * MIB);
    assert_int_equal(bytes(16, 8, 33, 1, 0, 0), 64 * KIB);
    assert_int_equal(bytes(128, 128, 33, 1, 0, 0), 4 * MIB);
    assert_int_equal(bytes(64, 64, 16, 1, LAYERED, 0), 256 * KIB);
    assert_int_equal(bytes(64, 0, 16, 1, LAYERED, 0), 64 * KIB);
    assert_int_equal(bytes(64, 64, 6, 1, CUBE, 0), 128 * KIB);
}

/* Too large for any number of bytes */
TEST(test_overflow)
{
    ArrayShape s = shape(8, 8, 8, 4, 0, 0);

    s.width = s.height = s.depth = UINT32_MAX;
    assert_int_equal(array_shape_bytes(&s), UINT64_MAX);
    s.height = s.depth = 1;
    s.width = UINT64_MAX / 16;
    assert_int_equal(array_shape_bytes(&s), UINT64_MAX);
    s.width = UINT64_MAX;
    assert_int_equal(array_shape_bytes(&s), UINT64_MAX);
    s.width = 1;
    s.height = UINT64_MAX;
    assert_int_equal(array_shape_bytes(&s), UINT64_MAX);
    s.height = 1;
    s.depth = UINT64_MAX;
    assert_int_equal(array_shape_bytes(&s), UINT64_MAX);
    s.kind = ARRAY_2D_LAYERED;
    assert_int_equal(array_shape_bytes(&s), UINT64_MAX);
    s.depth = UINT64_MAX / 512; /* only the last rounding up is too much */
    assert_int_equal(array_shape_bytes(&s), UINT64_MAX);
    s.depth /= 2;
    assert_int_equal(array_shape_bytes(&s), UINT64_C(1) << 63);
}

TEST(test_levels)
{
    ArrayShape s = shape(100, 30, 7, 1, 0, 100), level;

    assert_int_equal(s.levels, 7); /* 100, 50, 25, 12, 6, 3, 1 */
    level = array_shape_level(&s, 2);
    assert_int_equal(level.width, 25);
    assert_int_equal(level.height, 7);
    assert_int_equal(level.depth, 1);
    assert_int_equal(level.levels, 1);
    level = array_shape_level(&s, 6);
    assert_int_equal(level.width, 1);
    assert_int_equal(level.height, 1);

    s = shape(16, 0, 1000, 1, LAYERED, 100); /* layers are not halved */
    assert_int_equal(s.levels, 5);
    level = array_shape_level(&s, 4);
    assert_int_equal(level.width, 1);
    assert_int_equal(level.height, 0);
    assert_int_equal(level.depth, 1000);
    assert_int_equal(shape(4, 4, 1000, 1, 0, 100).levels, 10);
    assert_int_equal(shape(100, 0, 0, 1, 0, 3).levels, 3);
    assert_int_equal(shape(1, 1, 0, 1, 0, 3).levels, 1);
}

TEST(test_elements)
{
    assert_int_equal(cuda_array_element_size(FLOAT, 4), 16);
    assert_int_equal(cuda_array_element_size(CU_AD_FORMAT_HALF, 2), 4);
    assert_int_equal(cuda_array_element_size(CU_AD_FORMAT_UNSIGNED_INT8, 1), 1);
    assert_int_equal(cuda_array_element_size(CU_AD_FORMAT_UNORM_INT16X2, 2), 4);
    assert_int_equal(cuda_array_element_size(CU_AD_FORMAT_UNORM_INT16X2, 1), 0);
    assert_int_equal(cuda_array_element_size(FLOAT, 3), 0);
    assert_int_equal(cuda_array_element_size(FLOAT, 0), 0);
    assert_int_equal(cuda_array_element_size(FLOAT + 256, 1), 0);
    assert_int_equal(cuda_array_element_size(0, 1), 0);
}

TEST(test_boxes)
{
    const ArrayShape s = shape(10, 5, 3, 1, 0, 0), line = shape(10, 0, 0, 1, 0, 0);
    VGPUSessionPlace at = {.x_bytes = 8, .y = 1, .z = 1};

    assert_true(array_shape_has_box(&s, &at, 32, 4, 2));
    assert_false(array_shape_has_box(&s, &at, 36, 4, 2));
    assert_false(array_shape_has_box(&s, &at, 32, 5, 2));
    assert_false(array_shape_has_box(&s, &at, 32, 4, 3));
    assert_false(array_shape_has_box(&s, &at, 0, 4, 2));
    assert_false(array_shape_has_box(&s, &at, 32, 0, 2));
    assert_false(array_shape_has_box(&s, &at, 32, 4, 0));
    assert_false(array_shape_has_box(&s, &at, 30, 4, 2));
    at.x_bytes = 6;
    assert_false(array_shape_has_box(&s, &at, 4, 1, 1));
    at.x_bytes = UINT64_MAX - 3;
    assert_false(array_shape_has_box(&s, &at, 8, 1, 1));
    at = (VGPUSessionPlace){.x_bytes = 36};
    assert_true(array_shape_has_box(&line, &at, 4, 1, 1));
    assert_false(array_shape_has_box(&line, &at, 4, 2, 1));
    assert_false(array_shape_has_box(&line, &at, 4, 1, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),  cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_levels), cmocka_unit_test(test_elements),
        cmocka_unit_test(test_boxes),
    };

    for (size_t i = 0; i < ARRAY_N_ATTRIBUTES; i++)
        limits.attribute[i] = INT32_MAX;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests of arrays and of copies have in common: arrays of numbers of 32 bits. */
#ifndef VGPU_TEST_LIBCUDA_ARRAYS_H
#define VGPU_TEST_LIBCUDA_ARRAYS_H

#include <string.h>

#include "cuda-api-arrays.h"
#include "test-libcuda.h"

/* CUmemorytype */
enum { HOST = 1, DEVICE = 2, ARRAY = 3, UNIFIED = 4 };

/* numbered() - from @first on; the caller frees them */
static inline void *numbered(size_t n, uint32_t first)
{
    uint32_t *numbers = malloc(n * sizeof(*numbers));

    assert_non_null(numbers);
    for (size_t i = 0; i < n; i++)
        numbers[i] = first + (uint32_t) i;
    return numbers;
}

/* new_array() - without flags */
static inline CUarray new_array(size_t width, size_t height, size_t depth)
{
    const CudaArrayDescriptor d = {.width = width,
                                   .height = height,
                                   .depth = depth,
                                   .format = CU_AD_FORMAT_UNSIGNED_INT32,
                                   .channels = 1};
    CUarray array;

    CALL(cuArray3DCreate_v2(&array, &d));
    return array;
}

/* box_of() - of a whole array, and packed memory */
static inline Copy3D box_of(size_t width, size_t height, size_t depth)
{
    return (Copy3D){
        .src_pitch = width * 4,
        .src_height = height,
        .dst_pitch = width * 4,
        .dst_height = height,
        .width_bytes = width * 4,
        .height = height,
        .depth = depth,
    };
}

/* to_array(), from_array() - all of it */
static inline void to_array(CUarray array, const void *from, size_t width, size_t height,
                            size_t depth)
{
    Copy3D c = box_of(width, height, depth);

    c.src_type = HOST;
    c.src_host = from;
    c.dst_type = ARRAY;
    c.dst_array = array;
    CALL(cuMemcpy3D_v2(&c));
}

static inline void from_array(void *to, CUarray array, size_t width, size_t height, size_t depth)
{
    Copy3D c = box_of(width, height, depth);

    c.src_type = ARRAY;
    c.src_array = array;
    c.dst_type = HOST;
    c.dst_host = to;
    CALL(cuMemcpy3D_v2(&c));
}

/* array_is() - does it hold these? */
static inline void array_is(CUarray array, const uint32_t *numbers, size_t width, size_t height,
                            size_t depth)
{
    const size_t n = width * height * depth;
    uint32_t *back = calloc(n, sizeof(*back));

    assert_non_null(back);
    from_array(back, array, width, height, depth);
    assert_memory_equal(back, numbers, n * sizeof(*back));
    free(back);
}

#endif

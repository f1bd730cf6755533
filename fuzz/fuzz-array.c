/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may say of an array, a mipmap, and a box in one. The target checks that whatever is
 * taken is within the device's limits, that it is charged for all its bytes at least, that its
 * levels shrink, and that a box lies in it with each byte.
 *
 * The input is a FuzzInput; what is missing is 0.
 */
#include <stdlib.h>
#include <string.h>

#include "array-shape.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct FuzzInput {
    VGPUSessionArray array;
    VGPUSessionPlace place;
    uint64_t width_bytes, height, depth;
    uint32_t is_mipmap, level;
    uint32_t limit; /* of every dimension; 0: what an H200 says */
    uint32_t reserved;
} FuzzInput;

static ArrayLimits limits_of(uint32_t limit)
{
    ArrayLimits limits;

    for (size_t i = 0; i < ARRAY_N_ATTRIBUTES; i++)
        limits.attribute[i] = limit > 0 ? limit & INT32_MAX : i >= 24 && i <= 26 ? 16384 : 32768;
    return limits;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Without what fills it up to whole blocks; UINT64_MAX where that wraps around */
static uint64_t net_bytes(const ArrayShape *s)
{
    uint64_t bytes = s->width;

    if (__builtin_mul_overflow(bytes, most(s->height, 1), &bytes) ||
        __builtin_mul_overflow(bytes, most(s->depth, 1), &bytes) ||
        __builtin_mul_overflow(bytes, s->element, &bytes))
        return UINT64_MAX;
    return bytes;
}

static void check_shape(const ArrayShape *s, uint64_t limit)
{
    require(s->element >= 1 && s->element <= 16 && s->width > 0);
    require(s->width <= limit && s->height <= limit && s->depth <= limit);
    require(s->kind < ARRAY_N_KINDS && s->levels >= 1 && s->levels <= 32);
    require(array_shape_bytes(s) >= net_bytes(s));
}

static void check_level(const ArrayShape *whole, const ArrayShape *level)
{
    require(level->width >= 1 && level->width <= whole->width && level->levels == 1);
    require((level->height > 0) == (whole->height > 0) && level->height <= whole->height);
    require((level->depth > 0) == (whole->depth > 0) && level->depth <= whole->depth);
    require(whole->kind == ARRAY_3D || level->depth == whole->depth);
    require(array_shape_bytes(level) <= array_shape_bytes(whole));
}

/* By other sums than those of array-shape.c: none of these can wrap around. */
static void check_box(const ArrayShape *s, const FuzzInput *in)
{
    const unsigned __int128 x = in->place.x_bytes, y = in->place.y, z = in->place.z;

    require(in->width_bytes > 0 && in->height > 0 && in->depth > 0);
    require(x + in->width_bytes <= (unsigned __int128) s->width * s->element);
    require(y + in->height <= most(s->height, 1));
    require(z + in->depth <= array_shape_slices(s));
    require(in->place.x_bytes % s->element == 0 && in->width_bytes % s->element == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {0};
    ArrayLimits limits;
    ArrayShape s, level;
    CUresult result;

    memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));
    limits = limits_of(in.limit);
    result = array_shape_init(&s, &in.array, in.is_mipmap & 1, &limits);
    require(result == CUDA_SUCCESS || result == CUDA_ERROR_INVALID_VALUE ||
            result == CUDA_ERROR_NOT_SUPPORTED);
    if (result != CUDA_SUCCESS)
        return 0;
    check_shape(&s, in.limit > 0 ? in.limit & INT32_MAX : 32768);
    level = array_shape_level(&s, in.level % s.levels);
    check_level(&s, &level);
    if (array_shape_has_box(&level, &in.place, in.width_bytes, in.height, in.depth))
        check_box(&level, &in);
    return 0;
}

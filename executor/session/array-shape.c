/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "array-shape.h"

#define CUBE_FACES 6u
#define BLOCK_WIDTH 64u /* bytes */
#define BLOCK_HEIGHT 8u /* rows, at least */
#define BLOCK_HEIGHT_MAX 128u
#define BLOCK_DEPTH_MAX 32u
#define SMALL_MAX (UINT64_C(1) << 20)
#define SMALL_UNIT (UINT64_C(64) << 10)
#define LARGE_UNIT (UINT64_C(2) << 20)

enum {
    KNOWN_FLAGS = CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP |
                  CUDA_ARRAY3D_TEXTURE_GATHER | CUDA_ARRAY3D_DEFERRED_MAPPING,
    OTHER_FLAGS = CUDA_ARRAY3D_DEPTH_TEXTURE | CUDA_ARRAY3D_COLOR_ATTACHMENT | CUDA_ARRAY3D_SPARSE |
                  CUDA_ARRAY3D_VIDEO_ENCODE_DECODE,
    FORMAT_COMPRESSED_FIRST = 0x91, /* and formats of video planes, up to the last */
    FORMAT_PLANES_LAST = 0xb5,
    FORMAT_PACKED = 0x50, /* 10, 10, 10 and 2 bits */
};

/* ---- Formats -------------------------------------------------------------------------------- */

static bool shape_format_is_other(uint32_t format)
{
    return format == FORMAT_PACKED ||
           (format >= FORMAT_COMPRESSED_FIRST && format <= FORMAT_PLANES_LAST);
}

/* ---- Which there may be --------------------------------------------------------------------- */

/* The attributes that limit width, height and depth; 0: there is no such limit */
typedef struct ShapeRow {
    uint8_t texture[3], surface[3], mipmap[3];
} ShapeRow;

static const ShapeRow shape_rows[ARRAY_N_KINDS] = {
    [ARRAY_1D] = {{21}, {55}, {77}},
    [ARRAY_2D] = {{22, 23}, {56, 57}, {73, 74}},
    [ARRAY_3D] = {{24, 25, 26}, {58, 59, 60}, {24, 25, 26}},
    [ARRAY_1D_LAYERED] = {{42, 0, 43}, {61, 0, 62}, {42, 0, 43}},
    [ARRAY_2D_LAYERED] = {{27, 28, 29}, {63, 64, 65}, {27, 28, 29}},
    [ARRAY_CUBEMAP] = {{52, 52}, {66, 66}, {52, 52}},
    [ARRAY_CUBEMAP_LAYERED] = {{53, 53, 54}, {67, 67, 68}, {53, 53, 54}},
};
static const uint8_t shape_alternate[3] = {47, 48, 49}; /* of three dimensions */
static const uint8_t shape_gather[3] = {45, 46};

static bool shape_is_within(const ArrayShape *s, const uint8_t attributes[3],
                            const ArrayLimits *limits)
{
    const uint64_t extent[3] = {s->width, s->height, s->depth};

    for (size_t i = 0; i < 3; i++)
        if (attributes[i] != 0 && extent[i] > limits->attribute[attributes[i]])
            return false;
    return true;
}

/* Returns whether there is such a kind. */
static bool shape_find_kind(ArrayShape *s)
{
    const bool layered = s->flags & CUDA_ARRAY3D_LAYERED;

    if (s->width == 0)
        return false;
    if (s->flags & CUDA_ARRAY3D_CUBEMAP) {
        s->kind = layered ? ARRAY_CUBEMAP_LAYERED : ARRAY_CUBEMAP;
        return s->width == s->height && s->depth != 0 &&
               (layered ? s->depth % CUBE_FACES == 0 : s->depth == CUBE_FACES);
    }
    if (layered) {
        s->kind = s->height == 0 ? ARRAY_1D_LAYERED : ARRAY_2D_LAYERED;
        return s->depth != 0;
    }
    if (s->depth != 0) {
        s->kind = ARRAY_3D;
        return s->height != 0;
    }
    s->kind = s->height == 0 ? ARRAY_1D : ARRAY_2D;
    return true;
}

static bool shape_fits(const ArrayShape *s, bool is_mipmap, const ArrayLimits *limits)
{
    const ShapeRow *row = &shape_rows[s->kind];

    if (!shape_is_within(s, is_mipmap ? row->mipmap : row->texture, limits) &&
        !(s->kind == ARRAY_3D && shape_is_within(s, shape_alternate, limits)))
        return false;
    if ((s->flags & CUDA_ARRAY3D_SURFACE_LDST) && !shape_is_within(s, row->surface, limits))
        return false;
    return !(s->flags & CUDA_ARRAY3D_TEXTURE_GATHER) ||
           (s->kind == ARRAY_2D && shape_is_within(s, shape_gather, limits));
}

/* One for each time that the longest side can be halved, and one more */
static uint32_t shape_levels_max(const ArrayShape *s)
{
    uint64_t longest = s->width > s->height ? s->width : s->height;
    uint32_t n = 1;

    if (s->kind == ARRAY_3D && s->depth > longest)
        longest = s->depth;
    while (longest >>= 1)
        n++;
    return n;
}

CUresult array_shape_init(ArrayShape *ret, const VGPUSessionArray *p, bool is_mipmap,
                          const ArrayLimits *limits)
{
    ArrayShape s = {
        .format = p->format,
        .channels = p->channels,
        .flags = p->flags,
        .element = cuda_array_element_size(p->format, p->channels),
        .levels = 1,
        .width = p->width,
        .height = p->height,
        .depth = p->depth,
    };
    uint32_t levels_max;

    if (p->flags & ~(uint32_t) (KNOWN_FLAGS | OTHER_FLAGS))
        return CUDA_ERROR_INVALID_VALUE;
    if ((p->flags & OTHER_FLAGS) || shape_format_is_other(p->format))
        return CUDA_ERROR_NOT_SUPPORTED;
    if (s.element == 0 || !shape_find_kind(&s) || !shape_fits(&s, is_mipmap, limits))
        return CUDA_ERROR_INVALID_VALUE;
    if (is_mipmap) {
        levels_max = shape_levels_max(&s);
        s.levels = p->levels == 0 ? 1 : p->levels > levels_max ? levels_max : p->levels;
    }
    *ret = s;
    return CUDA_SUCCESS;
}

/* ---- What it takes -------------------------------------------------------------------------- */

static uint64_t shape_halved(uint64_t extent, uint32_t level)
{
    if (extent == 0)
        return 0;
    extent >>= level;
    return extent > 0 ? extent : 1;
}

ArrayShape array_shape_level(const ArrayShape *mipmap, uint32_t level)
{
    ArrayShape s = *mipmap;

    s.levels = 1;
    s.width = shape_halved(s.width, level);
    s.height = shape_halved(s.height, level);
    if (s.kind == ARRAY_3D)
        s.depth = shape_halved(s.depth, level);
    return s;
}

uint64_t array_shape_slices(const ArrayShape *shape)
{
    return shape->depth > 0 ? shape->depth : 1;
}

bool array_shape_is_deferred(const ArrayShape *shape)
{
    return shape->flags & CUDA_ARRAY3D_DEFERRED_MAPPING;
}

/* Returns false when that wraps around. */
static bool shape_round_up(uint64_t n, uint64_t unit, uint64_t *ret)
{
    if (__builtin_add_overflow(n, unit - 1, ret))
        return false;
    *ret -= *ret % unit;
    return true;
}

/* The block in one direction: the smallest power of two that has @n, within these bounds */
static uint64_t shape_block(uint64_t n, uint64_t least, uint64_t most)
{
    uint64_t block = least;

    while (block < n && block < most)
        block *= 2;
    return block;
}

/* A level of one layer, or of all slices */
static bool shape_level_bytes(const ArrayShape *s, uint64_t *ret)
{
    const uint64_t height = s->height > 0 ? s->height : 1;
    const uint64_t depth = s->kind == ARRAY_3D ? s->depth : 1;
    uint64_t row, rows, slices;

    return !__builtin_mul_overflow(s->width, s->element, &row) &&
           shape_round_up(row, BLOCK_WIDTH, &row) &&
           shape_round_up(height, shape_block(height, BLOCK_HEIGHT, BLOCK_HEIGHT_MAX), &rows) &&
           shape_round_up(depth, shape_block(depth, 1, BLOCK_DEPTH_MAX), &slices) &&
           !__builtin_mul_overflow(row, rows, ret) && !__builtin_mul_overflow(*ret, slices, ret);
}

static bool shape_layer_bytes(const ArrayShape *s, uint64_t *ret)
{
    const uint64_t height = s->height > 0 ? s->height : 1;
    uint64_t sum = 0, bytes;

    for (uint32_t level = 0; level < s->levels; level++) {
        const ArrayShape one = array_shape_level(s, level);

        if (!shape_level_bytes(&one, &bytes) || __builtin_add_overflow(sum, bytes, &sum))
            return false;
    }
    return shape_round_up(sum, BLOCK_WIDTH * shape_block(height, BLOCK_HEIGHT, BLOCK_HEIGHT_MAX),
                          ret);
}

uint64_t array_shape_bytes(const ArrayShape *shape)
{
    const uint64_t layers = shape->kind == ARRAY_3D ? 1 : array_shape_slices(shape);
    uint64_t bytes;

    if (!shape_layer_bytes(shape, &bytes) || __builtin_mul_overflow(bytes, layers, &bytes) ||
        !shape_round_up(bytes, bytes < SMALL_MAX ? SMALL_UNIT : LARGE_UNIT, &bytes))
        return UINT64_MAX;
    return bytes;
}

/* ---- What lies in it ------------------------------------------------------------------------ */

static bool shape_has(uint64_t extent, uint64_t at, uint64_t n)
{
    return n > 0 && at <= extent && n <= extent - at;
}

bool array_shape_has_box(const ArrayShape *s, const VGPUSessionPlace *place, uint64_t width_bytes,
                         uint64_t height, uint64_t depth)
{
    return place->x_bytes % s->element == 0 && width_bytes % s->element == 0 &&
           shape_has(s->width, place->x_bytes / s->element, width_bytes / s->element) &&
           shape_has(s->height > 0 ? s->height : 1, place->y, height) &&
           shape_has(array_shape_slices(s), place->z, depth);
}

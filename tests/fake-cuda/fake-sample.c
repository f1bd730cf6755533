/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a device reads textures, as the "CUDA C++ Programming Guide" has it: coordinates, address
 * modes, filters with weights of 8 bits behind the point, levels of mipmaps, faces of cubes.
 */
#include "fake-array.h"
#include "fake-memory.h"

#include <math.h>
#include <string.h>

#define WEIGHT_UNIT 256.0f

/* ---- Elements ------------------------------------------------------------------- */

static float half_to_float(uint16_t h)
{
    float sign = h & 0x8000 ? -1.0f : 1.0f;
    int exponent = h >> 10 & 31;
    float fraction = (float) (h & 1023) / 1024.0f;

    if (exponent == 31)
        return fraction > 0 ? NAN : sign * INFINITY;
    return exponent == 0 ? sign * ldexpf(fraction, -14)
                         : sign * ldexpf(1 + fraction, exponent - 15);
}

bool fake_format_is_float(int format)
{
    return format == CU_AD_FORMAT_HALF || format == CU_AD_FORMAT_FLOAT ||
           format >= CU_AD_FORMAT_UNORM_INT8X1;
}

static float normalized(int64_t n, unsigned bits, bool is_signed)
{
    float most = (float) ((INT64_C(1) << (bits - is_signed)) - 1), f = (float) n / most;

    return f < -1.0f ? -1.0f : f;
}

typedef struct Channel {
    unsigned bits;
    bool is_signed, is_float, is_normalized;
} Channel;

static Channel channel_of(int format)
{
    unsigned n = (unsigned) format - CU_AD_FORMAT_UNORM_INT8X1;

    if (n < 12)
        return (Channel){n / 3 % 2 ? 16 : 8, n >= 6, false, true};
    switch (format) {
    case CU_AD_FORMAT_HALF:
        return (Channel){16, true, true, false};
    case CU_AD_FORMAT_FLOAT:
        return (Channel){32, true, true, false};
    default: /* 1, 2, 3: 8, 16, 32 bits; from 8 on with a sign */
        return (Channel){8u << ((format & 7) - (format < 8)), format >= 8, false, false};
    }
}

static int64_t integer_of(const unsigned char *bytes, Channel c)
{
    uint32_t n = 0;

    memcpy(&n, bytes, c.bits / 8);
    if (!c.is_signed)
        return n;
    return c.bits == 8 ? (int8_t) n : c.bits == 16 ? (int16_t) n : (int32_t) n;
}

FakeTexel fake_decode(const unsigned char *element, int format, unsigned channels, bool as_integer)
{
    Channel c = channel_of(format);
    FakeTexel texel = {.f = {0}};

    for (unsigned i = 0; i < channels; i++, element += c.bits / 8) {
        int64_t n = integer_of(element, c);

        if (c.is_float && c.bits == 16)
            texel.f[i] = half_to_float((uint16_t) n);
        else if (c.is_float)
            memcpy(&texel.f[i], element, 4);
        else if (!c.is_normalized && (as_integer || c.bits == 32))
            texel.i[i] = (uint32_t) n;
        else
            texel.f[i] = normalized(n, c.bits, c.is_signed);
    }
    return texel;
}

/* ---- One level --------------------------------------------------------------------- */

/* What is sampled: an array, or pitched memory */
typedef struct Image {
    const FakeTexture *texture;
    const struct CUarray_st *array;
    const unsigned char *bytes;
    size_t extent[3];
    int format;
    unsigned channels;
    size_t element, pitch;
} Image;

static bool image_of(const FakeTexture *t, unsigned level, Image *ret)
{
    const CudaResource *r = &t->resource;
    Image m = {.texture = t, .extent = {1, 1, 1}};

    if (r->type == CU_RESOURCE_TYPE_PITCH2D) {
        m.extent[0] = r->pitched.width;
        m.extent[1] = r->pitched.height;
        m.format = r->pitched.format;
        m.channels = r->pitched.channels;
        m.pitch = r->pitched.pitch;
        m.bytes = fake_reach(r->pitched.address, (m.extent[1] - 1) * m.pitch + 1);
    } else if (r->type != CU_RESOURCE_TYPE_LINEAR) {
        m.array = r->type == CU_RESOURCE_TYPE_ARRAY ? r->array : r->mipmap->levels[level];
        fake_array_extent(m.array, m.extent);
        m.format = m.array->descriptor.format;
        m.channels = m.array->descriptor.channels;
        m.bytes = m.array->bytes;
    }
    m.element = fake_format_size(m.format, m.channels);
    *ret = m;
    return m.bytes;
}

/* Where a place outside goes, by the address mode; -1: to the border */
static int64_t place(int64_t i, int64_t n, int mode, bool is_normalized)
{
    if (mode == CU_TR_ADDRESS_MODE_BORDER)
        return i >= 0 && i < n ? i : -1;
    if (mode == CU_TR_ADDRESS_MODE_WRAP && is_normalized)
        return (i % n + n) % n;
    if (mode == CU_TR_ADDRESS_MODE_MIRROR && is_normalized) {
        int64_t m = (i % (2 * n) + 2 * n) % (2 * n);

        return m < n ? m : 2 * n - 1 - m;
    }
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static FakeTexel texel_at(const Image *m, const int64_t at[3], unsigned dimensions,
                          bool is_normalized)
{
    const CudaTexture *how = &m->texture->how;
    size_t p[3] = {0, 0, (size_t) at[2]};
    const unsigned char *element;
    FakeTexel border;

    for (unsigned i = 0; i < dimensions; i++) {
        int64_t placed = place(at[i], (int64_t) m->extent[i], how->address_mode[i], is_normalized);

        if (placed < 0) {
            memcpy(border.f, how->border, sizeof(border.f));
            return border;
        }
        p[i] = (size_t) placed;
    }
    element = m->array ? fake_array_at(m->array, p[0] * m->element, p[1], p[2])
                       : m->bytes + p[1] * m->pitch + p[0] * m->element;
    return fake_decode(element, m->format, m->channels, how->flags & CU_TRSF_READ_AS_INTEGER);
}

/* @at: in elements. Layers are not filtered: their number is in @at[2] where there are less than
 * three dimensions. */
static FakeTexel filter(const Image *m, const float at[3], unsigned dimensions, bool is_normalized)
{
    bool is_linear = m->texture->how.filter_mode == CU_TR_FILTER_MODE_LINEAR;
    FakeTexel sum = {.f = {0}};
    int64_t first[3] = {0, 0, (int64_t) at[2]};
    float weight[3] = {0};

    for (unsigned i = 0; i < dimensions; i++) {
        float x = is_linear ? at[i] - 0.5f : at[i];

        first[i] = (int64_t) floorf(x);
        weight[i] = floorf((x - floorf(x)) * WEIGHT_UNIT + 0.5f) / WEIGHT_UNIT;
    }
    if (!is_linear)
        return texel_at(m, first, dimensions, is_normalized);
    for (unsigned corner = 0; corner < 1u << dimensions; corner++) {
        int64_t p[3] = {first[0], first[1], first[2]};
        float w = 1;
        FakeTexel texel;

        for (unsigned i = 0; i < dimensions; i++) {
            p[i] += corner >> i & 1;
            w *= corner >> i & 1 ? weight[i] : 1 - weight[i];
        }
        texel = texel_at(m, p, dimensions, is_normalized);
        for (unsigned i = 0; i < 4 && w > 0; i++)
            sum.f[i] += w * texel.f[i];
    }
    return sum;
}

/* ---- Kinds ------------------------------------------------------------------------- */

/* Which face a direction goes through, and where: the largest of the three coordinates says it. */
static unsigned face_of(const float d[3], float ret[2])
{
    float x = fabsf(d[0]), y = fabsf(d[1]), z = fabsf(d[2]), major;
    unsigned face;

    if (x >= y && x >= z) {
        face = d[0] > 0 ? 0 : 1;
        major = x;
        ret[0] = d[0] > 0 ? -d[2] : d[2];
        ret[1] = -d[1];
    } else if (y >= z) {
        face = d[1] > 0 ? 2 : 3;
        major = y;
        ret[0] = d[0];
        ret[1] = d[1] > 0 ? d[2] : -d[2];
    } else {
        face = d[2] > 0 ? 4 : 5;
        major = z;
        ret[0] = d[2] > 0 ? d[0] : -d[0];
        ret[1] = -d[1];
    }
    for (unsigned i = 0; i < 2; i++)
        ret[i] = (ret[i] / major + 1) / 2;
    return face;
}

static unsigned dimensions_of(FakeSampling sampling)
{
    switch (sampling) {
    case FAKE_SAMPLE_1D:
    case FAKE_SAMPLE_1D_LAYERED:
        return 1;
    case FAKE_SAMPLE_3D:
        return 3;
    default:
        return 2;
    }
}

static bool is_cube(FakeSampling sampling)
{
    return sampling == FAKE_SAMPLE_CUBEMAP || sampling == FAKE_SAMPLE_CUBEMAP_LAYERED;
}

/* Does a kernel read it as what it is? */
static bool is_of_kind(const FakeTexture *t, FakeSampling sampling)
{
    const CudaResource *r = &t->resource;
    const CudaArrayDescriptor *d;
    bool layered;

    if (r->type == CU_RESOURCE_TYPE_LINEAR || r->type == CU_RESOURCE_TYPE_PITCH2D)
        return r->type == CU_RESOURCE_TYPE_PITCH2D && sampling == FAKE_SAMPLE_2D;
    d = r->type == CU_RESOURCE_TYPE_ARRAY ? &r->array->descriptor : &r->mipmap->descriptor;
    layered = sampling == FAKE_SAMPLE_1D_LAYERED || sampling == FAKE_SAMPLE_2D_LAYERED ||
              sampling == FAKE_SAMPLE_CUBEMAP_LAYERED;
    return layered == ((d->flags & CUDA_ARRAY3D_LAYERED) != 0) &&
           is_cube(sampling) == ((d->flags & CUDA_ARRAY3D_CUBEMAP) != 0) &&
           (dimensions_of(sampling) > 1) == (d->height > 0) &&
           (sampling == FAKE_SAMPLE_3D) ==
               (d->depth > 0 && !(d->flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)));
}

static bool sample_level(const FakeTexture *t, FakeSampling sampling, const float at[3],
                         float layer, unsigned level, FakeTexel *ret)
{
    bool is_normalized = t->how.flags & CU_TRSF_NORMALIZED_COORDINATES;
    unsigned dimensions = dimensions_of(sampling);
    float p[3] = {at[0], at[1], at[2]}, slice = layer < 0 ? 0 : floorf(layer);
    Image m;

    if (!image_of(t, level, &m))
        return false;
    if (is_cube(sampling)) {
        slice = slice * 6 + (float) face_of(at, p);
        is_normalized = true;
    }
    for (unsigned i = 0; i < dimensions && is_normalized; i++)
        p[i] *= (float) m.extent[i];
    if (dimensions < 3)
        p[2] = slice < (float) m.extent[2] ? slice : (float) m.extent[2] - 1;
    *ret = filter(&m, p, dimensions, is_normalized);
    return true;
}

static float between(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

bool fake_sample(const FakeTexture *t, FakeSampling sampling, const float at[3], float layer,
                 float level, FakeTexel *ret)
{
    unsigned first = t->has_view ? t->view.first_level : 0, last = 0, low;
    FakeTexel next;
    float weight;

    if (!is_of_kind(t, sampling) || (t->has_view && fake_view_is_packed(t->view.format)))
        return false;
    if (t->resource.type != CU_RESOURCE_TYPE_MIPMAPPED_ARRAY)
        return sample_level(t, sampling, at, layer, 0, ret);
    last = t->has_view ? t->view.last_level : t->resource.mipmap->n_levels - 1;
    level = between(level + t->how.mipmap_bias, t->how.mipmap_min, t->how.mipmap_max);
    level = between(level, 0, (float) (last - first));
    if (t->how.mipmap_filter_mode == CU_TR_FILTER_MODE_POINT)
        return sample_level(t, sampling, at, layer, first + (unsigned) floorf(level + 0.5f), ret);

    low = (unsigned) floorf(level);
    weight = floorf((level - (float) low) * WEIGHT_UNIT + 0.5f) / WEIGHT_UNIT;
    if (!sample_level(t, sampling, at, layer, first + low, ret))
        return false;
    if (weight == 0)
        return true;
    if (!sample_level(t, sampling, at, layer, first + low + 1, &next))
        return false;
    for (unsigned i = 0; i < 4; i++)
        ret->f[i] += weight * (next.f[i] - ret->f[i]);
    return true;
}

/* ---- Without filters ------------------------------------------------------------------ */

bool fake_fetch(const FakeTexture *t, int64_t index, FakeTexel *ret)
{
    const CudaResource *r = &t->resource;
    const unsigned char *bytes;
    size_t element;

    if (r->type != CU_RESOURCE_TYPE_LINEAR)
        return false;
    element = fake_format_size(r->linear.format, r->linear.channels);
    *ret = (FakeTexel){.f = {0}};
    if (index < 0 || (uint64_t) index >= r->linear.size / element)
        return true;
    bytes = fake_reach(r->linear.address + (uint64_t) index * element, element);
    if (!bytes)
        return false;
    *ret = fake_decode(bytes, r->linear.format, r->linear.channels,
                       t->how.flags & CU_TRSF_READ_AS_INTEGER);
    return true;
}

unsigned char *fake_surface_at(const FakeTexture *surface, size_t x_bytes, size_t y, size_t z,
                               size_t size)
{
    const struct CUarray_st *array = surface->resource.array;

    if (x_bytes % size != 0 || size != array->element ||
        !fake_array_has(array, x_bytes, y, z, size, 1, 1))
        return NULL;
    return fake_array_at(array, x_bytes, y, z);
}

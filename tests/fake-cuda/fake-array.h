/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arrays, mipmaps, textures and surfaces.
 *
 * An array has a layout of its own, as on a device: pieces of 64 bytes by 8 rows, one behind the
 * other. So whoever takes one for linear memory is found out.
 */
#ifndef FAKE_ARRAY_H
#define FAKE_ARRAY_H

#include "fake-driver.h"

#define FAKE_LEVELS_MAX 32u

struct CUarray_st {
    FakeObject object;
    CudaArrayDescriptor descriptor; /* as given */
    size_t element;                 /* bytes */
    unsigned char *bytes;           /* NULL: nothing is mapped to it */
    size_t row_pieces;              /* in a row of pieces */
    size_t z_stride;                /* bytes from slice to slice, or from layer to layer */
    CUdeviceptr address;            /* of its memory; of a level: of the whole mipmap's */
    CUmipmappedArray mipmap;        /* whose level it is, or NULL */
};

struct CUmipmappedArray_st {
    FakeObject object;
    CudaArrayDescriptor descriptor;
    CUdeviceptr address;
    unsigned n_levels;
    CUarray levels[FAKE_LEVELS_MAX];
};

/* ---- Under the lock (fake-array.c) */

/* fake_format_size() - bytes of an element; 0: no such format */
size_t fake_format_size(int format, unsigned channels);
/* fake_array_has() - does that box, of whole elements, lie in it? */
bool fake_array_has(const struct CUarray_st *array, size_t x_bytes, size_t y, size_t z,
                    size_t width_bytes, size_t height, size_t depth);
/* fake_array_extent() - 1 where it has no such dimension */
void fake_array_extent(const struct CUarray_st *array, size_t ret[3]);

/* ---- With the lock or without it; the array has to live */

/* fake_array_at() - the byte there; up to the next multiple of 64 the row goes on behind it */
unsigned char *fake_array_at(const struct CUarray_st *array, size_t x_bytes, size_t y, size_t z);
/* fake_array_row() - copy a part of a row, one way or the other */
void fake_array_row(const struct CUarray_st *array, size_t x_bytes, size_t y, size_t z,
                    unsigned char *bytes, size_t size, bool into_array);

/* ---- Textures (fake-texture.c) */

typedef struct FakeTexture {
    uint64_t handle; /* numbers count from 1 in each context */
    CUcontext context;
    bool is_surface;
    CudaResource resource;
    CudaTexture how;
    CudaResourceView view;
    bool has_view;
    bool is_used;
} FakeTexture;

/* fake_view_is_packed() - of compressed blocks? The model does not unpack them */
static inline bool fake_view_is_packed(int format)
{
    return format >= CU_RES_VIEW_FORMAT_UNSIGNED_BC1;
}

/* fake_texture_get() - for a kernel, without the lock. Returns whether there is such a one, and
 * what it is of is still there */
bool fake_texture_get(CUcontext context, uint64_t handle, bool is_surface, FakeTexture *ret);

/* ---- Sampling, without the lock (fake-sample.c) */

/* What a kernel gets: numbers, or bits of integers */
typedef union FakeTexel {
    float f[4];
    uint32_t i[4];
} FakeTexel;

/* How the coordinates are meant */
typedef enum FakeSampling {
    FAKE_SAMPLE_1D,
    FAKE_SAMPLE_2D,
    FAKE_SAMPLE_3D,
    FAKE_SAMPLE_1D_LAYERED,
    FAKE_SAMPLE_2D_LAYERED,
    FAKE_SAMPLE_CUBEMAP,
    FAKE_SAMPLE_CUBEMAP_LAYERED,
} FakeSampling;

/* fake_sample() - @at: coordinates. Returns false where the texture is not of that kind */
bool fake_sample(const FakeTexture *texture, FakeSampling sampling, const float at[3], float layer,
                 float level, FakeTexel *ret);
/* fake_fetch() - element @index of linear memory; all 0 outside of it */
bool fake_fetch(const FakeTexture *texture, int64_t index, FakeTexel *ret);
/* fake_decode() - an element, as a texture gives it */
FakeTexel fake_decode(const unsigned char *element, int format, unsigned channels, bool as_integer);
/* fake_format_is_float() - does a texture give numbers of that format even as integers? */
bool fake_format_is_float(int format);
/* fake_surface_at() - the bytes of a surface; NULL where the device would fault */
unsigned char *fake_surface_at(const FakeTexture *surface, size_t x_bytes, size_t y, size_t z,
                               size_t size);

#endif
